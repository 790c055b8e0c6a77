"""What a customer may look at: usage, and pages of what was booked, paid and asked for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from simulators.billing import books, ledger
from simulators.billing.core import Answer
from simulators.billing.domain import plans
from simulators.billing.operations.accounts import has_billing, status
from simulators.billing.operations.subscriptions import living_record
from simulators.billing.paging import Listing, page
from simulators.billing.problems import not_found
from simulators.billing.storage.tables import (
    CreditTransaction,
    Customer,
    FixAttempt,
    Invoice,
    Payment,
)

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from simulators.billing.core import Core
    from simulators.billing.limits import Allowance
    from simulators.billing.paging import PageQuery

_LATEST = 10
_PAID = ("credit", "charged")


def usage(core: Core, customer_id: str, allowance: Allowance) -> Answer:
    """Give balance, standing, this period's use, the price of the next fix, and what may be asked.

    `allowance` is what this very request left of its key's limit.
    """
    with core.database.read() as session:
        customer = session.get(Customer, customer_id)
        if customer is None:
            raise not_found()
        shown = _usage(core, session, customer)
    limit = {
        "limit": allowance.policy.limit,
        "remaining": allowance.remaining,
        "window_s": allowance.policy.window_s,
        "reset_at": allowance.reset_at,
    }
    return Answer(200, {**shown, "request_limit": limit})


def _usage(core: Core, session: Session, customer: Customer) -> dict[str, Any]:
    catalogue = core.catalogue
    balance = ledger.balance(session, customer.id)
    can_pay = has_billing(session, customer.id)
    overage = catalogue.fix_price_minor(customer.plan)
    is_pro = customer.plan == "pro"
    record = living_record(session, customer.id) if is_pro else None
    quantity = record.quantity if record else 1
    return {
        "customer_id": customer.id,
        "plan": customer.plan,
        "status": status(session, customer),
        "credit_balance": balance,
        "owed_credits": ledger.owed(session, customer.id),
        "period": _period(core, session, customer),
        "monthly_credits": catalogue.pro_included_credits * quantity if is_pro else 0,
        "rollover_cap": catalogue.pro_rollover_cap if is_pro else 0,
        "next_fix_price_minor": 0 if balance else (overage if can_pay else None),
        "overage_price_minor": overage,
        "currency": catalogue.currency,
        "warning": plans.warning(
            customer.plan, balance, catalogue.low_credit_threshold, has_billing=can_pay
        ),
        "latest_transactions": [
            transaction_view(row)
            for row in session.scalars(
                select(CreditTransaction)
                .where(CreditTransaction.customer_id == customer.id)
                .order_by(CreditTransaction.sequence.desc())
                .limit(_LATEST)
            )
        ],
    }


def _period(core: Core, session: Session, customer: Customer) -> dict[str, Any]:
    """Sum up the subscription's period, or the calendar month (UTC) for who has none."""
    record = living_record(session, customer.id)
    start, end = month_of(core.clock.now())
    if record and record.current_period_start is not None and record.current_period_end:
        start, end = record.current_period_start, record.current_period_end
    fixes, charged = session.execute(
        select(func.count(), func.coalesce(func.sum(FixAttempt.amount_minor), 0)).where(
            FixAttempt.customer_id == customer.id,
            FixAttempt.outcome.in_(_PAID),
            FixAttempt.settled_at >= start,
            FixAttempt.settled_at < end,
        )
    ).one()
    return {
        "start": start,
        "end": end,
        "fixes": fixes,
        "charged_minor": int(charged),
        "currency": core.catalogue.currency,
    }


def month_of(now: int) -> tuple[int, int]:
    """Give the first second of the calendar month (UTC), and of the next.

    >>> month_of(1763711226)
    (1761955200, 1764547200)
    """
    first = datetime.fromtimestamp(now, UTC).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    year, month = divmod(first.year * 12 + first.month, 12)
    return int(first.timestamp()), int(first.replace(year=year, month=month + 1).timestamp())


def transactions(core: Core, customer_id: str, query: PageQuery) -> Answer:
    """Give a page of the ledger."""
    listing = Listing(
        CreditTransaction,
        CreditTransaction.sequence,
        {"source": CreditTransaction.source, "cause": CreditTransaction.cause},
    )
    return _page(core, customer_id, listing, query)


def payments(core: Core, customer_id: str, query: PageQuery) -> Answer:
    """Give a page of the money that moved."""
    filters = {"kind": Payment.kind, "cause": Payment.cause, "currency": Payment.currency}
    return _page(core, customer_id, Listing(Payment, Payment.position, filters), query)


def attempts(core: Core, customer_id: str, query: PageQuery) -> Answer:
    """Give a page of the fixes asked for, also the refused ones."""
    filters = {"outcome": FixAttempt.outcome, "fix_id": FixAttempt.fix_id}
    return _page(core, customer_id, Listing(FixAttempt, FixAttempt.position, filters), query)


def invoices(core: Core, customer_id: str, query: PageQuery) -> Answer:
    """Give a page of the invoices."""
    filters = {"status": Invoice.status, "billing_reason": Invoice.billing_reason}
    return _page(core, customer_id, Listing(Invoice, Invoice.position, filters), query)


def _page(core: Core, customer_id: str, listing: Listing, query: PageQuery) -> Answer:
    with core.database.read() as session:
        found = page(session, listing, customer_id, query)
        body = {
            "data": [_rendered(session, row) for row in found.rows],
            "has_more": found.next_cursor is not None,
            "next_cursor": found.next_cursor,
        }
    return Answer(200, body)


def _rendered(session: Session, row: object) -> dict[str, Any]:
    if isinstance(row, CreditTransaction):
        return transaction_view(row)
    if isinstance(row, Payment):
        return _payment(session, row)
    if isinstance(row, FixAttempt):
        return _attempt(row)
    if isinstance(row, Invoice):
        return _invoice(row)
    raise TypeError(type(row).__name__)


def transaction_view(row: CreditTransaction) -> dict[str, Any]:
    """Give an entry of the ledger as the API shows it."""
    return {
        "id": row.id,
        "sequence": row.sequence,
        "amount": row.amount,
        "balance_after": row.balance_after,
        "source": row.source,
        "cause": row.cause,
        "metadata": json.loads(row.details),
        "created_at": row.created_at,
    }


def _payment(session: Session, row: Payment) -> dict[str, Any]:
    state = None
    if row.kind == "charge":
        disputed = select(func.sum(Payment.amount_minor)).where(
            Payment.parent_id == row.id, Payment.kind == "dispute"
        )
        is_disputed = (session.scalar(disputed) or 0) < 0  # what a won one took has come back
        state = books.state(row, books.lost_minor(session, row), is_disputed=is_disputed)
    return {
        "id": row.id,
        "kind": row.kind,
        "amount_minor": row.amount_minor,
        "currency": row.currency,
        "cause": row.cause,
        "stripe_id": row.stripe_id,
        "payment_intent": row.payment_intent,
        "parent_id": row.parent_id,
        "plan": row.plan,
        "state": state,
        "created_at": row.created_at,
    }


def _attempt(row: FixAttempt) -> dict[str, Any]:
    return {
        "id": row.id,
        "fix_id": row.fix_id,
        "attempt": row.number,
        "repository": row.repository,
        "outcome": row.outcome,
        "reason": row.reason,
        "amount_minor": row.amount_minor,
        "currency": row.currency,
        "created_at": row.created_at,
    }


def _invoice(row: Invoice) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": row.status,
        "billing_reason": row.billing_reason,
        "subscription_id": row.subscription_stripe_id,
        "amount_due_minor": row.amount_due_minor,
        "amount_paid_minor": row.amount_paid_minor,
        "currency": row.currency,
        "credits_granted": row.credits_granted,
        "period_start": row.period_start,
        "period_end": row.period_end,
        "created_at": row.created_at,
    }
