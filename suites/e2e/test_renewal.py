"""Time passes: renewals, rollover, scheduled ends, and debts that are not paid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.timeline import DAY_S
from suites.e2e.steps import (
    PAID_AFTER_S,
    add_card,
    cancel,
    card_goes_bad,
    charge_of_next,
    keeps_units,
    needs_units,
    paid_minor,
    period_end,
    plan_of,
    renew,
    renewed,
    standing,
    subscribed,
    told,
    units_of,
    use,
)

if TYPE_CHECKING:
    from harness.ground import Ground
    from harness.provider import SimulatorProvider
    from harness.session import Session
    from harness.timeline import Timeline

pytestmark = pytest.mark.requires(
    "create_customer", "add_payment_method", "subscribe", "get_balance", "get_subscription"
)
# Cards are listed and removed where one is to go bad.
CARDS = ("list_payment_methods", "remove_payment_method")
DUNNING_MAX_S = 30 * DAY_S


@pytest.mark.requirement("BH-2", "BH-8", "BH-E2E-RENEWAL")
def test_a_renewal_keeps_no_more_than_the_rollover_cap(billing: Session, clock: Timeline) -> None:
    """At a renewal, units beyond the cap expire, and the plan's units come on top, once."""
    _, plan = plan_of(billing, "pro")
    if plan.rollover_cap is None:
        pytest.skip("the catalogue has no rollover cap")
    customer, answer, before = subscribed(billing)
    renew(billing, clock, customer, answer)
    due = renewed(plan, before)
    units = units_of(billing, customer)
    assert units == due, f"{before} units became {units} at the renewal, where {due} are due"


@pytest.mark.requires("record_usage")
@pytest.mark.requirement("BH-2", "BH-E2E-RENEWAL")
def test_what_is_below_the_cap_rolls_over_whole(billing: Session, clock: Timeline) -> None:
    """A customer who has used nearly everything keeps the rest at the renewal."""
    _, plan = plan_of(billing, "pro")
    left = (plan.rollover_cap or 0) // 2
    if not left:
        pytest.skip("the catalogue lets nothing roll over")
    customer, answer, before = subscribed(billing)
    use(billing, customer, before - left)
    renew(billing, clock, customer, answer)
    due = left + plan.included_units
    units = units_of(billing, customer)
    assert units == due, f"{left} units became {units} at the renewal, where {due} are due"


@pytest.mark.requires(provider=True)
@pytest.mark.requirement("BH-3", "BH-8", "BH-E2E-RENEWAL")
def test_a_renewal_is_paid_once_at_the_plans_price(
    billing: Session, clock: Timeline, ground: Ground
) -> None:
    """Each period costs the plan's price, once, and nothing else is taken."""
    _, plan = plan_of(billing, "pro")
    customer, answer, _ = subscribed(billing)
    for _ in range(2):
        renew(billing, clock, customer, answer)
    paid = paid_minor(ground, customer)
    due = [plan.price_minor] * 3
    assert paid == due, f"three periods cost {told(paid, billing)}, {told(due, billing)} are due"


@pytest.mark.requires(*CARDS, provider=True)
@pytest.mark.requirement("BH-2", "BH-8", "BH-E2E-DUNNING")
def test_a_renewal_that_is_not_paid_grants_nothing(
    billing: Session, clock: Timeline, ground: Ground
) -> None:
    """While the card declines, the subscription is past due, and no period's units come."""
    _, plan = plan_of(billing, "pro")
    customer, answer, before = subscribed(billing)
    card_goes_bad(billing, customer)
    renew(billing, clock, customer, answer)
    if keeps_units(billing):
        units = units_of(billing, customer)
        assert units <= before, f"an unpaid renewal turned {before} units into {units}"
    status = standing(billing, customer, answer).get("status")
    assert status == "past_due", f"an unpaid subscription is {status}, where past_due is due"
    paid = paid_minor(ground, customer)
    assert paid == [plan.price_minor], f"an unpaid renewal cost {told(paid[1:], billing)}"


@pytest.mark.requires(*CARDS, "get_customer")
@pytest.mark.requirement("BH-8", "BH-10", "BH-E2E-DUNNING")
def test_a_failed_renewal_is_shown_as_past_due(billing: Session, clock: Timeline) -> None:
    """A customer whose renewal was declined is shown as past due, not as if all were well."""
    if "status" not in billing.target.profile.operations["get_customer"].reply:
        pytest.skip("get_customer shows no status")
    customer, answer, _ = subscribed(billing)
    card_goes_bad(billing, customer)
    renew(billing, clock, customer, answer)
    status = billing.ok("get_customer", customer=customer).get("status")
    assert status == "past_due", f"a customer whose renewal was declined is shown as {status}"


@pytest.mark.requires(*CARDS, provider=True)
@pytest.mark.requirement("BH-2", "BH-3", "BH-E2E-DUNNING")
def test_a_debt_that_is_paid_late_brings_its_units_once(
    billing: Session, clock: Timeline, ground: Ground
) -> None:
    """A new card pays the open invoice at the next retry: its units come, and all is well again."""
    _, plan = plan_of(billing, "pro")
    customer, answer, before = subscribed(billing)
    card_goes_bad(billing, customer)
    renew(billing, clock, customer, answer)
    add_card(billing, customer)
    clock.advance(days=4)
    status = standing(billing, customer, answer).get("status")
    assert status == "active", f"after the debt was paid the subscription is {status}"
    paid = paid_minor(ground, customer)
    assert paid == [plan.price_minor] * 2, f"two periods cost {told(paid, billing)}"
    if not keeps_units(billing):
        return
    units = units_of(billing, customer)
    due = renewed(plan, before)
    assert units == due, f"a renewal paid late left {units} units, where {due} are due"


@pytest.mark.requires(*CARDS, "record_usage", provider=True)
@pytest.mark.requirement("BH-8", "BH-E2E-DUNNING")
def test_a_debt_that_is_never_paid_ends_the_plan(
    billing: Session, clock: Timeline, ground: Ground
) -> None:
    """After the last retry the plan's price is gone: usage costs the pay-as-you-go rate again."""
    _, plan = plan_of(billing, "pro")
    _, payg = plan_of(billing, "payg")
    customer, answer, before = subscribed(billing)
    use(billing, customer, before)
    card_goes_bad(billing, customer)
    end = renew(billing, clock, customer, answer)
    clock.advance_to(end + DUNNING_MAX_S)
    status = standing(billing, customer, answer).get("status")
    assert status not in {"active", "past_due"}, f"a debt never paid leaves the plan {status}"
    add_card(billing, customer)
    charged = charge_of_next(billing, customer)
    assert charged == payg.overage_minor, (
        f"after the plan ended usage costs {told([charged], billing)},"
        f" the catalogue says {told([payg.overage_minor], billing)}"
    )
    paid = paid_minor(ground, customer)
    assert paid == [plan.price_minor, payg.overage_minor], f"in all {told(paid, billing)} was taken"


@pytest.mark.requires(*CARDS, "record_usage", "get_customer", provider=True)
@pytest.mark.requirement("BH-2", "BH-8", "BH-E2E-DUNNING")
def test_units_outlast_a_debt_that_is_never_paid(
    billing: Session, clock: Timeline, ground: Ground
) -> None:
    """Who owes for a renewal keeps what was paid for, while it is owed and after the plan's end."""
    needs_units(billing)
    _, plan = plan_of(billing, "pro")
    customer, answer, before = subscribed(billing)
    card_goes_bad(billing, customer)
    end = renew(billing, clock, customer, answer)
    use(billing, customer)
    clock.advance_to(end + DUNNING_MAX_S)
    use(billing, customer)
    clock.settle()
    units = units_of(billing, customer)
    assert units == before - 2, f"of {before} units two were used, and {units} are left"
    shown = billing.ok("get_customer", customer=customer).get("plan")
    assert shown != plan_of(billing, "pro")[0], "a plan that nobody paid for is still shown"
    paid = paid_minor(ground, customer)
    assert paid == [plan.price_minor], (
        f"usage of units that were paid for cost {told(paid, billing)}"
    )


@pytest.mark.requires(*CARDS)
@pytest.mark.requirement("BH-8", "BH-E2E-RESUBSCRIBE")
def test_subscribing_again_after_a_debt_pays_for_the_new_period(
    billing: Session, clock: Timeline, ground: Ground
) -> None:
    """A customer whose plan ended unpaid may subscribe again, pays once, and has its units."""
    _, plan = plan_of(billing, "pro")
    customer, answer, _ = subscribed(billing)
    card_goes_bad(billing, customer)
    end = renew(billing, clock, customer, answer)
    clock.advance_to(end + DUNNING_MAX_S)
    add_card(billing, customer)
    _, _, due = subscribed(billing, customer)
    clock.settle()
    paid = paid_minor(ground, customer)
    assert paid == [plan.price_minor] * 2, f"two subscriptions cost {told(paid, billing)}"
    if keeps_units(billing):
        units = units_of(billing, customer)
        assert units == due, f"subscribing again left {units} units, where {due} are due"


@pytest.mark.requires("cancel_subscription", "record_usage", provider=True)
@pytest.mark.requirement("BH-8", "BH-E2E-CANCEL")
def test_a_cancellation_at_the_end_of_the_period_stops_the_next(
    billing: Session, clock: Timeline, ground: Ground
) -> None:
    """Until its end the plan's rate holds; after it nothing renews, and usage costs more again."""
    _, plan = plan_of(billing, "pro")
    _, payg = plan_of(billing, "payg")
    customer, answer, before = subscribed(billing)
    end = period_end(billing, customer, answer)
    cancel(billing, customer, answer, at_period_end=True)
    use(billing, customer, before)
    during = charge_of_next(billing, customer)
    clock.advance_to(end + PAID_AFTER_S)
    after = charge_of_next(billing, customer)
    assert (during, after) == (plan.overage_minor, payg.overage_minor), (
        f"usage cost {told([during, after], billing)} before and after the end,"
        f" the catalogue says {told([plan.overage_minor, payg.overage_minor], billing)}"
    )
    paid = paid_minor(ground, customer)
    assert paid == [plan.price_minor, during, after], f"in all {told(paid, billing)} was taken"


@pytest.mark.requires("cancel_subscription", "resume_subscription", provider=True)
@pytest.mark.requirement("BH-8", "BH-E2E-RESUME")
def test_a_resumed_subscription_renews(billing: Session, clock: Timeline, ground: Ground) -> None:
    """Who takes a scheduled cancellation back is renewed as if nothing had been."""
    _, plan = plan_of(billing, "pro")
    customer, answer, _ = subscribed(billing)
    subscription = answer.get("subscription")
    cancel(billing, customer, answer, at_period_end=True)
    billing.ok("resume_subscription", customer=customer, subscription=subscription)
    renew(billing, clock, customer, answer)
    paid = paid_minor(ground, customer)
    assert paid == [plan.price_minor] * 2, f"two periods cost {told(paid, billing)}"
    status = standing(billing, customer, answer).get("status")
    assert status == "active", f"a resumed subscription is {status} after its renewal"


@pytest.mark.requires(provider=True)
@pytest.mark.requirement("BH-5", "BH-E2E-RENEWAL")
def test_an_event_whose_effect_fails_is_not_lost(
    billing: Session, clock: Timeline, simulator: SimulatorProvider
) -> None:
    """While the provider cannot be asked about a paid renewal, its event waits; then it counts."""
    is_listed = "list_payments" in billing.target.operations
    if not is_listed:
        needs_units(billing)
    _, plan = plan_of(billing, "pro")
    customer, answer, before = subscribed(billing)
    with simulator.fault(
        "error", "invoices", customer=str(customer.provider_customer), effect="none", count=6
    ):
        renew(billing, clock, customer, answer)
        clock.advance(hours=1)
    clock.advance(days=1)
    if keeps_units(billing):
        due = renewed(plan, before)
        billing.until(lambda b: b.get("units") == due, "get_balance", customer=customer)
    if is_listed:
        billing.until(lambda page: len(page["items"]) == 2, "list_payments", customer=customer)
