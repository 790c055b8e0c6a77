"""Test clocks: a time of their own for a few customers, moved on step by step.

https://docs.stripe.com/billing/testing/test-clocks. A clock that advances stops wherever
something of its customers falls due; meanwhile nothing of theirs can be changed, as at Stripe.
"""

from simulators.stripe.billing import lifecycle
from simulators.stripe.billing.lines import price_of
from simulators.stripe.billing.periods import boundary
from simulators.stripe.errors import InvalidRequest
from simulators.stripe.world import TEST_CLOCK, World
from simulators.webhooks.events import Obj

KEPT_S = 30 * 86_400
_WITHOUT_SUBSCRIPTIONS_YEARS = 2


def begin(world: World, clock: Obj, to: int) -> None:
    """Start to advance a clock to `to`, within Stripe's limits; `due.step` does the rest."""
    if to <= clock["frozen_time"]:
        raise InvalidRequest(
            "`frozen_time` must be after the test clock's current frozen time.",
            param="frozen_time",
        )
    if (latest := _latest(world, clock)) is not None and to > latest:
        raise InvalidRequest(
            "Cannot advance the test clock by more than two intervals of its shortest "
            "subscription, or two years where it has none, at a time.",
            param="frozen_time",
        )
    details = {"advancing": {"target_frozen_time": to}}
    world.store.set(clock, status="advancing", status_details=details)
    world.emit("test_helpers.test_clock.advancing", clock)


def _latest(world: World, clock: Obj) -> int | None:
    """Return how far a clock may be advanced now; None is as far as one likes."""
    count = world.settings.clock_intervals_max
    if count is None:
        return None
    now = clock["frozen_time"]
    ends = [
        boundary(now, recurring["interval"], recurring["interval_count"], count)
        for subscription in subscriptions_of(world, clock)
        if subscription["status"] not in lifecycle.ENDED
        for item in lifecycle.items_of(world, subscription)[:1]
        if (recurring := price_of(world, item)["recurring"])
    ]
    return min(ends, default=boundary(now, "year", 1, _WITHOUT_SUBSCRIPTIONS_YEARS))


def customers_of(world: World, clock: Obj) -> list[Obj]:
    """Return the customers that live by a clock, oldest first."""
    return world.store.where("customer", "test_clock", clock["id"])


def subscriptions_of(world: World, clock: Obj) -> list[Obj]:
    """Return the subscriptions that live by a clock, oldest first."""
    return world.store.where("subscription", "test_clock", clock["id"])


def advancing(world: World) -> list[Obj]:
    """Return the clocks that are on their way."""
    return [clock for clock in world.store.all(TEST_CLOCK) if clock.get("status") == "advancing"]


def check_room(world: World, clock: Obj) -> None:
    """Refuse one customer more than may live by a clock."""
    most = world.settings.clock_customers_max
    if most is not None and len(customers_of(world, clock)) >= most:
        raise InvalidRequest(
            f"You can only attach {most} customers to a test clock.", param="test_clock"
        )


def remove(world: World, clock: Obj) -> Obj:
    """Delete a clock with its customers, at somebody's wish or because its days are over."""
    for customer in customers_of(world, clock):
        lifecycle.remove_customer(world, customer)
    world.store.schedule("delete_test_clock", clock["id"], None)
    return world.remove(clock, "test_helpers.test_clock.deleted")
