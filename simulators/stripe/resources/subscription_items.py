"""``/v1/subscription_items``, and the parameters of an item wherever one is given."""

from simulators.stripe.billing import changes, lifecycle
from simulators.stripe.lists import page
from simulators.stripe.resources.catalog import PRICE_DATA, new_price
from simulators.stripe.resources.common import retriever
from simulators.stripe.routes import Call, Route
from simulators.stripe.schema import (
    ID,
    LIST_FIELDS,
    METADATA,
    TIMESTAMP,
    Choice,
    Field,
    Flag,
    Integer,
    Params,
)
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_QUANTITY = Integer(0, 1_000_000)
ITEM: dict[str, Field] = {
    "metadata": METADATA,
    "price": ID,
    "price_data": PRICE_DATA,
    "quantity": _QUANTITY,
}
BEHAVIOR = Choice("allow_incomplete", "default_incomplete", "error_if_incomplete")
CHANGE_BEHAVIOR = Choice(
    "allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete"
)
PRORATION = Choice("always_invoice", "create_prorations", "none")
_ITEM_CHANGE: dict[str, Field] = {
    **ITEM,
    "off_session": Flag(),
    "payment_behavior": CHANGE_BEHAVIOR,
    "proration_behavior": PRORATION,
    "proration_date": TIMESTAMP,
}


def create_item(world: World, call: Call) -> Obj:
    """Add an item, prorated."""
    subscription = world.fetch("subscription", call.params["subscription"], "subscription")
    entry = call.pick("metadata", "price", "price_data", "quantity")
    _change_items(world, subscription, entry, call)
    return lifecycle.items_of(world, subscription)[-1]


def update_item(world: World, call: Call) -> Obj:
    """Change an item, prorated."""
    item = world.fetch("subscription_item", call.id)
    subscription = world.fetch("subscription", item["subscription"])
    entry = {"id": item["id"], **call.pick("metadata", "price", "price_data", "quantity")}
    _change_items(world, subscription, entry, call)
    return item


def delete_item(world: World, call: Call) -> Obj:
    """Remove an item, prorated."""
    item = world.fetch("subscription_item", call.id)
    subscription = world.fetch("subscription", item["subscription"])
    _change_items(world, subscription, {"id": item["id"], "deleted": True}, call)
    return {"id": item["id"], "object": "subscription_item", "deleted": True}


def _change_items(world: World, subscription: Obj, entry: Obj, call: Call) -> None:
    if "price_data" in entry:
        entry["price"] = new_price(world, entry.pop("price_data"))["id"]
    behavior = call.pick("off_session", "payment_behavior", "proration_behavior", "proration_date")
    changes.change(world, subscription, {**behavior, "items": [entry]})


def list_items(world: World, call: Call) -> Obj:
    """List a subscription's items."""
    subscription = world.fetch("subscription", call.params["subscription"], "subscription")
    return page(call, lifecycle.items_of(world, subscription)[::-1])


ROUTES = [
    Route(
        "POST",
        "/v1/subscription_items",
        create_item,
        Params({**_ITEM_CHANGE, "subscription": ID}, ("subscription",)),
    ),
    Route(
        "GET",
        "/v1/subscription_items",
        list_items,
        Params({**LIST_FIELDS, "subscription": ID}, ("subscription",)),
    ),
    Route("GET", "/v1/subscription_items/{id}", retriever("subscription_item")),
    Route("POST", "/v1/subscription_items/{id}", update_item, Params(_ITEM_CHANGE)),
    Route(
        "DELETE",
        "/v1/subscription_items/{id}",
        delete_item,
        Params(
            {
                key: _ITEM_CHANGE[key]
                for key in (
                    "off_session",
                    "payment_behavior",
                    "proration_behavior",
                    "proration_date",
                )
            }
        ),
    ),
]
