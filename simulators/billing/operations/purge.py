"""Removes a test customer without trace; the one way past the append-only triggers."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import delete

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
from simulators.billing.stripe_gateway.errors import GatewayError

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
    if customer.email.rpartition("@")[2] not in core.settings.test_email_domains:
        raise Refusal(409, "not_a_test_customer", "Only customers of the test domains are purged.")
    with suppress(GatewayError):  # best effort: a test's leftovers at Stripe bill nobody
        core.stripe.customers.delete(customer.stripe_customer_id)
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
    return Answer(200, {"purged": True})
