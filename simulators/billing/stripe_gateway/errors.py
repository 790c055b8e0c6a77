"""What a failed call to Stripe tells about the world.

    GatewayError
    ├── StripeRefusal    Stripe has said no: it did not happen, and will not by itself
    ├── StripeNotDone    it did not happen (rate limit, wrong key); it may be tried again
    └── StripeDoubt      it may have happened: a timeout, a reset, a 5xx, an odd answer

A timeout is never a failure: whoever gets `StripeDoubt` for a write must look before trying
anything new. `tests/billing/test_gateway.py` proves that every exception of the official package
lands in one.
"""

from __future__ import annotations

from dataclasses import dataclass

import stripe

_NOT_ACCEPTED = frozenset({401, 403, 429})
# A 409 is another request under the same key, still under way: unknown, like any 5xx.
_REFUSED = frozenset({400, 402, 404, 424})


class GatewayError(Exception):
    """A call to Stripe that brought no result."""


@dataclass(frozen=True, slots=True)
class CardFailure:
    """What Stripe says of a declined card, and the intent by which its holder may still confirm."""

    decline_code: str | None = None
    payment_intent: str | None = None
    client_secret: str | None = None


class StripeRefusal(GatewayError):
    """A definite no; `code` is Stripe's, and `card` is there when the card is the reason."""

    def __init__(self, code: str, message: str, *, card: CardFailure | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.card = card


class StripeNotDone(GatewayError):
    """Nothing happened, because Stripe did not take the request on.

    `is_final`: it will not happen by any request under this idempotency key either.
    """

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


class StripeDoubt(GatewayError):
    """Unknown. `is_over`: Stripe replayed a stored failure, so the first request no longer runs."""

    def __init__(self, reason: str, *, is_over: bool = False) -> None:
        super().__init__(reason)
        self.is_over = is_over


def interpret(error: stripe.StripeError) -> GatewayError:
    """Tell what an exception of the official package means, by the status that Stripe answered."""
    status = error.http_status
    reason = f"{type(error).__name__} {status}"
    if status in _NOT_ACCEPTED or isinstance(error, stripe.RateLimitError):
        return StripeNotDone(reason)
    if status in _REFUSED:
        return _refusal(error)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    return StripeDoubt(reason, is_over=headers.get("idempotent-replayed") == "true")


def _refusal(error: stripe.StripeError) -> StripeRefusal:
    card = None
    if isinstance(error, stripe.CardError):
        intent = getattr(error.error, "payment_intent", None)
        card = CardFailure(
            getattr(error.error, "decline_code", None),
            getattr(intent, "id", None),
            getattr(intent, "client_secret", None),
        )
    return StripeRefusal(error.code or "refused", error.user_message or "", card=card)
