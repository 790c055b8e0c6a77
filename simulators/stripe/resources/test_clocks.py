"""``/v1/test_helpers/test_clocks``."""

from simulators.stripe.billing import test_clocks
from simulators.stripe.lists import page
from simulators.stripe.resources.common import retriever
from simulators.stripe.routes import Call, Route
from simulators.stripe.schema import TIMESTAMP, Params, Text, listing
from simulators.stripe.world import TEST_CLOCK, World
from simulators.webhooks.events import Obj

_PATH = "/v1/test_helpers/test_clocks"


def create(world: World, call: Call) -> Obj:
    """Create a clock that stands still at ``frozen_time``, past or future."""
    clock = world.store.insert(
        {
            "id": world.ids.new("clock"),
            "object": TEST_CLOCK,
            "created": world.account_now,
            "deletes_after": world.account_now + test_clocks.KEPT_S,
            "frozen_time": call.params["frozen_time"],
            "livemode": False,
            "name": call.params.get("name"),
            "status": "ready",
            "status_details": {},
        }
    )
    world.store.schedule("delete_test_clock", clock["id"], clock["deletes_after"])
    world.emit("test_helpers.test_clock.created", clock)
    return clock


def advance(world: World, call: Call) -> Obj:
    """Begin to move a clock on; it is there when its status is ``ready``."""
    clock = world.fetch(TEST_CLOCK, call.id)
    test_clocks.begin(world, clock, call.params["frozen_time"])
    return clock


def delete(world: World, call: Call) -> Obj:
    """Delete a clock with its customers."""
    return test_clocks.remove(world, world.fetch(TEST_CLOCK, call.id))


def list_all(world: World, call: Call) -> Obj:
    """List clocks."""
    return page(call, [clock for clock in world.store.all(TEST_CLOCK) if not clock.get("deleted")])


ROUTES = [
    Route(
        "POST", _PATH, create, Params({"frozen_time": TIMESTAMP, "name": Text()}, ("frozen_time",))
    ),
    Route("GET", _PATH, list_all, listing()),
    Route("GET", _PATH + "/{id}", retriever(TEST_CLOCK)),
    Route(
        "POST",
        _PATH + "/{id}/advance",
        advance,
        Params({"frozen_time": TIMESTAMP}, ("frozen_time",)),
    ),
    Route("DELETE", _PATH + "/{id}", delete),
]
