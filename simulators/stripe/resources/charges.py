"""``/v1/charges``, ``/v1/refunds`` and ``/v1/balance_transactions``."""

from simulators.stripe.charging import new_balance_transaction
from simulators.stripe.currencies import format_money
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
    Text,
    TimeRange,
    listing,
    merge_metadata,
)
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_REFUND = Params(
    {
        "amount": Integer(1),
        "charge": ID,
        "metadata": METADATA,
        "payment_intent": ID,
        "reason": Choice("duplicate", "fraudulent", "requested_by_customer"),
    }
)
_UPDATE_CHARGE = Params(
    {"customer": ID, "description": Text(), "metadata": METADATA, "receipt_email": Text(512)}
)


def update_charge(world: World, call: Call) -> Obj:
    """Change a charge's description, receipt address, metadata or missing customer."""
    charge = world.fetch("charge", call.id)
    changes = call.pick("description", "receipt_email")
    if owner := call.params.get("customer"):
        if charge["customer"] not in {None, owner}:
            raise InvalidRequest("You cannot change the customer of a charge.", param="customer")
        changes["customer"] = world.fetch("customer", owner, "customer")["id"]
    if "metadata" in call.params:
        changes["metadata"] = merge_metadata(charge["metadata"], call.params["metadata"])
    with world.updating(charge, "charge.updated"):
        world.store.set(charge, **changes)
    return charge


def list_charges(world: World, call: Call) -> Obj:
    """List charges, of one customer or of one payment intent too."""
    return page(
        call, world.store.all("charge"), equal=("customer", "payment_intent", "transfer_group")
    )


def create_refund(world: World, call: Call) -> Obj:
    """Give back all or a part of a captured charge."""
    charge = _charge_to_refund(world, call)
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount = call.params.get("amount", left)
    _check_refundable(charge, amount, left)
    refund = world.store.insert(_new_refund(world, charge, amount, call.params))
    transaction = new_balance_transaction(world, refund, -amount, 0, "refund")
    world.store.set(refund, balance_transaction=transaction["id"])
    world.record_money(
        refund,
        entry_id=transaction["id"],
        amount_minor=-amount,
        state="succeeded",
        invoice=charge["_invoice"],
    )
    refunded = charge["amount_refunded"] + amount
    with world.updating(charge, "charge.refunded"):
        whole = refunded == charge["amount_captured"]
        world.store.set(charge, amount_refunded=refunded, refunded=whole)
    world.emit("refund.created", refund)
    return refund


def _charge_to_refund(world: World, call: Call) -> Obj:
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


def _check_refundable(charge: Obj, amount: int, left: int) -> None:
    if not charge["captured"]:
        raise InvalidRequest(
            f"Charge {charge['id']} has not been captured or has failed, so it cannot be refunded.",
            code="charge_not_refundable",
        )
    if left == 0:
        raise InvalidRequest(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    if amount > left:
        money = format_money(amount, charge["currency"])
        raise InvalidRequest(
            f"Refund amount ({money}) is greater than unrefunded amount on charge "
            f"({format_money(left, charge['currency'])})",
            param="amount",
        )


def _new_refund(world: World, charge: Obj, amount: int, given: Obj) -> Obj:
    reference = {"reference_status": "pending", "reference_type": "acquirer_reference_number"}
    return {
        "id": world.ids.new("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": world.account_now,
        "currency": charge["currency"],
        "description": None,
        "destination_details": {"card": {**reference, "type": "refund"}, "type": "card"},
        "metadata": merge_metadata({}, given.get("metadata")),
        "payment_intent": charge["payment_intent"],
        "reason": given.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
        "_customer": charge["customer"],
    }


def update_refund(world: World, call: Call) -> Obj:
    """Change a refund's metadata."""
    refund = world.fetch("refund", call.id)
    metadata = merge_metadata(refund["metadata"], call.params.get("metadata"))
    with world.updating(refund, "refund.updated"):
        world.store.set(refund, metadata=metadata)
    return refund


def list_refunds(world: World, call: Call) -> Obj:
    """List refunds."""
    return page(call, world.store.all("refund"), equal=("charge", "payment_intent"))


def list_of_charge(world: World, call: Call) -> Obj:
    """List a charge's refunds."""
    world.fetch("charge", call.id)
    return page(call, world.store.where("refund", "charge", call.id))


def list_balance_transactions(world: World, call: Call) -> Obj:
    """List balance transactions."""
    found = world.store.all("balance_transaction")
    return page(call, found, equal=("currency", "source", "type"))


ROUTES = [
    Route(
        "GET",
        "/v1/charges",
        list_charges,
        listing(created=TimeRange(), customer=ID, payment_intent=ID, transfer_group=ID),
    ),
    Route("GET", "/v1/charges/{id}", retriever("charge")),
    Route("POST", "/v1/charges/{id}", update_charge, _UPDATE_CHARGE),
    Route("GET", "/v1/charges/{id}/refunds", list_of_charge, listing()),
    Route("POST", "/v1/refunds", create_refund, _REFUND),
    Route(
        "GET",
        "/v1/refunds",
        list_refunds,
        listing(charge=ID, created=TimeRange(), payment_intent=ID),
    ),
    Route("GET", "/v1/refunds/{id}", retriever("refund")),
    Route("POST", "/v1/refunds/{id}", update_refund, Params({"metadata": METADATA})),
    Route(
        "GET",
        "/v1/balance_transactions",
        list_balance_transactions,
        listing(created=TimeRange(), currency=ID, source=ID, type=ID),
    ),
    Route("GET", "/v1/balance_transactions/{id}", retriever("balance_transaction")),
]
