"""Usage that is billed with the invoice: owed at once, paid once, with its period or at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.timeline import DAY_S
from suites.e2e.steps import (
    add_card,
    assert_paid,
    card_goes_bad,
    owed_minor,
    paid_minor,
    plan_of,
    renew,
    settle,
    sign_up,
    standing,
    subscribed,
    told,
    use,
)

if TYPE_CHECKING:
    from harness.ground import Ground
    from harness.session import Session
    from harness.target.profile import Plan
    from harness.timeline import Timeline

pytestmark = pytest.mark.requires(
    "create_customer", "add_payment_method", "subscribe", "record_usage", "get_balance"
)
USED = 3
RIVALS = 8
DUNNING_MAX_S = 30 * DAY_S


def _metered(billing: Session) -> tuple[Plan, int]:
    """Give the plan and its price of a unit, or skip where usage is not billed with the invoice."""
    if billing.target.profile.catalog.usage_billed != "with_invoice":
        pytest.skip("the catalogue bills usage at once")
    _, plan = plan_of(billing, "pro")
    return plan, plan.overage_minor or pytest.skip("the catalogue has no price of a unit")


@pytest.mark.requirement("BH-1", "BH-10", "BH-E2E-METERED")
def test_usage_is_owed_once_however_often_it_is_told(billing: Session) -> None:
    """Told again, told at once and told by many, a usage adds its price to what is owed once."""
    _, unit = _metered(billing)
    customer, _, _ = subscribed(billing)
    before = owed_minor(billing, customer)
    usage_id = billing.names.new("usage")
    act = lambda: billing.perform(  # noqa: E731 - one act, many times
        "record_usage", customer=customer, usage_id=usage_id, quantity=USED
    )
    billing.together([act] * RIVALS)
    billing.ok("record_usage", customer=customer, usage_id=usage_id, quantity=USED)
    owed = owed_minor(billing, customer) - before
    assert owed == USED * unit, (
        f"one usage of {USED} units, told {RIVALS + 1} times, added {told([owed], billing)} to what"
        f" is owed, {told([USED * unit], billing)} are due"
    )


@pytest.mark.requires("get_subscription", provider=True)
@pytest.mark.requirement("BH-1", "BH-E2E-METERED", "BH-E2E-KEYS")
def test_usage_told_again_after_its_invoice_is_not_owed_again(
    billing: Session, clock: Timeline, ground: Ground
) -> None:
    """A usage that was billed and paid is not billed anew when a client tells it once more."""
    plan, unit = _metered(billing)
    customer, answer, _ = subscribed(billing)
    about = {"usage_id": billing.names.new("usage"), "quantity": USED}
    billing.ok("record_usage", customer=customer, **about)
    renew(billing, clock, customer, answer)
    billing.ok("record_usage", customer=customer, **about)
    owed = owed_minor(billing, customer)
    assert owed == 0, f"a usage that was paid for and told again left {told([owed], billing)} owed"
    renew(billing, clock, customer, answer)
    due = [plan.price_minor, plan.price_minor + USED * unit, plan.price_minor]
    assert_paid(billing, ground, customer, due)


@pytest.mark.requirement("BH-6", "BH-E2E-METERED", "BH-E2E-KEYS")
def test_a_usage_id_is_owed_for_by_each_customer_who_uses_it(billing: Session) -> None:
    """Two customers may use the same id for a usage; each owes for their own."""
    _, unit = _metered(billing)
    usage_id = billing.names.new("usage")
    for _ in range(2):
        customer, _, _ = subscribed(billing)
        before = owed_minor(billing, customer)
        billing.ok("record_usage", customer=customer, usage_id=usage_id, quantity=1)
        owed = owed_minor(billing, customer) - before
        assert owed == unit, (
            f"a usage under another's id added {told([owed], billing)} to what is owed,"
            f" {told([unit], billing)} is due"
        )


@pytest.mark.requires("list_payment_methods", "remove_payment_method", provider=True)
@pytest.mark.requires("get_subscription")
@pytest.mark.requirement("BH-4", "BH-8", "BH-E2E-METERED", "BH-E2E-DUNNING")
def test_after_a_debt_that_is_never_paid_nothing_more_is_used(
    billing: Session, clock: Timeline, ground: Ground
) -> None:
    """After the last retry no invoice will bill more usage: it is refused, and nothing is taken."""
    plan, _ = _metered(billing)
    customer, answer, _ = subscribed(billing)
    card_goes_bad(billing, customer)
    end = renew(billing, clock, customer, answer)
    clock.advance_to(end + DUNNING_MAX_S)
    status = standing(billing, customer, answer).get("status")
    assert status not in {"active", "past_due"}, f"a debt never paid leaves the plan {status}"
    billing.refused(
        "record_usage", customer=customer, usage_id=billing.names.new("usage"), quantity=1
    )
    assert_paid(billing, ground, customer, [plan.price_minor])


@pytest.mark.requirement("BH-4", "BH-E2E-METERED")
def test_usage_without_a_subscription_is_refused(billing: Session) -> None:
    """Where no invoice will come to bill it, usage is refused and nothing is owed for it."""
    _metered(billing)
    customer = sign_up(billing)
    add_card(billing, customer)
    before = owed_minor(billing, customer)
    usage_id = billing.names.new("usage")
    billing.refused("record_usage", customer=customer, usage_id=usage_id, quantity=1)
    owed = owed_minor(billing, customer)
    assert owed == before, f"a refused usage left {told([owed], billing)} owed"


@pytest.mark.requires("get_subscription", provider=True)
@pytest.mark.requirement("BH-1", "BH-3", "BH-8", "BH-E2E-METERED")
def test_a_period_is_paid_with_what_was_used_in_it(
    billing: Session, clock: Timeline, ground: Ground
) -> None:
    """The next invoice bills the period's usage beside the plan's price; the one after has none."""
    plan, unit = _metered(billing)
    customer, answer, _ = subscribed(billing)
    use(billing, customer, USED)
    for _ in range(2):
        renew(billing, clock, customer, answer)
    paid = paid_minor(ground, customer)
    due = [plan.price_minor, plan.price_minor + USED * unit, plan.price_minor]
    assert paid == due, (
        f"three periods, with {USED} units used in the first, cost {told(paid, billing)},"
        f" {told(due, billing)} are due"
    )
    owed = owed_minor(billing, customer)
    assert owed == 0, f"{told([owed], billing)} are owed of what was paid"


@pytest.mark.requires("cancel_subscription", provider=True)
@pytest.mark.requirement("BH-1", "BH-8", "BH-E2E-CANCEL", "BH-E2E-METERED")
@pytest.mark.parametrize("used", [0, USED])
def test_cancelling_at_once_bills_what_was_used_and_no_more(
    billing: Session, ground: Ground, used: int
) -> None:
    """After the end what was used is paid for or still shown as owed, once; the plan is not."""
    plan, unit = _metered(billing)
    customer, answer, _ = subscribed(billing)
    use(billing, customer, used)
    about = {"customer": customer, "subscription": answer.get("subscription")}
    billing.ok("cancel_subscription", at_period_end=False, **about)
    settle(billing, ground)
    paid = paid_minor(ground, customer)
    owed = owed_minor(billing, customer)
    due = plan.price_minor + used * unit
    assert sum(paid) + owed == due, (
        f"a plan with {used} units used cost {told(paid, billing)} and left {told([owed], billing)}"
        f" owed, {told([due], billing)} are due in all"
    )


@pytest.mark.requires("get_subscription", "cancel_subscription", provider=True)
@pytest.mark.requirement("BH-8", "BH-E2E-CANCEL", "BH-E2E-METERED")
def test_after_a_scheduled_end_only_what_was_used_is_billed(
    billing: Session, clock: Timeline, ground: Ground
) -> None:
    """A subscription that ends with its period is not paid again: only the last usage is."""
    plan, unit = _metered(billing)
    customer, answer, _ = subscribed(billing)
    about = {"customer": customer, "subscription": answer.get("subscription")}
    billing.ok("cancel_subscription", at_period_end=True, **about)
    use(billing, customer, USED)
    renew(billing, clock, customer, answer)
    clock.advance(days=40)
    paid = paid_minor(ground, customer)
    due = [plan.price_minor, USED * unit]
    assert paid == due, f"in all {told(paid, billing)} was taken, {told(due, billing)} are due"
    usage_id = billing.names.new("usage")
    billing.refused("record_usage", customer=customer, usage_id=usage_id, quantity=1)
