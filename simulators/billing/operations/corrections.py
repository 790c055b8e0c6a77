"""What only the operator does: give money back, and add or take credits, for a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from simulators.billing import books, ledger
from simulators.billing.core import Answer
from simulators.billing.ledger import Posting
from simulators.billing.operations import reversals
from simulators.billing.operations.reports import transaction_view
from simulators.billing.problems import Refusal, Unsettled, not_found, provider_unavailable
from simulators.billing.storage.database import locked_customer
from simulators.billing.storage.tables import Payment
from simulators.billing.stripe_gateway.errors import GatewayError, StripeNotDone, StripeRefusal
from simulators.billing.stripe_gateway.facts import RefundOrder

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from simulators.billing.core import Core
    from simulators.billing.idempotency import Slot
    from simulators.billing.stripe_gateway.facts import Movement

_TOO_MUCH = frozenset({"charge_already_refunded", "refund_exceeds_charge"})


def charge_of(core: Core, payment_id: str) -> Payment:
    """Find the charge that is to be refunded; a refund or a dispute is none."""
    with core.database.read() as session:
        found = session.scalar(select(Payment).where(Payment.id == payment_id))
    if found is None or found.kind != "charge":
        raise not_found()
    return found


def refund(core: Core, charge: Payment, amount_minor: int | None, slot: Slot) -> Answer:
    """Give back a part of a charge, or all that is left of it.

    A request that was cut off is looked up at Stripe by its idempotency key before anything is
    sent again. The refund is then booked like one that was made at Stripe by hand, whoever learns
    of it first: this request or its webhook.
    """
    try:
        made = core.stripe.charges.find_refund(charge.stripe_id, slot.token)
        if made is None:
            made = core.stripe.charges.refund(_order(core, charge, amount_minor, slot))
        reversals.level_refunds(core, charge.stripe_id)
    except StripeRefusal as refusal:
        raise _refused(refusal) from refusal
    except StripeNotDone as error:
        raise provider_unavailable() from error
    except GatewayError as error:
        raise _unsettled() from error
    with core.database.write() as session:
        return slot.keep(session, Answer(201, _refund_view(session, charge, made)))


def adjust(core: Core, customer_id: str, units: int, reason: str, slot: Slot) -> Answer:
    """Add or take credits; the ledger keeps the reason, and the request is the cause."""
    with core.database.write() as session:
        customer = locked_customer(session, customer_id)
        if customer is None:
            raise not_found()
        if customer.closed_at is not None:
            raise Refusal(409, "account_closed", "The account is closed.")
        if ledger.balance(session, customer_id) + units < 0:
            raise Refusal(422, "insufficient_credits", "There are not so many credits to take.")
        posting = Posting(units, "adjustment", f"operator:{slot.token}", {"reason": reason})
        entry = ledger.append(session, customer_id, posting, at=core.clock.now())
        return slot.keep(session, Answer(201, transaction_view(entry)))


def _order(core: Core, charge: Payment, amount_minor: int | None, slot: Slot) -> RefundOrder:
    with core.database.read() as session:
        left = charge.amount_minor - books.lost_minor(session, charge)
    if left <= 0 or (amount_minor is not None and amount_minor > left):
        raise _exceeds()
    return RefundOrder(
        charge=charge.stripe_id,
        amount_minor=amount_minor or left,
        customer_id=charge.customer_id,
        request_id=slot.token,
        key=f"refund:{slot.token}",
    )


def _refund_view(session: Session, charge: Payment, made: Movement) -> dict[str, Any]:
    row = books.by_stripe_id(session, made.stripe_id)
    if row is None:
        raise _unsettled()
    return {
        "refund_id": row.id,
        "payment_id": charge.id,
        "stripe_id": row.stripe_id,
        "amount_minor": made.amount_minor,
        "currency": row.currency,
        "remaining_minor": charge.amount_minor - books.lost_minor(session, charge),
        "credit_balance": ledger.balance(session, charge.customer_id),
        "owed_credits": ledger.owed(session, charge.customer_id),
        "created_at": row.created_at,
    }


def _refused(refusal: StripeRefusal) -> Refusal:
    if refusal.code in _TOO_MUCH:
        return _exceeds()
    return Refusal(422, "refund_refused", "Stripe refused this refund.", reason=refusal.code)


def _exceeds() -> Refusal:
    return Refusal(422, "refund_exceeds_charge", "That is more than is left of the charge.")


def _unsettled() -> Unsettled:
    return Unsettled(
        "refund_unsettled",
        "Whether the money went back is not known yet. Ask again with the same idempotency key.",
        retry_after_s=2,
    )
