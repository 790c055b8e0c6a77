"""What happened, told to telemetry once it is true: when its transaction has committed.

Events are read off the rows that a transaction wrote, so no path can book something and forget to
tell, nothing is told twice, and what is rolled back never happened. A process that dies right after
its commit loses a count, never a fact: money is read from the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import event, inspect
from sqlalchemy.orm import Session

from simulators.billing.storage.tables import (
    CreditTransaction,
    Customer,
    FixAttempt,
    Invoice,
    OutboxEmail,
    Payment,
    Subscription,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Pool

    from harness.metrics import BillingTelemetry
    from simulators.billing.storage.database import Database

Fields = dict[str, Any]
_TOUCHED, _NOTED = "touched rows", "noted events"
# The columns whose change means something, by table.
_TELLING: dict[type, tuple[str, ...]] = {
    Customer: ("plan",),
    CreditTransaction: (),
    FixAttempt: ("outcome", "settled_at"),
    Invoice: ("settled_at",),
    OutboxEmail: (),
    Payment: (),
    Subscription: ("status", "ended_at", "cancel_at_period_end"),
}
_NOT_PLACED = frozenset({"starting", "refused"})
_PAYMENT = {"charge": "succeeded", "refund": "refunded", "dispute": "disputed"}
_listeners: WeakKeyDictionary[Pool, BillingTelemetry] = WeakKeyDictionary()


def attach(database: Database, telemetry: BillingTelemetry) -> None:
    """Let telemetry hear of everything that this process commits to a database."""
    _listeners[database.engine.pool] = telemetry


def tell(database: Database, name: str, **fields: object) -> None:
    """Tell at once of what no row says, such as how long something took."""
    if (telemetry := _listeners.get(database.engine.pool)) is not None:
        telemetry.record(name, **fields)


@event.listens_for(Session, "after_flush")
def _flushed(session: Session, _: object) -> None:
    """Remember what each telling row was before this transaction first wrote it."""
    if _listener(session) is None:
        return
    touched = session.info.setdefault(_TOUCHED, {})
    for row in (*session.new, *session.dirty):
        if type(row) in _TELLING and row not in touched:
            touched[row] = None if row in session.new else _was(row)


@event.listens_for(Session, "before_commit", insert=True)  # before a failpoint gets to act
def _before_commit(session: Session) -> None:
    if _listener(session) is None:
        return
    session.flush()
    touched: dict[object, Fields | None] = session.info.pop(_TOUCHED, {})
    session.info[_NOTED] = [
        found for row, was in touched.items() for found in _events(session, row, was)
    ]


@event.listens_for(Session, "after_commit")
def _committed(session: Session) -> None:
    telemetry = _listener(session)
    for name, fields in session.info.pop(_NOTED, ()):
        if telemetry is not None:
            telemetry.record(name, **fields)


@event.listens_for(Session, "after_rollback")
def _rolled_back(session: Session) -> None:
    session.info.pop(_TOUCHED, None)
    session.info.pop(_NOTED, None)


def _listener(session: Session) -> BillingTelemetry | None:
    pool: Pool | None = getattr(session.bind, "pool", None)
    return _listeners.get(pool) if pool is not None else None


def _was(row: object) -> Fields:
    state = inspect(row, raiseerr=True)
    found = {}
    for name in _TELLING[type(row)]:
        history = state.attrs[name].history
        found[name] = history.deleted[0] if history.deleted else getattr(row, name)
    return found


def _events(session: Session, row: Any, was: Fields | None) -> Iterator[tuple[str, Fields]]:
    match row:
        case CreditTransaction() if was is None:
            yield from _credits(session, row)
        case Payment() if was is None:
            yield "payment_processed", _payment(session, row)
        case FixAttempt() if _is_told(row, was):
            yield "usage_tracked", _use(session, row)
        case Invoice() if row.settled_at is not None and _has_changed(row, was, "settled_at"):
            yield from _paid(session, row)
        case OutboxEmail(template="payment_failed") if was is None:
            yield "invoice_failed", {}
        case Subscription():
            yield from _subscription(session, row, was)
        case Customer():
            yield from _conversion(row, was)


def _has_changed(row: object, was: Fields | None, name: str) -> bool:
    return was is None or was[name] != getattr(row, name)


def _is_told(row: FixAttempt, was: Fields | None) -> bool:
    """Whether a fix came to something new; one that was refused before is not refused again."""
    if row.outcome == "pending" or not _has_changed(row, was, "outcome"):
        return False
    return row.outcome != "refused" or was is None or was["settled_at"] is None


def _credits(session: Session, row: CreditTransaction) -> Iterator[tuple[str, Fields]]:
    about = _about(session, row.customer_id)
    if row.amount > 0:
        yield "credits_added", {"source": row.source, "units": row.amount}
    elif row.source == "consumed":
        yield "credits_consumed", {"plan": about.get("plan"), "units": -row.amount}
    if row.source == "trial_billing_added":
        yield "customer_converted", {**about, "stage": "billing_added"}


def _payment(session: Session, row: Payment) -> Fields:
    return {
        **_about(session, row.customer_id),
        # What a won dispute gives back is the merchant's again.
        "status": "succeeded" if row.amount_minor > 0 else _PAYMENT.get(row.kind),
        "payment_method": "card",
        "amount_minor": abs(row.amount_minor),
        "currency": row.currency,
        "plan": row.plan,
    }


def _use(session: Session, row: FixAttempt) -> Fields:
    return {
        **_about(session, row.customer_id),
        "plan": row.plan,
        "outcome": row.outcome,
        "resource_type": "repository" if row.repository else "unspecified",
        "quantity": 1,
    }


def _paid(session: Session, row: Invoice) -> Iterator[tuple[str, Fields]]:
    money = {"amount_minor": row.amount_paid_minor, "currency": row.currency}
    yield "invoice_paid", money
    if row.billing_reason == "subscription_create":
        yield "first_invoice_paid", money
    if row.billing_reason == "subscription_cycle":
        yield "subscription_renewed", {**_about(session, row.customer_id), "plan": "pro"}


def _subscription(
    session: Session, row: Subscription, was: Fields | None
) -> Iterator[tuple[str, Fields]]:
    if row.status in _NOT_PLACED:
        return
    about = {**_about(session, row.customer_id), "plan": row.plan}
    if was is None or was["status"] in _NOT_PLACED:
        yield "subscription_created", {**about, "status": row.status}
    if row.ended_at is not None and (was is None or was["ended_at"] is None):
        mode = "period_end" if was is not None and was["cancel_at_period_end"] else "at_once"
        yield "subscription_cancelled", {**about, "mode": mode}


def _conversion(row: Customer, was: Fields | None) -> Iterator[tuple[str, Fields]]:
    if was is None:
        yield "customer_converted", {"stage": "signup", "source": row.source}
    elif was["plan"] != row.plan and (row.plan == "pro" or was["plan"] == "trial"):
        yield "customer_converted", {"stage": row.plan, "source": row.source}


def _about(session: Session, customer_id: str) -> Fields:
    """Give the tags that say whose event it is; the customer is nearly always loaded already."""
    customer = session.get(Customer, customer_id)
    if customer is None:
        return {}
    is_marketplace = customer.source == "gh_marketplace"
    return {
        "customer": customer.id,
        "plan": customer.plan,
        "source": customer.source,
        "customer_segment": "marketplace" if is_marketplace else "self_serve",
    }
