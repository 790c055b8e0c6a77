"""Customers in each of the ten states, and what happens as they use, renew, cancel and pay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.customers import Reached, State, differences, load_states, reach_all, why_not
from harness.timeline import DAY_S
from suites.e2e.steps import (
    PAID_AFTER_S,
    paid_minor,
    plan_of,
    renewed,
    settle,
    told,
    units_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.ground import Ground
    from harness.session import Session
    from harness.timeline import Timeline

pytestmark = pytest.mark.requires("create_customer", "get_balance", provider=True)
STATES = load_states()
AT_ONCE = [key for key, state in STATES.items() if not state.needs_time]
IN_TIME = [key for key, state in STATES.items() if state.needs_time]


def _led(billing: Session, keys: Sequence[str], clock: Timeline | None = None) -> list[Reached]:
    """Lead a customer into each of these states, and see that it is there; skip what cannot be."""
    reasons = {key: _why_not(billing, STATES[key], clock) for key in keys}
    able = [STATES[key] for key in keys if not reasons[key]]
    if not able:
        pytest.skip("; ".join(sorted({str(reason) for reason in reasons.values()})))
    found = reach_all(able, billing, clock)
    for reached in found:
        wrong = differences(reached, billing)
        assert not wrong, f"{reached.state.key}: {'; '.join(wrong)}"
    return found


def _why_not(billing: Session, state: State, clock: Timeline | None) -> str | None:
    return why_not(state, billing.target, can_move_time=clock is not None)


class Books:
    """What one customer had and had paid before an act, held against the same afterwards."""

    def __init__(self, billing: Session, ground: Ground, reached: Reached) -> None:
        self.billing, self.ground, self.reached = billing, ground, reached
        self.state = reached.state
        self.units = units_of(billing, reached.customer)
        self.paid = sum(paid_minor(ground, reached.customer))

    def assert_moved(self, act: str, *, units: int = 0, paid_minor_due: int = 0) -> None:
        """See that the act moved so many units and so much money, and nothing else."""
        settle(self.billing, self.ground)
        customer = self.reached.customer
        moved = units_of(self.billing, customer) - self.units
        assert moved == units, f"{self.state.key}: {act} moved {moved} units, {units} are due"
        paid = sum(paid_minor(self.ground, customer)) - self.paid
        assert paid == paid_minor_due, (
            f"{self.state.key}: {act} cost {told([paid], self.billing)},"
            f" {told([paid_minor_due], self.billing)} is due"
        )

    def assert_unchanged(self, act: str) -> None:
        """See that the act moved nothing, and left the customer in its state."""
        self.assert_moved(act)
        wrong = differences(self.reached, self.billing)
        assert not wrong, f"{self.state.key}: {act} was refused, and {'; '.join(wrong)}"


def _use(books: Books) -> None:
    """Record a unit: one at hand is consumed, else it is charged at the plan's rate, or refused."""
    billing = books.billing
    about: dict[str, Any] = {"usage_id": billing.names.new("usage"), "quantity": 1}
    if books.units:
        billing.ok("record_usage", customer=books.reached.customer, **about)
        books.assert_moved("a usage", units=-1)
    elif rate := _rate(books):
        billing.ok("record_usage", customer=books.reached.customer, **about)
        books.assert_moved("a usage", paid_minor_due=rate)
    else:
        billing.refused("record_usage", customer=books.reached.customer, **about)
        books.assert_unchanged("a usage")


def _rate(books: Books) -> int | None:
    """Give what a unit beyond those at hand costs in a state, if it can be had."""
    role = "payg" if books.state.plan == "trial" else books.state.plan
    _, plan = plan_of(books.billing, role)
    return plan.overage_minor if books.state.billing == "good" else None


def _cancel(books: Books) -> None:
    """Cancel at once: a living subscription ends and its units stay; anything else is refused."""
    billing, reached = books.billing, books.reached
    about: dict[str, Any] = {"subscription": reached.subscription, "at_period_end": False}
    request = billing.target.profile.operations["cancel_subscription"].request
    if reached.subscription is None and "{subscription}" in request:
        pytest.skip("the target's cancel_subscription names a subscription, and there is none")
    if books.state.subscription in {"none", "ended"}:
        billing.refused("cancel_subscription", customer=reached.customer, **about)
        books.assert_unchanged("a cancellation")
        return
    billing.ok("cancel_subscription", customer=reached.customer, **about)
    books.assert_moved("a cancellation")
    now = STATES["pro_cancelled"].model_copy(update={"units": str(books.units)})
    wrong = differences(Reached(now, reached.customer, reached.subscription), billing)
    assert not wrong, f"{books.state.key}, cancelled: {'; '.join(wrong)}"


def _pay(books: Books) -> None:
    """Take the plan out: it is paid for once and brings its units, or is refused."""
    billing, reached = books.billing, books.reached
    name, plan = plan_of(billing, "pro")
    about: dict[str, Any] = {"plan": name, "quantity": 1}
    if books.state.billing == "none" or books.state.subscription not in {"none", "ended"}:
        billing.refused("subscribe", customer=reached.customer, **about)
        books.assert_unchanged("taking the plan out")
        return
    billing.ok("subscribe", customer=reached.customer, **about)
    books.assert_moved(
        "taking the plan out", units=plan.included_units, paid_minor_due=plan.price_minor
    )


@pytest.mark.requires("record_usage")
@pytest.mark.requirement("BH-1", "BH-4", "BH-E2E-STATES")
@pytest.mark.parametrize("state", AT_ONCE)
def test_usage_in_a_state(billing: Session, ground: Ground, state: str) -> None:
    """A usage takes a unit at hand, or is charged at the state's rate, or is refused."""
    (reached,) = _led(billing, [state])
    _use(Books(billing, ground, reached))


@pytest.mark.requires("cancel_subscription")
@pytest.mark.requirement("BH-4", "BH-8", "BH-E2E-STATES", "BH-E2E-CANCEL")
@pytest.mark.parametrize("state", AT_ONCE)
def test_cancelling_in_a_state(billing: Session, ground: Ground, state: str) -> None:
    """Cancelling ends what there is to be ended and keeps the units, or is refused."""
    (reached,) = _led(billing, [state])
    _cancel(Books(billing, ground, reached))


@pytest.mark.requires("subscribe")
@pytest.mark.requirement("BH-3", "BH-4", "BH-E2E-STATES", "BH-E2E-SUBSCRIBE")
@pytest.mark.parametrize("state", AT_ONCE)
def test_paying_in_a_state(billing: Session, ground: Ground, state: str) -> None:
    """The plan is paid for once and brings its units where it can be had, or is refused."""
    (reached,) = _led(billing, [state])
    _pay(Books(billing, ground, reached))


@pytest.mark.requires("record_usage", "cancel_subscription", "subscribe")
@pytest.mark.requirement("BH-4", "BH-8", "BH-E2E-STATES")
@pytest.mark.parametrize("state", IN_TIME)
def test_acts_in_a_state_that_takes_time(
    billing: Session, clock: Timeline, ground: Ground, state: str
) -> None:
    """Who was renewed, or could not be, uses, cancels and pays as the state allows."""
    acts = (_use, _cancel, _pay)
    for act, reached in zip(acts, _led(billing, [state] * len(acts), clock), strict=True):
        act(Books(billing, ground, reached))


@pytest.mark.requirement("BH-2", "BH-8", "BH-E2E-STATES", "BH-E2E-RENEWAL")
def test_a_period_goes_by_in_each_state(billing: Session, clock: Timeline, ground: Ground) -> None:
    """An active subscription is renewed and paid once, and nobody else pays or gets anything."""
    found = _led(billing, list(STATES), clock)
    before = [Books(billing, ground, reached) for reached in found]
    clock.advance_to(max(_period_end(books, clock) for books in before) + PAID_AFTER_S)
    _, plan = plan_of(billing, "pro")
    for books in before:
        is_renewed = books.state.subscription == "active"
        books.assert_moved(
            "a period",
            units=renewed(plan, books.units) - books.units if is_renewed else 0,
            paid_minor_due=plan.price_minor if is_renewed else 0,
        )


def _period_end(books: Books, clock: Timeline) -> int:
    """Give when the period ends that was paid for, or now."""
    if books.state.subscription not in {"active", "ending"}:
        return clock.now()
    about = {"customer": books.reached.customer, "subscription": books.reached.subscription}
    end = books.billing.ok("get_subscription", **about).get("period_end")
    return end if isinstance(end, int) else clock.now() + 31 * DAY_S
