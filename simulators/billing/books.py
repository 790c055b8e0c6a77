"""Writes `payments`: one row for each movement of money at Stripe, whoever learns of it first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sqlalchemy import func, select

from simulators.billing.identifiers import new_id
from simulators.billing.storage.tables import Payment

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from simulators.billing.stripe_gateway.facts import Movement

State = Literal["succeeded", "partially_refunded", "refunded", "disputed"]


def by_stripe_id(session: Session, stripe_id: str) -> Payment | None:
    """Find a movement by Stripe's id for it."""
    return session.scalar(select(Payment).where(Payment.stripe_id == stripe_id))


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a charge was for: the fix or the invoice, and the plan whose price it had."""

    cause: str
    plan: str


def record_charge(
    session: Session, customer_id: str, charge: Movement, purpose: Purpose, at: int
) -> Payment:
    """Write a charge down, or give the row that it already has."""
    found = by_stripe_id(session, charge.stripe_id)
    if found is not None:
        return found
    row = Payment(
        id=new_id("pay"),
        customer_id=customer_id,
        kind="charge",
        stripe_id=charge.stripe_id,
        payment_intent=charge.payment_intent,
        parent_id=None,
        amount_minor=charge.amount_minor,
        currency=charge.currency,
        cause=purpose.cause,
        plan=purpose.plan,
        created_at=at,
    )
    session.add(row)
    session.flush()
    return row


def record_reversal(
    session: Session,
    parent: Payment,
    reversal: Movement,
    kind: Literal["refund", "dispute"],
    at: int,
) -> Payment:
    """Write down that money of `parent` went back, or, of a dispute, came again."""
    row = Payment(
        id=new_id("pay"),
        customer_id=parent.customer_id,
        kind=kind,
        stripe_id=reversal.stripe_id,
        payment_intent=parent.payment_intent,
        parent_id=parent.id,
        amount_minor=-reversal.amount_minor,
        currency=reversal.currency,
        cause=reversal.stripe_id,
        plan=parent.plan,
        created_at=at,
    )
    session.add(row)
    session.flush()
    return row


def lost_minor(session: Session, parent: Payment) -> int:
    """Give how much of a charge went back so far, as a positive amount."""
    total = session.scalar(
        select(func.sum(Payment.amount_minor)).where(Payment.parent_id == parent.id)
    )
    return -int(total or 0)


def state(charge: Payment, lost: int, *, is_disputed: bool) -> State:
    """Derive a charge's state from what went back; nothing is ever updated."""
    if is_disputed:
        return "disputed"
    if lost == 0:
        return "succeeded"
    return "refunded" if lost >= charge.amount_minor else "partially_refunded"
