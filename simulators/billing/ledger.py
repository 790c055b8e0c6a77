"""The only code that writes credits: every entry hangs on the one before it.

Callers hold the customer's lock (`storage.database.locked_customer`); should one not, the chain
refuses the entry and the transaction rolls back. A `cause` is the fact behind an entry, and the
database takes one entry for each customer, source and cause.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from sqlalchemy import func, select

from simulators.billing.identifiers import new_id
from simulators.billing.storage.tables import CreditTransaction, Debt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

Source = Literal[
    "trial_signup",
    "trial_billing_added",
    "pro_subscription_payment",
    "purchased",
    "consumed",
    "rollover_expired",
    "adjustment",
]


@dataclass(frozen=True, slots=True)
class Posting:
    """A signed number of credits, and the fact behind it."""

    amount: int
    source: Source
    cause: str
    details: Mapping[str, str | int] = field(default_factory=dict)


# A purchased credit pays for the fix that bought it, so no debt is taken from it.
_DEBT_IS_TAKEN_FROM = frozenset({"trial_signup", "trial_billing_added", "pro_subscription_payment"})


def balance(session: Session, customer_id: str) -> int:
    """Give a customer's credits: what the last entry left."""
    last = _last(session, customer_id)
    return last.balance_after if last else 0


def owed(session: Session, customer_id: str) -> int:
    """Give the credits that were taken back after their use, and that no grant has paid."""
    total = session.scalar(select(func.sum(Debt.units)).where(Debt.customer_id == customer_id))
    return int(total or 0)


def has_entry(session: Session, customer_id: str, source: Source, cause: str) -> bool:
    """Tell whether the fact `cause` already has its entry."""
    found = select(CreditTransaction.id).where(
        CreditTransaction.customer_id == customer_id,
        CreditTransaction.source == source,
        CreditTransaction.cause == cause,
    )
    return session.scalar(found) is not None


def append(session: Session, customer_id: str, posting: Posting, *, at: int) -> CreditTransaction:
    """Write one entry after the last, and give it; the database refuses what must not be."""
    last = _last(session, customer_id)
    before = last.balance_after if last else 0
    entry = CreditTransaction(
        id=new_id("txn"),
        customer_id=customer_id,
        sequence=last.sequence + 1 if last else 1,
        previous_sequence=last.sequence if last else None,
        balance_before=before,
        amount=posting.amount,
        balance_after=before + posting.amount,
        source=posting.source,
        cause=posting.cause,
        details=json.dumps(dict(posting.details), sort_keys=True),
        created_at=at,
    )
    session.add(entry)
    session.flush()
    if posting.source in _DEBT_IS_TAKEN_FROM:
        _take_debt(session, entry, at)
    return entry


def take_back(session: Session, customer_id: str, units: int, *, cause: str, at: int) -> None:
    """Take `units` credits back: from the balance as far as it goes, the rest as a debt."""
    taken = min(units, balance(session, customer_id))
    if taken:
        append(session, customer_id, Posting(-taken, "adjustment", cause), at=at)
    if units > taken:
        _owe(session, customer_id, units - taken, cause, at)


def give_back(session: Session, customer_id: str, units: int, *, cause: str, at: int) -> None:
    """Give `units` credits back that were taken; what became a debt then is paid from them."""
    if units:
        entry = append(session, customer_id, Posting(units, "adjustment", cause), at=at)
        _take_debt(session, entry, at)


def _take_debt(session: Session, grant: CreditTransaction, at: int) -> None:
    taken = min(owed(session, grant.customer_id), grant.amount)
    if taken:
        cause = f"debt:{grant.id}"
        _owe(session, grant.customer_id, -taken, cause, at)
        append(session, grant.customer_id, Posting(-taken, "adjustment", cause), at=at)


def _owe(session: Session, customer_id: str, units: int, cause: str, at: int) -> None:
    debt = Debt(id=new_id("debt"), customer_id=customer_id, units=units, cause=cause, created_at=at)
    session.add(debt)
    session.flush()


def _last(session: Session, customer_id: str) -> CreditTransaction | None:
    newest = (
        select(CreditTransaction)
        .where(CreditTransaction.customer_id == customer_id)
        .order_by(CreditTransaction.sequence.desc())
        .limit(1)
    )
    return session.scalar(newest)
