"""What a crash, a lost answer or an odd order leaves behind is put right, and nothing is lost."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from harness import signing
from harness.timeline import HOUR_S
from suites.e2e.steps import insist, paid_minor, settle, sign_up, told, use, used_up
from suites.e2e.test_idempotency import LOST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.ground import Ground
    from harness.provider import Movement, SimulatorProvider
    from harness.session import Customer, Session
    from harness.timeline import Timeline

pytestmark = pytest.mark.requires("create_customer", "record_usage", "get_balance")
DRAIN_S = 3.0


@pytest.mark.requires("add_payment_method", provider=True)
@pytest.mark.requirement("BH-1", "BH-3", "BH-E2E-LOST-ANSWER")
def test_a_charge_left_in_doubt_is_settled_and_not_made_again(
    billing: Session, clock: Timeline, ground: Ground, simulator: SimulatorProvider
) -> None:
    """A charge whose answer was lost is looked up when things are cleared up, not made anew."""
    customer = used_up(billing)
    # After half a minute what is in doubt by itself was taken up; after hours, too, what a service
    # compares with its provider from time to time, which puts a mistake of the first right.
    for later_s in (30, 3 * HOUR_S):
        about: dict[str, Any] = {"usage_id": billing.names.new("usage"), "quantity": 1}
        with simulator.fault("reset", "charges", customer=str(customer.provider_customer), **LOST):
            billing.perform("record_usage", customer=customer, **about)
        clock.advance_to(clock.now() + later_s)
        insist(billing, "record_usage", customer=customer, **about)
    paid = paid_minor(ground, customer)
    assert len(paid) == 2, f"two usages whose charges were in doubt cost {told(paid, billing)}"


@pytest.mark.requirement("BH-10", "BH-E2E-MONTH-ENDS")
def test_the_last_hours_of_a_month_count_in_it(billing: Session, clock: Timeline) -> None:
    """Usage late on a month's last day is that month's, and none of the next, by UTC."""
    today = datetime.fromtimestamp(clock.now(), UTC)
    first = (today.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0)
    midnight = int(first.timestamp())
    clock.advance_to(midnight - 3600)
    customer = sign_up(billing)
    if billing.ok("get_balance", customer=customer).get("used_this_month") is None:
        pytest.skip("the target does not show what was used this month")
    shown = []
    for moment in (midnight - 3000, midnight + 2 * 3600):
        clock.advance_to(moment)
        use(billing, customer)
        shown.append(billing.ok("get_balance", customer=customer).get("used_this_month"))
    assert shown == [1, 1], f"a usage an hour before a month's end and one after: {shown} are shown"


@pytest.mark.requires("add_payment_method", "list_payments", "arm_failpoint", webhooks=True)
@pytest.mark.requirement("BH-3", "BH-5", "BH-E2E-CRASH")
def test_an_acknowledged_webhook_outlives_a_crash(
    billing: Session, clock: Timeline, ground: Ground, simulator: SimulatorProvider
) -> None:
    """An event counts once it is acknowledged, though storing it fails or the service dies next."""
    customer = used_up(billing)
    use(billing, customer, 2)
    settle(billing, ground)
    with simulator.undelivered(str(customer.provider_customer)):
        for charge in _charges(simulator, customer):
            simulator.refund(charge)
        simulator.settle(5.0)  # what else the provider tells of it must not meet the failpoint
        unstored, uneffected = simulator.events(str(customer.provider_customer), "charge.refunded")
        billing.ok("arm_failpoint", point="webhook_before_commit", action="fail")
        _deliver(billing, ground, unstored)
        billing.ok("arm_failpoint", point="event_before_effect", action="kill")
        _deliver(billing, ground, uneffected)
    if "drain" in billing.target.operations:
        # Now it dies at the latest: what it was at is held by a lease, which ends with the day.
        billing.perform("drain", deadline_s=DRAIN_S)
    insist(billing, "get_balance", customer=customer)  # it may be on its way back
    clock.advance(days=1)
    known = _refunded_minor(billing, customer)
    due = sorted(-m.amount_minor for m in _charges(simulator, customer))
    assert known == due, (
        f"the events of {told(due, billing)} were acknowledged;"
        f" after a crash the books know of {told(known, billing)}"
    )


@pytest.mark.requires("add_payment_method", "list_payments", webhooks=True)
@pytest.mark.requirement("BH-3", "BH-5", "BH-E2E-EVENTS")
def test_an_event_that_comes_before_its_customer_is_kept(
    billing: Session, clock: Timeline, ground: Ground, simulator: SimulatorProvider
) -> None:
    """A refund that is told of before its charge is in the books is booked once that is."""
    customer = used_up(billing)
    about: dict[str, Any] = {"usage_id": billing.names.new("usage"), "quantity": 1}
    with simulator.fault("reset", "charges", customer=str(customer.provider_customer), **LOST):
        billing.perform("record_usage", customer=customer, **about)
    (charge,) = _charges(simulator, customer)
    simulator.refund(charge)
    simulator.settle(5.0)
    if "drain" in billing.target.operations:
        billing.perform("drain", deadline_s=0.5)  # what can be done without the charge
    clock.advance(hours=3)
    insist(billing, "record_usage", customer=customer, **about)
    clock.advance(days=1)
    settle(billing, ground)
    known = _refunded_minor(billing, customer)
    assert known == [-charge.amount_minor], (
        f"{told([charge.amount_minor], billing)} went back before its charge was in the books,"
        f" which know of {told(known, billing)}"
    )


@pytest.mark.requires("add_payment_method", "list_payments", webhooks=True)
@pytest.mark.requirement("BH-3", "BH-E2E-EVENTS")
def test_what_is_never_delivered_is_found_at_the_provider(
    billing: Session, clock: Timeline, ground: Ground, simulator: SimulatorProvider
) -> None:
    """A refund whose event never comes is booked later, though nothing could be listed at first."""
    webhooks = billing.target.profile.webhooks
    if webhooks is None or webhooks.catches_up_hours is None:
        pytest.skip("the profile names no [webhooks] catches_up_hours")
    customer = used_up(billing)
    use(billing, customer)
    settle(billing, ground)
    (charge,) = _charges(simulator, customer)
    with simulator.undelivered(str(customer.provider_customer)):
        simulator.refund(charge)
        simulator.settle(5.0)
    with simulator.unlisted():
        clock.advance(hours=webhooks.catches_up_hours)
    clock.advance(hours=webhooks.catches_up_hours)
    known = _refunded_minor(billing, customer)
    assert known == [-charge.amount_minor], (
        f"{told([charge.amount_minor], billing)} went back, of which no event came;"
        f" {webhooks.catches_up_hours:g} hours later the books know of {told(known, billing)}"
    )


def _deliver(billing: Session, ground: Ground, event: Mapping[str, Any]) -> None:
    """Send an event until it is acknowledged, as the provider does."""
    body = json.dumps(event, indent=2).encode()
    header = signing.header(body, ground.webhook_secret or "", int(time.time()))
    headers = (("Stripe-Signature", header),)
    insist(billing, "receive_webhook", payload=body, signature_headers=headers)


def _charges(simulator: SimulatorProvider, customer: Customer) -> list[Movement]:
    journal = simulator.journal(frozenset({str(customer.provider_customer)}))
    return [m for m in journal.movements if m.type == "charge" and m.state == "succeeded"]


def _refunded_minor(billing: Session, customer: Customer) -> list[int]:
    """Give what went back, as the books know it, in minor units and below zero."""
    payments = billing.ok("list_payments", customer=customer)["items"]
    return sorted(p["amount_minor"] for p in payments if p["amount_minor"] < 0)
