"""Which events there are: the options each takes, what came before it, and what it is made of."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.errors import SettingsError
from simulators.webhooks.commands import moments
from simulators.webhooks.commands.parameters import Parameters, flag_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulators.webhooks.commands.moments import Moment, Occasion

_WHOSE = ("customer",)
_BUYING = (*_WHOSE, "subscription", "amount_cents", "currency", "quantity")
_INVOICE = (*_BUYING, "object_id", "plan_to", "reason")
_PAYMENT = (*_WHOSE, "object_id", "amount_cents", "currency")
_CYCLES = ("subscription_cycle", "subscription_create")
_DISPUTES = (
    "general",
    "credit_not_processed",
    "duplicate",
    "fraudulent",
    "product_not_received",
    "product_unacceptable",
    "subscription_canceled",
    "unrecognized",
)
_REFUNDS = ("requested_by_customer", "duplicate", "fraudulent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One type of event.

    `before` is the event that comes before it in the life of the same object. The first of
    `reasons` is the one where none is said. `amount_least` is nought where nothing may be due.
    """

    type: str
    about: str
    options: tuple[str, ...]
    build: Callable[[Parameters, Occasion], Moment] = field(repr=False)
    before: str | None = None
    reasons: tuple[str, ...] = ()
    amount_least: int = 1


_KINDS = (
    Kind(
        type="customer.created",
        about="a customer was made",
        options=_WHOSE,
        build=moments.customer_created,
    ),
    Kind(
        type="customer.updated",
        about="a customer's e-mail address changed",
        options=_WHOSE,
        build=moments.customer_updated,
        before="customer.created",
    ),
    Kind(
        type="customer.deleted",
        about="a customer was deleted",
        options=_WHOSE,
        build=moments.customer_deleted,
        before="customer.updated",
    ),
    Kind(
        type="customer.subscription.created",
        about="a subscription began",
        options=(*_BUYING, "plan_to"),
        build=moments.subscription_created,
        amount_least=0,
    ),
    Kind(
        type="customer.subscription.updated",
        about="plan, quantity, period, status or planned end of a subscription changed",
        options=(*_BUYING, "plan_from", "plan_to", "reason"),
        build=moments.subscription_updated,
        before="customer.subscription.created",
        reasons=tuple(moments.CHANGES),
        amount_least=0,
    ),
    Kind(
        type="customer.subscription.deleted",
        about="a subscription ended",
        options=(*_BUYING, "plan_from", "reason"),
        build=moments.subscription_deleted,
        before="customer.subscription.updated",
        reasons=("cancellation_requested", "payment_failed", "payment_disputed"),
        amount_least=0,
    ),
    Kind(
        type="invoice.created",
        about="an invoice was drafted",
        options=_INVOICE,
        build=moments.invoice_created,
        reasons=_CYCLES,
        amount_least=0,
    ),
    Kind(
        type="invoice.finalized",
        about="an invoice got its number and is due",
        options=_INVOICE,
        build=moments.invoice_finalized,
        before="invoice.created",
        reasons=_CYCLES,
    ),
    Kind(
        type="invoice.paid",
        about="an invoice was paid, or nothing was due on it",
        options=_INVOICE,
        build=moments.invoice_paid,
        before="invoice.finalized",
        reasons=_CYCLES,
        amount_least=0,
    ),
    Kind(
        type="invoice.payment_succeeded",
        about="the same as invoice.paid, by Stripe's other name; both are sent",
        options=_INVOICE,
        build=moments.invoice_paid,
        before="invoice.finalized",
        reasons=_CYCLES,
        amount_least=0,
    ),
    Kind(
        type="invoice.payment_failed",
        about="an invoice could not be collected",
        options=(*_INVOICE, "failure_code", "next_retry"),
        build=moments.invoice_failed,
        before="invoice.finalized",
        reasons=_CYCLES,
    ),
    Kind(
        type="invoice_payment.paid",
        about="a payment intent paid an invoice",
        options=_PAYMENT,
        build=moments.invoice_payment_paid,
    ),
    Kind(
        type="payment_intent.created",
        about="a payment was asked for",
        options=_PAYMENT,
        build=moments.intent_created,
    ),
    Kind(
        type="payment_intent.succeeded",
        about="a payment was made",
        options=_PAYMENT,
        build=moments.intent_succeeded,
        before="payment_intent.created",
    ),
    Kind(
        type="payment_intent.payment_failed",
        about="the bank refused a payment",
        options=(*_PAYMENT, "failure_code"),
        build=moments.intent_failed,
        before="payment_intent.created",
    ),
    Kind(
        type="charge.succeeded",
        about="a card was charged",
        options=_PAYMENT,
        build=moments.charge_succeeded,
    ),
    Kind(
        type="charge.failed",
        about="the bank refused a charge",
        options=(*_PAYMENT, "failure_code"),
        build=moments.charge_failed,
    ),
    Kind(
        type="charge.refunded",
        about="a charge was given back, wholly or in part",
        options=(*_PAYMENT, "refund_cents"),
        build=moments.charge_refunded,
        before="charge.succeeded",
    ),
    Kind(
        type="refund.created",
        about="a refund of a charge was made",
        options=(*_PAYMENT, "refund_cents", "reason"),
        build=moments.refund_created,
        reasons=_REFUNDS,
    ),
    Kind(
        type="charge.dispute.created",
        about="a cardholder disputed a charge, and the bank took it back",
        options=(*_PAYMENT, "reason"),
        build=moments.dispute_created,
        reasons=_DISPUTES,
    ),
    Kind(
        type="charge.dispute.closed",
        about="a dispute was lost",
        options=(*_PAYMENT, "reason"),
        build=moments.dispute_closed,
        before="charge.dispute.created",
        reasons=_DISPUTES,
    ),
    Kind(
        type="checkout.session.completed",
        about="a subscription was bought on Stripe's own page",
        options=(*_BUYING, "object_id"),
        build=moments.checkout_completed,
        amount_least=0,
    ),
)

KINDS = {kind.type: kind for kind in _KINDS}
"""Every event that can be sent, by type."""


def find_kind(event: str) -> Kind:
    """Find an event by its type; raises `SettingsError` with what it may have been."""
    if event in KINDS:
        return KINDS[event]
    close = difflib.get_close_matches(event, KINDS, n=3, cutoff=0.5)
    meant = f"Did you mean {' or '.join(close)}? " if close else ""
    raise SettingsError(
        f"there is no event {event!r} here",
        hint=f"{meant}billing-harness webhooks events lists them; `replay` sends any other.",
    )


def check_options(kind: Kind, parameters: Parameters) -> None:
    """Raise `SettingsError` for parameters that make no sense for this event."""
    surplus = [flag_of(name) for name in parameters.given() if name not in kind.options]
    if surplus:
        raise SettingsError(
            f"{kind.type} does not take {', '.join(surplus)}",
            hint=f"It takes {', '.join(map(flag_of, kind.options))}.",
        )
    if parameters.reason is not None and parameters.reason not in kind.reasons:
        raise SettingsError(
            f"--reason {parameters.reason!r} is no reason for {kind.type}",
            hint=f"One of {', '.join(kind.reasons)}.",
        )
    if parameters.amount_minor() < kind.amount_least:
        raise SettingsError(
            f"{kind.type} is about money: --amount-cents 0 makes no such event",
            hint="Say at least 1.",
        )


def neighbour(kind: Kind) -> tuple[Kind, bool]:
    """Find an event next to this one in the life of one object; True: it comes before it.

    Raises `SettingsError` for an event that stands alone.
    """
    if kind.before:
        return KINDS[kind.before], True
    after = next((other for other in _KINDS if other.before == kind.type), None)
    if after:
        return after, False
    ordered = [other.type for other in _KINDS if other.before]
    raise SettingsError(
        f"{kind.type} stands alone: no order to be out of",
        hint=f"--out-of-order is for {', '.join(ordered)}, and for what comes before them.",
    )
