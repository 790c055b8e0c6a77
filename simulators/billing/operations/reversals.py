"""Refunds and disputes: the money is written down, and the credits that it bought go back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sqlalchemy import select

from simulators.billing import books, ledger
from simulators.billing.domain import grants
from simulators.billing.operations.invoicing import UnknownCustomerError
from simulators.billing.storage.database import locked_customer
from simulators.billing.storage.tables import Invoice

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from simulators.billing.core import Core
    from simulators.billing.storage.tables import Payment
    from simulators.billing.stripe_gateway.facts import Movement


def level_refunds(core: Core, charge: str) -> None:
    """Bring the books level with Stripe for every refund of a charge."""
    for refund in core.stripe.charges.refunds_of(charge):
        _reverse(core, refund, "refund")


def level_dispute(core: Core, dispute: str) -> None:
    """Bring the books level with what a dispute took and, once it is won, gave back."""
    for movement in core.stripe.charges.dispute(dispute):
        _reverse(core, movement, "dispute")


def _reverse(core: Core, reversal: Movement, kind: Literal["refund", "dispute"]) -> None:
    now = core.clock.now()
    with core.database.write("reversal.record") as session:
        parent = books.by_stripe_id(session, str(reversal.parent))
        if parent is None:
            raise UnknownCustomerError
        locked_customer(session, parent.customer_id)
        if books.by_stripe_id(session, reversal.stripe_id) is not None:
            return
        lost_before = books.lost_minor(session, parent)
        books.record_reversal(session, parent, reversal, kind, now)
        units = grants.units_lost(
            _units_bought(session, parent),
            parent.amount_minor,
            lost_before,
            reversal.amount_minor,
        )
        move = ledger.take_back if units > 0 else ledger.give_back
        move(session, parent.customer_id, abs(units), cause=reversal.stripe_id, at=now)


def _units_bought(session: Session, charge: Payment) -> int:
    """Give the credits that a charge bought: an invoice's, or the one of a single fix."""
    invoice = session.scalar(select(Invoice).where(Invoice.id == charge.cause))
    return invoice.credits_granted if invoice is not None else 1
