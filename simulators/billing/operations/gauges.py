"""What only the database knows, for the gauges of a scrape; alerts on money rest on these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from simulators.billing.storage.repairs import Finding
from simulators.billing.storage.tables import (
    CreditTransaction,
    FixAttempt,
    Invoice,
    Payment,
    Subscription,
    WebhookEvent,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from simulators.billing.core import Core

Reading = tuple["Mapping[str, object]", float]
_DAY_S = 86_400
_CHARGE = Payment.kind == "charge"
_OWED = WebhookEvent.state.in_(("pending", "waiting"))


def read(core: Core) -> dict[str, list[Reading]]:
    """Read every gauge, in one transaction, so that they agree with each other."""
    now = core.clock.now()
    with core.database.read() as session:
        oldest = session.scalar(select(func.min(WebhookEvent.received_at)).where(_OWED))
        return {
            "billing_active_subscriptions": list(_subscriptions(session)),
            "billing_credits_outstanding": _one(
                session, select(func.sum(CreditTransaction.amount))
            ),
            "billing_ledger_cents": list(_ledger(session)),
            "billing_revenue_24h_cents": list(_revenue(session, now - _DAY_S)),
            "billing_reconciliation_difference_cents": [({}, _difference(session))],
            "billing_duplicate_charges": [({}, _duplicates(session))],
            "billing_webhook_backlog": _one(session, select(func.count()).where(_OWED)),
            "billing_webhook_oldest_age_seconds": [({}, max(0, now - (oldest or now)))],
        }


def _one(session: Session, query: Select[int]) -> list[Reading]:
    return [({}, float(session.scalar(query) or 0))]


def _subscriptions(session: Session) -> Iterator[Reading]:
    living = Subscription.ended_at.is_(None), Subscription.stripe_id.is_not(None)
    query = select(Subscription.plan, func.count()).where(*living).group_by(Subscription.plan)
    for plan, count in session.execute(query):
        yield {"plan": plan}, float(count)


def _ledger(session: Session) -> Iterator[Reading]:
    query = select(Payment.kind, Payment.currency, func.sum(Payment.amount_minor))
    for kind, currency, cents in session.execute(query.group_by(Payment.kind, Payment.currency)):
        yield {"kind": kind, "currency": currency}, float(cents)


def _revenue(session: Session, since: int) -> Iterator[Reading]:
    query = select(Payment.plan, Payment.currency, func.sum(Payment.amount_minor))
    recent = query.where(Payment.created_at > since)
    for plan, currency, cents in session.execute(recent.group_by(Payment.plan, Payment.currency)):
        yield {"plan": plan, "currency": currency}, float(cents)


def _difference(session: Session) -> float:
    """Give what fixes and invoices say was paid, less the charges in the books."""
    charged = FixAttempt.outcome == "charged"
    fixes = session.scalar(select(func.sum(FixAttempt.amount_minor)).where(charged)) or 0
    settled = Invoice.settled_at.is_not(None)
    invoices = session.scalar(select(func.sum(Invoice.amount_paid_minor)).where(settled)) or 0
    booked = session.scalar(select(func.sum(Payment.amount_minor)).where(_CHARGE)) or 0
    return float(fixes + invoices - booked)


def _duplicates(session: Session) -> float:
    """Count the charges beyond the first for one cause; an invoice may be paid in parts.

    Those that the reconciler saw at Stripe count too, for the books would not take them.
    """
    is_fix = select(FixAttempt.id).where(
        FixAttempt.customer_id == Payment.customer_id, FixAttempt.fix_id == Payment.cause
    )
    of_fixes = select(func.count().label("n")).where(_CHARGE, is_fix.exists())
    groups = of_fixes.group_by(Payment.customer_id, Payment.cause).subquery()
    booked = session.scalar(select(func.sum(groups.c.n - 1))) or 0
    seen = Finding.kind == "double_charge", Finding.resolved_at.is_(None)
    return float(booked + (session.scalar(select(func.count()).where(*seen)) or 0))
