"""``/v1/products`` and ``/v1/prices``."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from simulators.stripe.currencies import Currency
from simulators.stripe.errors import InvalidRequest, missing
from simulators.stripe.lists import page
from simulators.stripe.rendering import plan_of
from simulators.stripe.resources.common import retriever
from simulators.stripe.routes import Call, Route
from simulators.stripe.schema import (
    CLEARABLE_ID,
    ID,
    METADATA,
    Array,
    Choice,
    Field,
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

_RECURRING = Hash(
    {
        "interval": Choice("day", "month", "week", "year"),
        "interval_count": Integer(1, 1_095),
        "usage_type": Choice("licensed"),
    },
    frozenset({"interval"}),
)
_INTERVAL_MAX = {"day": 1_095, "week": 156, "month": 36, "year": 3}
_TAX_BEHAVIOR = Choice("exclusive", "inclusive", "unspecified")

_PRODUCT: dict[str, Field] = {
    "active": Flag(),
    "description": Text(),
    "images": Array(Text(clearable=False), 8),
    "metadata": METADATA,
    "name": Text(clearable=False),
    "shippable": Flag(),
    "statement_descriptor": Text(22),
    "unit_label": Text(12),
    "url": Text(),
}
_PRICE: dict[str, Field] = {
    "active": Flag(),
    "billing_scheme": Choice("per_unit"),
    "currency": Currency(),
    "lookup_key": Text(200),
    "metadata": METADATA,
    "nickname": Text(),
    "product": ID,
    "product_data": Hash(
        {
            "active": Flag(),
            "id": ID,
            "metadata": METADATA,
            "name": Text(clearable=False),
            "statement_descriptor": Text(22),
            "unit_label": Text(12),
        },
        frozenset({"name"}),
    ),
    "recurring": _RECURRING,
    "tax_behavior": _TAX_BEHAVIOR,
    "transfer_lookup_key": Flag(),
    "unit_amount": Integer(),
}
PRICE_DATA = Hash(
    {
        "currency": Currency(),
        "product": ID,
        "recurring": _RECURRING,
        "tax_behavior": _TAX_BEHAVIOR,
        "unit_amount": Integer(),
    },
    frozenset({"currency", "product", "unit_amount"}),
)
_CREATE_PRODUCT = Params(
    {
        **_PRODUCT,
        "default_price_data": Hash(
            {
                "currency": Currency(),
                "metadata": METADATA,
                "recurring": _RECURRING,
                "unit_amount": Integer(),
            },
            frozenset({"currency", "unit_amount"}),
        ),
        "id": ID,
        "type": Choice("good", "service"),
    },
    ("name",),
)
_UPDATE_PRODUCT = Params({**_PRODUCT, "default_price": CLEARABLE_ID})
_UPDATE_PRICE = Params(
    {
        key: _PRICE[key]
        for key in (
            "active",
            "lookup_key",
            "metadata",
            "nickname",
            "tax_behavior",
            "transfer_lookup_key",
        )
    }
)
_LIST_PRODUCTS = listing(
    active=Flag(),
    created=TimeRange(),
    ids=Array(ID),
    shippable=Flag(),
    type=Choice("good", "service"),
    url=ID,
)
_LIST_PRICES = listing(
    active=Flag(),
    created=TimeRange(),
    currency=Currency(),
    lookup_keys=Array(ID, 10),
    product=ID,
    recurring=Hash(
        {
            "interval": Choice("day", "month", "week", "year"),
            "usage_type": Choice("licensed", "metered"),
        }
    ),
    type=Choice("one_time", "recurring"),
)


def create_product(world: World, call: Call) -> Obj:
    """Create a product, with its default price if one is described."""
    product = new_product(world, call.params)
    if data := call.params.get("default_price_data"):
        price = new_price(world, {**data, "product": product["id"]})
        world.store.set(product, default_price=price["id"])
    return product


def new_product(world: World, given: Obj) -> Obj:
    """Add a product, with its event."""
    product_id = given.get("id") or world.ids.new("prod", 14)
    if world.store.get("product", product_id):
        raise InvalidRequest("Product already exists.", code="resource_already_exists")
    product: Obj = {
        "id": product_id,
        "object": "product",
        "active": given.get("active", True),
        "created": world.now,
        "default_price": None,
        "description": given.get("description"),
        "images": given.get("images", []),
        "livemode": False,
        "marketing_features": [],
        "metadata": merge_metadata({}, given.get("metadata")),
        "name": given["name"],
        "package_dimensions": None,
        "shippable": given.get("shippable"),
        "statement_descriptor": given.get("statement_descriptor"),
        "tax_code": None,
        "type": given.get("type", "service"),
        "unit_label": given.get("unit_label"),
        "updated": world.now,
        "url": given.get("url"),
    }
    world.store.insert(product)
    world.emit("product.created", product)
    return product


def update_product(world: World, call: Call) -> Obj:
    """Change what was given."""
    product = world.fetch("product", call.id)
    changes = {**call.params, "updated": world.now}
    changes.pop("expand", None)
    if "metadata" in changes:
        changes["metadata"] = merge_metadata(product["metadata"], changes["metadata"])
    if wanted := changes.get("default_price"):
        world.fetch("price", wanted, "default_price")
    with world.updating(product, "product.updated"):
        world.store.set(product, **changes)
    return product


def delete_product(world: World, call: Call) -> Obj:
    """Delete a product that has no prices."""
    product = world.fetch("product", call.id)
    if world.store.where("price", "product", product["id"]):
        raise InvalidRequest(
            "This product cannot be deleted because it has one or more user-created prices.",
        )
    return world.remove(product, "product.deleted")


def list_products(world: World, call: Call) -> Obj:
    """List products that are not deleted."""
    found = [product for product in world.store.all("product") if not product.get("deleted")]
    if "ids" in call.params:
        found = [product for product in found if product["id"] in call.params["ids"]]
    return page(call, found, equal=("active", "shippable", "type", "url"))


def create_price(world: World, call: Call) -> Obj:
    """Create a price of a product that exists, or of one made along with it."""
    given = dict(call.params)
    if "unit_amount" not in given:
        raise missing("unit_amount")
    if "product_data" in given:
        given["product"] = new_product(world, given["product_data"])["id"]
    if "product" not in given:
        raise missing("product")
    return new_price(world, given)


def new_price(world: World, given: Obj, *, prefix: str = "price") -> Obj:
    """Add a price, with its events: a recurring one is a plan, too."""
    world.fetch("product", given["product"], "product")
    if "id" in given and world.store.get("price", given["id"]):
        raise InvalidRequest("Plan already exists.", code="resource_already_exists", param="id")
    lookup_key = given.get("lookup_key")
    _free_lookup_key(world, lookup_key, transfer=given.get("transfer_lookup_key", False))
    price: Obj = {
        "id": given.get("id") or world.ids.new(prefix),
        "object": "price",
        "active": given.get("active", True),
        "billing_scheme": "per_unit",
        "created": world.now,
        "currency": given["currency"],
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": lookup_key,
        "metadata": merge_metadata({}, given.get("metadata")),
        "nickname": given.get("nickname"),
        "product": given["product"],
        "recurring": _recurring(given.get("recurring")),
        "tax_behavior": given.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if given.get("recurring") else "one_time",
        "unit_amount": given["unit_amount"],
        "unit_amount_decimal": str(given["unit_amount"]),
        "_deleted": False,
    }
    world.store.insert(price)
    if price["recurring"]:
        world.emit("plan.created", plan_of(price))
    world.emit("price.created", price)
    return price


def _recurring(given: Obj | None) -> Obj | None:
    if given is None:
        return None
    interval, count = given["interval"], given.get("interval_count", 1)
    if count > _INTERVAL_MAX[interval]:
        raise InvalidRequest(
            "The maximum billing interval is three years.", param="recurring[interval_count]"
        )
    return {
        "interval": interval,
        "interval_count": count,
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


def _free_lookup_key(world: World, lookup_key: str | None, *, transfer: bool) -> None:
    """Make sure that no other price has the key, taking it away where that is asked for."""
    holders = [price for price in world.store.all("price") if price["lookup_key"] == lookup_key]
    if lookup_key is None or not holders:
        return
    if not transfer:
        raise InvalidRequest(
            f"A price (`{holders[0]['id']}`) already uses that lookup key.", param="lookup_key"
        )
    for holder in holders:
        with world.updating(holder, "price.updated"):
            world.store.set(holder, lookup_key=None)


def update_price(world: World, call: Call) -> Obj:
    """Change what of a price can be changed; never its amount."""
    price = world.fetch("price", call.id)
    changes: dict[str, Any] = call.pick("active", "lookup_key", "nickname", "tax_behavior")
    if changes.get("lookup_key", price["lookup_key"]) != price["lookup_key"]:
        transfer = call.params.get("transfer_lookup_key", False)
        _free_lookup_key(world, changes["lookup_key"], transfer=transfer)
    if "metadata" in call.params:
        changes["metadata"] = merge_metadata(price["metadata"], call.params["metadata"])
    with updating_price(world, price):
        world.store.set(price, **changes)
    return price


@contextmanager
def updating_price(world: World, price: Obj) -> Iterator[None]:
    """Emit the events of a price that changes inside, and of the plan that it is."""
    with world.updating(price, "price.updated"):
        if price["recurring"]:
            with world.updating(price, "plan.updated", plan_of):
                yield
        else:
            yield


def list_prices(world: World, call: Call) -> Obj:
    """List prices."""
    found = [price for price in world.store.listed("price", call.params) if not price["_deleted"]]
    if "lookup_keys" in call.params:
        found = [price for price in found if price["lookup_key"] in call.params["lookup_keys"]]
    for key, value in call.params.get("recurring", {}).items():
        found = [price for price in found if (price["recurring"] or {}).get(key) == value]
    return page(call, found, equal=("active", "currency", "product", "type"))


ROUTES = [
    Route("POST", "/v1/products", create_product, _CREATE_PRODUCT),
    Route("GET", "/v1/products", list_products, _LIST_PRODUCTS),
    Route("GET", "/v1/products/{id}", retriever("product")),
    Route("POST", "/v1/products/{id}", update_product, _UPDATE_PRODUCT),
    Route("DELETE", "/v1/products/{id}", delete_product),
    Route("POST", "/v1/prices", create_price, Params(_PRICE, ("currency",))),
    Route("GET", "/v1/prices", list_prices, _LIST_PRICES),
    Route("GET", "/v1/prices/{id}", retriever("price")),
    Route("POST", "/v1/prices/{id}", update_price, _UPDATE_PRICE),
]
