"""``/v1/refunds``."""

from simulators.stripe import refunds
from simulators.stripe.errors import InvalidRequest, missing
from simulators.stripe.lists import page
from simulators.stripe.resources.common import retriever
from simulators.stripe.routes import Call, Route
from simulators.stripe.schema import (
    ID,
    METADATA,
    Choice,
    Integer,
    Params,
    TimeRange,
    listing,
    merge_metadata,
)
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_CREATE = Params(
    {
        "amount": Integer(1),
        "charge": ID,
        "metadata": METADATA,
        "payment_intent": ID,
        "reason": Choice("duplicate", "fraudulent", "requested_by_customer"),
    }
)


def create(world: World, call: Call) -> Obj:
    """Give back all or a part of a captured charge."""
    return refunds.refund_charge(
        world,
        _charge(world, call),
        call.params.get("amount"),
        metadata=merge_metadata({}, call.params.get("metadata")),
        reason=call.params.get("reason"),
    )


def _charge(world: World, call: Call) -> Obj:
    if intent_id := call.params.get("payment_intent"):
        intent = world.fetch("payment_intent", intent_id, "payment_intent")
        if intent["status"] != "succeeded":
            raise InvalidRequest(
                f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.",
                param="payment_intent",
            )
        return world.fetch("charge", intent["latest_charge"])
    if "charge" not in call.params:
        raise missing("payment_intent")
    return world.fetch("charge", call.params["charge"], "charge")


def update(world: World, call: Call) -> Obj:
    """Change a refund's metadata."""
    refund = world.fetch("refund", call.id)
    metadata = merge_metadata(refund["metadata"], call.params.get("metadata"))
    with refunds.updating(world, refund):
        world.store.set(refund, metadata=metadata)
    return refund


def list_all(world: World, call: Call) -> Obj:
    """List refunds."""
    return page(call, world.store.listed("refund", call.params), equal=("charge", "payment_intent"))


def list_of_charge(world: World, call: Call) -> Obj:
    """List a charge's refunds."""
    world.fetch("charge", call.id)
    return page(call, world.store.where("refund", "charge", call.id))


ROUTES = [
    Route("POST", "/v1/refunds", create, _CREATE),
    Route(
        "GET",
        "/v1/refunds",
        list_all,
        listing(charge=ID, created=TimeRange(), payment_intent=ID),
    ),
    Route("GET", "/v1/refunds/{id}", retriever("refund")),
    Route("POST", "/v1/refunds/{id}", update, Params({"metadata": METADATA})),
    Route("GET", "/v1/charges/{id}/refunds", list_of_charge, listing()),
]
