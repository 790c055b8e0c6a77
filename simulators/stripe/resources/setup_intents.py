"""``/v1/setup_intents``."""

from typing import Any

from simulators.stripe import setups
from simulators.stripe.errors import InvalidRequest
from simulators.stripe.lists import page
from simulators.stripe.resources.common import MANDATE_DATA, retriever
from simulators.stripe.resources.payment_methods import DATA, from_data, own_payment_method
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
    Params,
    Text,
    TimeRange,
    listing,
    merge_metadata,
)
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_METHOD: dict[str, Field] = {
    "payment_method": CLEARABLE_ID,
    "payment_method_data": Hash(DATA, frozenset({"type"})),
}
_FIELDS: dict[str, Field] = {
    **_METHOD,
    "customer": ID,
    "description": Text(1_000),
    "metadata": METADATA,
    "payment_method_types": Array(Choice("card", "sepa_debit")),
}
_CONFIRM: dict[str, Field] = {**_METHOD, "mandate_data": MANDATE_DATA, "return_url": Text()}
_CREATE: dict[str, Field] = {
    **_FIELDS,
    **_CONFIRM,
    "automatic_payment_methods": Hash(
        {"allow_redirects": Choice("always", "never"), "enabled": Flag()}, frozenset({"enabled"})
    ),
    "confirm": Flag(),
    "usage": Choice("off_session", "on_session"),
}
_REASON = Choice("abandoned", "duplicate", "requested_by_customer")
_PLAIN = ("customer", "description", "payment_method_types")


def create(world: World, call: Call) -> Obj:
    """Create a setup intent and, where asked, confirm it at once."""
    given = call.params
    method = _method(world, given, given.get("customer"))
    automatic = {"allow_redirects": "always", **given.get("automatic_payment_methods", {})}
    setup = setups.new_setup(
        world,
        **call.pick(*_PLAIN, "usage"),
        automatic_payment_methods=(
            None if "payment_method_types" in given else {"enabled": True, **automatic}
        ),
        metadata=merge_metadata({}, given.get("metadata")),
        payment_method=method["id"] if method else None,
    )
    if given.get("confirm"):
        _confirm(world, setup)
    return setup


def _method(world: World, given: Obj, customer: str | None) -> Obj | None:
    if "payment_method_data" in given:
        return from_data(world, given["payment_method_data"])
    owner = world.fetch("customer", customer, "customer") if customer else None
    name = given.get("payment_method")
    return own_payment_method(world, name, owner, "payment_method") if name else None


def _confirm(world: World, setup: Obj) -> None:
    if setup["payment_method"] is None:
        raise InvalidRequest(
            "You cannot confirm this SetupIntent because it's missing a payment method. Update "
            "the SetupIntent with a payment method and then confirm it again.",
            code="setup_intent_unexpected_state",
            setup_intent=world.show(setup),
        )
    method = world.fetch("payment_method", setup["payment_method"], "payment_method")
    setups.confirm(world, setup, method)


def confirm(world: World, call: Call) -> Obj:
    """Confirm a setup intent."""
    setup = update(world, call)
    _confirm(world, setup)
    return setup


def update(world: World, call: Call) -> Obj:
    """Change a setup intent that is not yet done; this sends no event, as at Stripe."""
    setup = world.fetch("setup_intent", call.id)
    if setup["status"] not in setups.OPEN:
        raise setups.unexpected_state(world, setup, "change", setups.OPEN)
    changes: dict[str, Any] = call.pick(*_PLAIN)
    method = _method(world, call.params, call.params.get("customer", setup["customer"]))
    if method is not None:
        changes |= {"payment_method": method["id"], "status": "requires_confirmation"}
    if "metadata" in call.params:
        changes["metadata"] = merge_metadata(setup["metadata"], call.params["metadata"])
    return world.store.set(setup, **changes)


def cancel(world: World, call: Call) -> Obj:
    """Cancel a setup intent."""
    setup = world.fetch("setup_intent", call.id)
    setups.cancel(world, setup, call.params.get("cancellation_reason"))
    return setup


def list_all(world: World, call: Call) -> Obj:
    """List setup intents."""
    found = world.store.listed("setup_intent", call.params)
    return page(call, found, equal=("customer", "payment_method"))


ROUTES = [
    Route("POST", "/v1/setup_intents", create, Params(_CREATE)),
    Route(
        "GET",
        "/v1/setup_intents",
        list_all,
        listing(created=TimeRange(), customer=ID, payment_method=ID),
    ),
    Route(
        "GET",
        "/v1/setup_intents/{id}",
        retriever("setup_intent"),
        Params({"client_secret": Text()}),
    ),
    Route("POST", "/v1/setup_intents/{id}", update, Params(_FIELDS)),
    Route("POST", "/v1/setup_intents/{id}/confirm", confirm, Params(_CONFIRM)),
    Route(
        "POST",
        "/v1/setup_intents/{id}/cancel",
        cancel,
        Params({"cancellation_reason": _REASON}),
    ),
]
