"""Parameters that several resources share."""

from simulators.stripe.routes import Call, Handler
from simulators.stripe.schema import CLEARABLE_ID, TIMESTAMP, Choice, Hash, Text
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

ADDRESS = Hash(
    {key: Text() for key in ("city", "country", "line1", "line2", "postal_code", "state")},
    clearable=True,
)
SHIPPING = Hash(
    {
        "address": ADDRESS,
        "carrier": Text(),
        "name": Text(),
        "phone": Text(),
        "tracking_number": Text(),
    },
    clearable=True,
)
BILLING_DETAILS = Hash(
    {
        "address": ADDRESS,
        "email": Text(512),
        "name": Text(),
        "phone": Text(),
        "tax_id": CLEARABLE_ID,
    }
)
MANDATE_DATA = Hash(
    {
        "customer_acceptance": Hash(
            {
                "accepted_at": TIMESTAMP,
                "offline": Hash({}),
                "online": Hash({"ip_address": Text(), "user_agent": Text()}),
                "type": Choice("offline", "online"),
            },
            frozenset({"type"}),
        )
    },
    frozenset({"customer_acceptance"}),
)


def full_address(given: Obj | None) -> Obj | None:
    """Return an address with all its fields, None where nothing was given."""
    return None if given is None else {key: given.get(key) for key in ADDRESS.fields}


def full_shipping(given: Obj | None) -> Obj | None:
    """Return shipping details with a full address."""
    if given is None:
        return None
    return {**given, "address": full_address(given.get("address"))}


def retriever(kind: str) -> Handler:
    """Return the handler that answers with the object of a kind that the path names."""

    def retrieve(world: World, call: Call) -> Obj:
        return world.fetch(kind, call.id)

    return retrieve
