"""Removes test customers without trace; the one way past the append-only triggers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from simulators.billing.core import Answer, Core
from simulators.billing.limits import key_subject
from simulators.billing.operations.accounts import email_digest
from simulators.billing.problems import Refusal, not_found
from simulators.billing.storage.database import locked_customer
from simulators.billing.storage.repairs import CardAttempt
from simulators.billing.storage.tables import (
    ApiKey,
    CreditTransaction,
    Customer,
    Debt,
    EarnedGrant,
    FixAttempt,
    IdempotencyRecord,
    Invoice,
    OutboxEmail,
    Payment,
    PaymentMethod,
    PurgePermit,
    Subscription,
)
from simulators.billing.storage.traffic import RateHit
from simulators.billing.stripe_gateway.errors import GatewayError, StripeRefusal

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAGE = 100
_BELONGINGS = (
    ApiKey,
    CardAttempt,
    CreditTransaction,
    Debt,
    FixAttempt,
    IdempotencyRecord,
    Invoice,
    OutboxEmail,
    Payment,
    PaymentMethod,
    Subscription,
)


def purge(core: Core, customer_id: str) -> Answer:
    """Delete a customer of the test domains, here and at Stripe."""
    with core.database.read() as session:
        customer = session.get(Customer, customer_id)
    if customer is None:
        raise not_found()
    if not _is_of_test(core, customer):
        raise Refusal(409, "not_a_test_customer", "Only customers of the test domains are purged.")
    with suppress(GatewayError):  # best effort: a test's leftovers at Stripe bill nobody
        core.stripe.customers.delete(customer.stripe_customer_id)
    _remove(core, customer)
    return Answer(200, {"purged": True})


@dataclass(frozen=True, slots=True)
class Purge:
    """What was done: how many customers were removed, and the ids of those that had to be kept."""

    removed: int
    kept: Sequence[str]


def listing(core: Core, cursor: str) -> Answer:
    """Give a page of the customers of the test domains, by their ids."""
    with core.database.read() as session:
        later = select(Customer).where(Customer.id > cursor).order_by(Customer.id)
        found = [each for each in session.scalars(later) if _is_of_test(core, each)]
    data = [
        {"customer_id": each.id, "email": each.email, "closed": each.closed_at is not None}
        for each in found[:_PAGE]
    ]
    is_more = len(found) > _PAGE
    return Answer(200, {"data": data, "next_cursor": found[_PAGE - 1].id if is_more else None})


def purge_all(core: Core) -> Purge:
    """Delete every customer of the test domains; one that Stripe may still have is kept here."""
    kept = []
    found = of_test(core)
    for customer in found:
        try:
            with suppress(StripeRefusal):  # Stripe refuses only what it does not have
                core.stripe.customers.delete(customer.stripe_customer_id)
        except GatewayError:
            kept.append(customer.id)
        else:
            _remove(core, customer)
    return Purge(len(found) - len(kept), kept)


def of_test(core: Core) -> list[Customer]:
    """Give the customers of the test domains."""
    with core.database.read() as session:
        return [each for each in session.scalars(select(Customer)) if _is_of_test(core, each)]


def _is_of_test(core: Core, customer: Customer) -> bool:
    return customer.email.rpartition("@")[2] in core.settings.test_email_domains


def _remove(core: Core, customer: Customer) -> None:
    customer_id = customer.id
    with core.database.write() as session:
        locked_customer(session, customer_id)
        session.add(PurgePermit(customer_id=customer_id, created_at=core.clock.now()))
        session.flush()
        for table in _BELONGINGS:
            session.execute(delete(table).where(table.customer_id == customer_id))
        subjects = [key_subject(customer_id, slot) for slot in (1, 2)]
        session.execute(delete(RateHit).where(RateHit.subject.in_(subjects)))
        digest = email_digest(core, customer.email)
        session.execute(delete(EarnedGrant).where(EarnedGrant.email_digest == digest))
        session.execute(delete(Customer).where(Customer.id == customer_id))
