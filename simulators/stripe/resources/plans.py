"""``/v1/plans``: the older face of recurring prices, which keep the same ids."""

from simulators.stripe.currencies import Currency
from simulators.stripe.errors import missing, no_such
from simulators.stripe.lists import page
from simulators.stripe.rendering import plan_of
from simulators.stripe.resources.catalog import new_price, new_product, updating_price
from simulators.stripe.routes import Call, Route
from simulators.stripe.schema import (
    ID,
    METADATA,
    Choice,
    Either,
    Flag,
    Hash,
    Integer,
    Params,
    Text,
    TimeRange,
    listing,
    merge_metadata,
)
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_PRODUCT = Hash(
    {
        "active": Flag(),
        "id": ID,
        "metadata": METADATA,
        "name": Text(clearable=False),
        "statement_descriptor": Text(22),
        "unit_label": Text(12),
    },
    frozenset({"name"}),
)
_CREATE = Params(
    {
        "active": Flag(),
        "amount": Integer(),
        "currency": Currency(),
        "id": ID,
        "interval": Choice("day", "month", "week", "year"),
        "interval_count": Integer(1, 1_095),
        "metadata": METADATA,
        "nickname": Text(),
        "product": Either(ID, _PRODUCT),
    },
    ("currency", "interval", "product"),
)
_UPDATE = Params({"active": Flag(), "metadata": METADATA, "nickname": Text()})


def create(world: World, call: Call) -> Obj:
    """Create a plan of a product that exists, or of one made along with it."""
    given = call.params
    if "amount" not in given:
        raise missing("amount")
    product = given["product"]
    if isinstance(product, dict):
        product = new_product(world, product)["id"]
    recurring = call.pick("interval", "interval_count")
    same = call.pick("active", "currency", "id", "metadata", "nickname")
    price = new_price(
        world,
        {**same, "product": product, "recurring": recurring, "unit_amount": given["amount"]},
        prefix="plan",
    )
    return plan_of(price)


def _fetch(world: World, call: Call) -> Obj:
    """Return the price behind a plan; one-time prices have none."""
    price = world.store.get("price", call.id)
    if price is None or price["type"] != "recurring" or price["_deleted"]:
        raise no_such("plan", call.id)
    return price


def retrieve(world: World, call: Call) -> Obj:
    """Return a plan."""
    return plan_of(_fetch(world, call))


def update(world: World, call: Call) -> Obj:
    """Change what of a plan can be changed; never its amount."""
    price = _fetch(world, call)
    changes = call.pick("active", "nickname")
    if "metadata" in call.params:
        changes["metadata"] = merge_metadata(price["metadata"], call.params["metadata"])
    with updating_price(world, price):
        world.store.set(price, **changes)
    return plan_of(price)


def delete(world: World, call: Call) -> Obj:
    """Delete a plan: nobody can subscribe to it any more, and who did stays."""
    price = _fetch(world, call)
    world.emit("plan.deleted", plan_of(price))
    world.emit("price.deleted", price)
    world.store.set(price, active=False, _deleted=True)
    return {"id": price["id"], "object": "plan", "deleted": True}


def list_all(world: World, call: Call) -> Obj:
    """List plans."""
    found = [
        plan_of(price)
        for price in world.store.listed("price", call.params)
        if price["type"] == "recurring" and not price["_deleted"]
    ]
    return page(call, found, equal=("active", "product"))


ROUTES = [
    Route("POST", "/v1/plans", create, _CREATE),
    Route("GET", "/v1/plans", list_all, listing(active=Flag(), created=TimeRange(), product=ID)),
    Route("GET", "/v1/plans/{id}", retrieve),
    Route("POST", "/v1/plans/{id}", update, _UPDATE),
    Route("DELETE", "/v1/plans/{id}", delete),
]
