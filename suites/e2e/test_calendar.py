"""The calendar: months of unlike lengths, leap days, changes of the clock, shares of a period."""

from __future__ import annotations

from calendar import isleap
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from suites.e2e.steps import (
    PAID_AFTER_S,
    keeps_units,
    paid_minor,
    period_end,
    plan_of,
    renew,
    renewed,
    subscribed,
    told,
    units_of,
)

if TYPE_CHECKING:
    from harness.ground import Ground
    from harness.provider import SimulatorProvider
    from harness.session import Customer, Session
    from harness.timeline import Timeline

pytestmark = pytest.mark.requires(
    *("create_customer", "add_payment_method", "subscribe", "get_balance", "get_subscription"),
    provider=True,
)
# 1896 to 1904, and 2096 to 2104.
LEAP_YEARS_APART_MAX = 8


@pytest.mark.requirement("BH-8", "BH-E2E-MONTH-ENDS")
def test_a_subscription_of_the_31st_renews_at_each_months_end(
    billing: Session, clock: Timeline, ground: Ground
) -> None:
    """Anchored on the 31st, periods end on the last day of a short month, and on the 31st again."""
    clock.advance_to(_next(clock.now(), 12, 31))
    customer, answer, _ = subscribed(billing)
    ends = [datetime.fromtimestamp(renew(billing, clock, customer, answer), UTC) for _ in range(4)]
    days = [(end.month, end.day) for end in ends]
    february = 29 if isleap(ends[0].year) else 28
    assert days == [(1, 31), (2, february), (3, 31), (4, 30)], f"periods ended on {days}"
    _assert_paid(billing, ground, customer, periods=5)


@pytest.mark.requirement("BH-3", "BH-8", "BH-E2E-MONTH-ENDS")
def test_a_subscription_of_a_leap_day_renews_each_month(
    billing: Session, clock: Timeline, ground: Ground
) -> None:
    """Begun on the 29th of February, it is renewed on the 29th, and paid once for each month."""
    clock.advance_to(_next(clock.now(), 2, 29))
    customer, answer, _ = subscribed(billing)
    ends = [datetime.fromtimestamp(renew(billing, clock, customer, answer), UTC) for _ in range(2)]
    days = [(end.month, end.day) for end in ends]
    assert days == [(3, 29), (4, 29)], f"periods ended on {days}"
    _assert_paid(billing, ground, customer, periods=3)


@pytest.mark.requirement("BH-8", "BH-10", "BH-E2E-MONTH-ENDS")
def test_a_period_ends_when_the_provider_says(
    billing: Session, clock: Timeline, ground: Ground, simulator: SimulatorProvider
) -> None:
    """Where the clocks of Europe and America change within it, a period ends to the second."""
    for month in (3, 10):
        clock.advance_to(_next(clock.now(), month, 7))
        customer, answer, _ = subscribed(billing)
        shown = period_end(billing, customer, answer)
        due = simulator.period_end(str(customer.provider_customer))
        assert shown == due, f"a period is shown to end {shown - due:+d} s off the provider's"
        renew(billing, clock, customer, answer)
        _assert_paid(billing, ground, customer, periods=2)


@pytest.mark.requires("change_subscription")
@pytest.mark.requirement("BH-2", "BH-3", "BH-E2E-QUANTITY")
@pytest.mark.parametrize(("before", "after"), [(1, 2), (3, 2)], ids=["one more", "one less"])
def test_more_seats_in_mid_period_are_paid_for(
    billing: Session, clock: Timeline, ground: Ground, before: int, after: int
) -> None:
    """A seat more or less costs or saves its share of the rest of the period, to the cent."""
    _, plan = plan_of(billing, "pro")
    begun = [clock.now()]
    customer, answer, units = subscribed(billing, quantity=before)
    begun.append(clock.now())
    end = period_end(billing, customer, answer)
    clock.advance_to(end - (end - begun[0]) // 4)
    changed = [clock.now()]
    billing.ok(
        "change_subscription",
        customer=customer,
        subscription=answer.get("subscription"),
        quantity=after,
    )
    changed.append(clock.now())
    clock.advance_to(end + PAID_AFTER_S)
    paid = sum(paid_minor(ground, customer))
    seats = (before + after) * plan.price_minor
    dues = {
        seats
        + _share(after * plan.price_minor, left, of)
        - _share(before * plan.price_minor, left, of)
        for of in range(end - begun[1], end - begun[0] + 1)
        for left in range(end - changed[1], end - changed[0] + 1)
    }
    assert paid in dues, (
        f"{before} seats, and {after} for the last quarter of the period and the next, cost"
        f" {told([paid], billing)}, where {told([max(dues)], billing)} are due"
    )
    if keeps_units(billing):
        balance, due = units_of(billing, customer), renewed(plan, units, after)
        assert balance == due, f"{after} seats were renewed to {balance} units, {due} are due"


def _share(amount_minor: int, left_s: int, of_s: int) -> int:
    """Give the part of a period's price that is for its rest, to the nearest cent."""
    return (2 * amount_minor * left_s + of_s) // (2 * of_s)


def _assert_paid(billing: Session, ground: Ground, customer: Customer, *, periods: int) -> None:
    """See that each of these periods was paid for once, at the plan's price."""
    _, plan = plan_of(billing, "pro")
    paid, due = paid_minor(ground, customer), [plan.price_minor] * periods
    assert paid == due, (
        f"{periods} periods cost {told(paid, billing)}, {told(due, billing)} are due"
    )


def _next(now: int, month: int, day: int) -> int:
    """Give noon of the next such day, UTC."""
    today = datetime.fromtimestamp(now, UTC)
    for year in range(today.year, today.year + LEAP_YEARS_APART_MAX + 1):
        if (month, day) == (2, 29) and not isleap(year):
            continue
        found = datetime(year, month, day, 12, tzinfo=UTC)
        if found > today:
            return int(found.timestamp())
    raise AssertionError(f"there is no {day}.{month}. in the next years")
