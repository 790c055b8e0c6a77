"""Metrics say what happened: counters move with what was done, and money with what was paid."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from harness.scrape import Reading, scrape
from suites.e2e.steps import (
    BAD_CARD,
    PAID_AFTER_S,
    card_goes_bad,
    insist,
    paid_minor,
    plan_of,
    settle,
    sign_up,
    subscribed,
    told,
    use,
    used_up,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.ground import Ground
    from harness.provider import Movement, SimulatorProvider
    from harness.session import Customer, Session
    from harness.target.profile import Metrics
    from harness.timeline import Timeline

pytestmark = pytest.mark.requires("create_customer", "record_usage", "get_balance")
SHOWN_S = 5.0
REQUESTS = 10
SCRAPES = 4
DAY_S = 24 * 3600
# A charge and what is counted as its day may be dated by different hands.
MARGIN_S = 300


@pytest.fixture
def metrics(billing: Session) -> Metrics:
    """Give where the target's metrics are, and by which names."""
    names = billing.target.profile.evidence.metrics
    if names is None:
        pytest.skip("the profile names no [evidence.metrics]")
    return names


def _rise(metrics: Metrics, before: Reading, series: str) -> float:
    return scrape(metrics).total(series) - before.total(series)


def _await(condition: Callable[[], bool]) -> bool:
    """Wait until it holds, or tell that it did not: a count may follow an answer."""
    ends_at = time.monotonic() + SHOWN_S
    while not (holds := condition()) and time.monotonic() < ends_at:
        time.sleep(0.1)  # between two scrapes, bounded by the deadline
    return holds


def _charge_of(ground: Ground, customer: Customer) -> Movement:
    """Give the only charge that the customer paid."""
    assert ground.provider is not None
    assert customer.provider_customer is not None
    journal = ground.provider.journal(frozenset({customer.provider_customer}))
    (charge,) = [m for m in journal.movements if m.type == "charge" and m.state == "succeeded"]
    return charge


@pytest.mark.requires("arm_failpoint")
@pytest.mark.requirement("BH-10", "BH-E2E-METRICS")
@pytest.mark.usefixtures("alone")
def test_what_is_rolled_back_is_not_counted(billing: Session, metrics: Metrics) -> None:
    """A usage whose transaction fails is counted once it is done, and not before."""
    customer = sign_up(billing)
    about: dict[str, Any] = {"usage_id": billing.names.new("usage"), "quantity": 1}
    before = scrape(metrics)
    billing.ok("arm_failpoint", point="usage_before_commit", action="fail")
    billing.perform("record_usage", customer=customer, **about)
    insist(billing, "record_usage", customer=customer, **about)
    _await(lambda: _rise(metrics, before, metrics.usage) > 0)
    counted = _rise(metrics, before, metrics.usage)
    assert counted == 1, f"one usage, done at the second try, was counted as {counted:g}"


@pytest.mark.requires("add_payment_method")
@pytest.mark.requirement("BH-10", "BH-E2E-METRICS")
@pytest.mark.usefixtures("alone")
def test_a_decline_is_counted_by_its_reason(billing: Session, metrics: Metrics) -> None:
    """A declined card is one failed payment, under the reason that the bank gave."""
    customer = used_up(billing, BAD_CARD)
    before = scrape(metrics)
    usage_id = billing.names.new("usage")
    billing.refused("record_usage", customer=customer, usage_id=usage_id, quantity=1)
    _await(lambda: _rise(metrics, before, metrics.failures) > 0)
    failed = _rise(metrics, before, metrics.failures)
    assert failed == 1, f"one declined card was counted as {failed:g} failed payments"
    unexplained = _rise(metrics, before, metrics.failures_unexplained)
    assert not unexplained, "a decline whose reason is known was counted as unexplained"


@pytest.mark.requires("add_payment_method", webhooks=True)
@pytest.mark.requirement("BH-10", "BH-E2E-METRICS")
@pytest.mark.usefixtures("alone")
def test_an_event_whose_effect_fails_is_counted_as_failed(
    billing: Session, metrics: Metrics, ground: Ground, simulator: SimulatorProvider
) -> None:
    """While the provider cannot be asked about a refund, its event counts as failed."""
    customer = used_up(billing)
    use(billing, customer)
    settle(billing, ground)
    before = scrape(metrics)
    struck = {"method": "GET", "effect": "none", "count": 30}
    with simulator.fault("error", "refunds", customer=str(customer.provider_customer), **struck):
        simulator.refund(_charge_of(ground, customer))
        counted = _await(lambda: _rise(metrics, before, metrics.events_failed) > 0)
    assert counted, "an event whose effect failed was counted as anything but failed"
    settle(billing, ground)


@pytest.mark.requires("add_payment_method", "subscribe", provider=True)
@pytest.mark.requirement("BH-3", "BH-10", "BH-E2E-METRICS")
@pytest.mark.usefixtures("alone")
def test_revenue_counted_is_money_charged(
    billing: Session, metrics: Metrics, ground: Ground
) -> None:
    """Revenue rises by what customers paid, to the cent, and by nothing that was declined."""
    before = scrape(metrics)
    payer = used_up(billing)
    use(billing, payer)
    declined = used_up(billing, BAD_CARD)
    usage_id = billing.names.new("usage")
    billing.refused("record_usage", customer=declined, usage_id=usage_id, quantity=1)
    subscriber, _, _ = subscribed(billing)
    settle(billing, ground)
    paid = [*paid_minor(ground, payer), *paid_minor(ground, subscriber)]
    _await(lambda: _rise(metrics, before, metrics.revenue) >= sum(paid))
    counted = round(_rise(metrics, before, metrics.revenue))
    assert counted == sum(paid), (
        f"customers paid {told(paid, billing)}; {told([counted], billing)} is counted as revenue"
    )


@pytest.mark.requires("get_customer")
@pytest.mark.requirement("BH-10", "BH-E2E-METRICS")
@pytest.mark.usefixtures("alone")
def test_every_request_is_in_the_latency(billing: Session, metrics: Metrics) -> None:
    """Requests that are refused took time as well: each is in the latency."""
    customer = sign_up(billing)
    before = scrape(metrics)
    for _ in range(REQUESTS):
        billing.refused("get_customer", customer=customer, role="anonymous")
    observed = 0.0
    for _ in range(SCRAPES):  # each may count as a request itself
        observed = _rise(metrics, before, metrics.requests)
        if observed >= REQUESTS:
            break
        time.sleep(0.2)  # a count may follow an answer; bounded by the number of scrapes
    assert observed >= REQUESTS, (
        f"of {REQUESTS} requests that were refused, the latency knows {observed:g}"
    )


@pytest.mark.requires("add_payment_method")
@pytest.mark.requirement("BH-1", "BH-10", "BH-E2E-METRICS")
def test_a_double_charge_is_counted(
    billing: Session,
    metrics: Metrics,
    ground: Ground,
    simulator: SimulatorProvider,
    clock: Timeline,
) -> None:
    """A second charge for one usage, whoever made it, moves the count on which an alert rests."""
    customer = used_up(billing)
    use(billing, customer)
    before = scrape(metrics)
    simulator.charge_again(_charge_of(ground, customer))
    billing.disown(customer)  # was charged twice, by the test
    clock.advance(days=1)
    found = _await(lambda: _rise(metrics, before, metrics.double_charges) > 0)
    assert found, "a customer was charged twice for one usage, and no metric counts it"


@pytest.mark.requires(
    "add_payment_method", "list_payment_methods", "remove_payment_method", "subscribe"
)
@pytest.mark.requirement("BH-10", "BH-E2E-METRICS", "BH-E2E-DUNNING")
def test_an_unpaid_invoice_is_no_revenue(
    billing: Session, metrics: Metrics, simulator: SimulatorProvider, clock: Timeline
) -> None:
    """A renewal that nobody pays is no revenue of its day."""
    plan_of(billing, "pro")
    customer, _, _ = subscribed(billing)
    card_goes_bad(billing, customer)
    clock.advance_to(simulator.period_end(str(customer.provider_customer)) + PAID_AFTER_S)
    reading = scrape(metrics)
    if not reading.shows(metrics.revenue_day):
        pytest.skip(f"the target shows no {metrics.revenue_day}")
    counted = round(reading.total(metrics.revenue_day))
    moved = simulator.moved_minor(clock.now() - DAY_S - MARGIN_S)
    assert counted <= moved, (
        f"{told([counted], billing)} is the revenue of a day on which"
        f" {told([moved], billing)} was paid"
    )
