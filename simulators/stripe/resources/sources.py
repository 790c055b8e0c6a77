"""``/v1/customers/{id}/sources``: cards as the Charges API has them.

A source is a payment method with an id like ``card_…``, shown in its older form; either API can
charge it.
"""

from simulators.stripe.cards import find_card
from simulators.stripe.errors import no_such
from simulators.stripe.lists import page
from simulators.stripe.resources.payment_methods import check_attachable, detach_from, from_token
from simulators.stripe.routes import Call, Route
from simulators.stripe.schema import (
    ID,
    METADATA,
    Choice,
    Integer,
    Params,
    Text,
    listing,
    merge_metadata,
)
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_PATH = "/v1/customers/{id}/sources"
_CREATE = Params({"metadata": METADATA, "source": ID}, ("source",))
_UPDATE = Params(
    {
        "exp_month": Integer(1, 12),
        "exp_year": Integer(0, 9999),
        "metadata": METADATA,
        "name": Text(),
    }
)


def card_of(method: Obj) -> Obj:
    """Return the older form of a payment method that is a source."""
    card, owner = method["card"], method["billing_details"]
    address = owner["address"]
    return {
        "id": method["id"],
        "object": "card",
        "address_city": address["city"],
        "address_country": address["country"],
        "address_line1": address["line1"],
        "address_line1_check": None,
        "address_line2": address["line2"],
        "address_state": address["state"],
        "address_zip": address["postal_code"],
        "address_zip_check": None,
        "allow_redisplay": method["allow_redisplay"],
        "brand": card["brand"].title(),
        "country": card["country"],
        "customer": method["customer"],
        "cvc_check": card["checks"]["cvc_check"],
        "dynamic_last4": None,
        "exp_month": card["exp_month"],
        "exp_year": card["exp_year"],
        "fingerprint": card["fingerprint"],
        "funding": card["funding"],
        "last4": card["last4"],
        "metadata": method["metadata"],
        "name": owner["name"],
        "regulated_status": card["regulated_status"],
        "tokenization_method": None,
    }


def add_source(world: World, customer: Obj, token: str, metadata: dict[str, str]) -> Obj:
    """Give a customer a source; the first one pays by default."""
    if find_card(token) is None:
        raise no_such("token", token, "source")
    method = from_token(
        world, token, "source", {"metadata": metadata}, method_id=world.ids.new("card")
    )
    check_attachable(method)
    world.store.set(method, customer=customer["id"])
    world.emit("customer.source.created", card_of(method))
    if customer["default_source"] is None:
        with world.updating(customer, "customer.updated"):
            world.store.set(customer, default_source=method["id"])
    return method


def create(world: World, call: Call) -> Obj:
    """Add a source to a customer."""
    customer = world.fetch("customer", call.id)
    metadata = merge_metadata({}, call.params.get("metadata"))
    return card_of(add_source(world, customer, call.params["source"], metadata))


def _fetch(world: World, call: Call) -> Obj:
    customer = world.fetch("customer", call.id)
    method = world.store.get("payment_method", call.path["source"])
    if method is None or method["customer"] != customer["id"] or not _is_source(method):
        raise no_such("source", call.path["source"])
    return method


def _is_source(method: Obj) -> bool:
    return str(method["id"]).startswith("card_")


def retrieve(world: World, call: Call) -> Obj:
    """Return a source."""
    return card_of(_fetch(world, call))


def update(world: World, call: Call) -> Obj:
    """Change a source's expiry, owner's name or metadata."""
    method = _fetch(world, call)
    changes: Obj = {"card": {**method["card"], **call.pick("exp_month", "exp_year")}}
    if "name" in call.params:
        changes["billing_details"] = {**method["billing_details"], "name": call.params["name"]}
    if "metadata" in call.params:
        changes["metadata"] = merge_metadata(method["metadata"], call.params["metadata"])
    with world.updating(method, "customer.source.updated", card_of):
        world.store.set(method, **changes)
    return card_of(method)


def delete(world: World, call: Call) -> Obj:
    """Take a source from its customer."""
    method = _fetch(world, call)
    customer = world.fetch("customer", call.id)
    world.emit("customer.source.deleted", card_of(method))
    detach_from(world, customer, method)
    return {"id": method["id"], "object": "card", "deleted": True}


def list_all(world: World, call: Call) -> Obj:
    """List a customer's sources."""
    world.fetch("customer", call.id)
    methods = world.store.where("payment_method", "customer", call.id)
    return page(call, [card_of(method) for method in methods if _is_source(method)])


ROUTES = [
    Route("POST", _PATH, create, _CREATE),
    Route("GET", _PATH, list_all, listing(object=Choice("card"))),
    Route("GET", _PATH + "/{source}", retrieve),
    Route("POST", _PATH + "/{source}", update, _UPDATE),
    Route("DELETE", _PATH + "/{source}", delete),
]
