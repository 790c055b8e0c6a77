"""``/v1/disputes``."""

from simulators.stripe import disputes
from simulators.stripe.lists import page
from simulators.stripe.resources.common import retriever
from simulators.stripe.routes import Call, Route
from simulators.stripe.schema import (
    ID,
    METADATA,
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

_EVIDENCE = Hash({name: Text(150_000) for name in disputes.TEXTS})
_UPDATE = Params({"evidence": _EVIDENCE, "metadata": METADATA, "submit": Flag()})


def update(world: World, call: Call) -> Obj:
    """Add evidence or metadata; evidence is sent to the bank unless ``submit`` is false."""
    dispute = world.fetch("dispute", call.id)
    with world.updating(dispute, "charge.dispute.updated"):
        if evidence := call.params.get("evidence"):
            submit = call.params.get("submit", True)
            disputes.respond(world, dispute, evidence, submit=submit)
        if "metadata" in call.params:
            metadata = merge_metadata(dispute["metadata"], call.params["metadata"])
            world.store.set(dispute, metadata=metadata)
    disputes.decide(world, dispute)
    return dispute


def close(world: World, call: Call) -> Obj:
    """Accept a dispute as lost."""
    dispute = world.fetch("dispute", call.id)
    disputes.require_open(dispute)
    disputes.conclude(world, dispute)
    return dispute


def list_all(world: World, call: Call) -> Obj:
    """List disputes."""
    return page(
        call, world.store.listed("dispute", call.params), equal=("charge", "payment_intent")
    )


ROUTES = [
    Route(
        "GET",
        "/v1/disputes",
        list_all,
        listing(charge=ID, created=TimeRange(), payment_intent=ID),
    ),
    Route("GET", "/v1/disputes/{id}", retriever("dispute")),
    Route("POST", "/v1/disputes/{id}", update, _UPDATE),
    Route("POST", "/v1/disputes/{id}/close", close),
]
