"""Every refusal of the service, as data: a stable code, a status, a sentence.

::

    Problem
    ├── Refusal       the domain says no: a 402, 409 or 422 that an idempotency key replays
    ├── Rejection     the request itself is wrong: 400, 401, 403, 404, 409 in flight, schema 422
    └── Unsettled     not known, or not possible now: 503 with Retry-After
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from simulators.billing.stripe_gateway.errors import CardFailure

if TYPE_CHECKING:
    from simulators.billing.stripe_gateway.errors import StripeRefusal

AUTHENTICATION_REQUIRED = "authentication_required"
# Stripe's word for it where an invoice of a subscription was to be paid.
_INVOICE_WANTS_HOLDER = "subscription_payment_intent_requires_action"


class Problem(Exception):
    """A refusal that becomes a problem document (RFC 9457)."""

    is_replayed: ClassVar[bool] = False

    def __init__(self, status: int, code: str, detail: str, **extra: str | int | None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.extra = {name: value for name, value in extra.items() if value is not None}
        self.headers: dict[str, str] = {}


class Refusal(Problem):
    """The domain's no: nothing changed, and the same key gets the same answer again."""

    is_replayed = True


class Rejection(Problem):
    """The request's own fault; a corrected one may use the same key."""


class Unsettled(Problem):
    """Not known, or not possible now; the same request may be sent after `retry_after_s`."""

    def __init__(self, code: str, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(503, code, detail)
        self.headers["Retry-After"] = str(retry_after_s)


def not_found() -> Rejection:
    """Refuse an id: the same answer for another's as for nobody's."""
    return Rejection(404, "not_found", "There is nothing here by that id.")


def no_billing_info() -> Refusal:
    """Refuse what would need a charge, for want of a payment method."""
    return Refusal(402, "no_billing_info", "No credits are left and no payment method is on file.")


def charge_unsettled() -> Unsettled:
    """Say that Stripe has not told yet whether the card was charged."""
    return Unsettled(
        "charge_unsettled",
        "Whether the charge was made is not known yet. Ask again; nothing is charged twice.",
        retry_after_s=2,
    )


def provider_unavailable() -> Unsettled:
    """Say that Stripe could not be asked."""
    return Unsettled(
        "payment_provider_unavailable",
        "The payment provider cannot be reached. Nothing was changed.",
        retry_after_s=5,
    )


def declined(refusal: StripeRefusal) -> Refusal:
    """Pass on that the card was declined, and how its holder may confirm, if that helps."""
    card = refusal.card or CardFailure()
    if {refusal.code, card.decline_code} & {AUTHENTICATION_REQUIRED, _INVOICE_WANTS_HOLDER}:
        return Refusal(
            402,
            AUTHENTICATION_REQUIRED,
            "The card's bank wants its holder to confirm this payment.",
            payment_intent=card.payment_intent,
            client_secret=card.client_secret,
        )
    return Refusal(
        402,
        "card_declined",
        "The card was declined.",
        decline_code=card.decline_code or refusal.code,
    )
