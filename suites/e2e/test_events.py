"""Stripe's events come late, in any order and again; what is true at Stripe is what counts."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from harness import signing
from suites.e2e.steps import plan_of, subscribed

if TYPE_CHECKING:
    from harness.ground import Ground
    from harness.provider import SimulatorProvider
    from harness.session import Session
    from harness.timeline import Timeline

LET_GO_DAYS = 4  # Stripe itself gives a delivery up after three

pytestmark = pytest.mark.requires(
    *("create_customer", "add_payment_method", "subscribe", "cancel_subscription"),
    *("get_balance", "get_subscription"),
    provider=True,
    webhooks=True,
)


@pytest.mark.requirement("BH-5", "BH-8", "BH-E2E-EVENTS")
@pytest.mark.parametrize("kind", ["customer.subscription.created", "customer.subscription.updated"])
def test_an_old_event_that_comes_late_changes_nothing(
    billing: Session, ground: Ground, kind: str
) -> None:
    """An event of when the subscription was alive, delivered after its end, does not revive it."""
    customer, answer, _ = subscribed(billing)
    assert ground.provider is not None
    assert customer.provider_customer is not None
    about = {"customer": customer, "subscription": answer.get("subscription")}
    billing.ok("cancel_subscription", at_period_end=True, **about)
    events = ground.provider.events(customer.provider_customer, kind)
    assert events, f"the payment provider shows no {kind} for the subscription"
    billing.ok("cancel_subscription", at_period_end=False, **about)
    ended = billing.ok("get_subscription", **about).get("status")
    late = {**events[0], "id": billing.names.new("evt")}
    body = json.dumps(late, indent=2).encode()
    header = signing.header(body, ground.webhook_secret or "", int(time.time()))
    billing.perform(
        "receive_webhook", payload=body, signature_headers=(("Stripe-Signature", header),)
    )
    if "drain" in billing.target.operations:
        billing.ok("drain", deadline_s=5.0)
    status = billing.ok("get_subscription", **about).get("status")
    assert status == ended, f"an old {kind} turned a subscription that was {ended} into {status}"


@pytest.mark.requires("advance_time", "drain")
@pytest.mark.requirement("BH-3", "BH-5", "BH-E2E-EVENTS")
def test_who_is_no_customer_is_nobodys_business(
    billing: Session, clock: Timeline, simulator: SimulatorProvider
) -> None:
    """An invoice of the same account's other business moves nothing here, and is let go in time."""
    customer, _, _ = subscribed(billing)
    before = billing.ok("get_balance", customer=customer).outputs
    catalog = billing.target.profile.catalog
    _, plan = plan_of(billing, "pro")
    stranger = simulator.bill_stranger(plan.price_minor, catalog.currency)
    assert simulator.events(stranger, "invoice.paid"), "the payment provider shows no event of it"
    for _ in range(2):
        clock.advance(days=LET_GO_DAYS)
    after = billing.ok("get_balance", customer=customer).outputs
    assert after == before, f"a stranger's invoice turned {before} into {after}"
