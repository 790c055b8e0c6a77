"""``/v1/charges`` and ``/v1/balance_transactions``."""

from simulators.stripe import disputes
from simulators.stripe.charging import bank_says, charge_card, decline_error, settle_charge
from simulators.stripe.currencies import Currency, check_chargeable
from simulators.stripe.errors import CardError, InvalidRequest
from simulators.stripe.intents import AUTHORISED_S, capture_intent
from simulators.stripe.lists import page
from simulators.stripe.resources.common import SHIPPING, full_shipping, retriever
from simulators.stripe.resources.payment_methods import from_token, own_payment_method
from simulators.stripe.routes import Call, Route
from simulators.stripe.schema import (
    ID,
    METADATA,
    Flag,
    Integer,
    Params,
    Text,
    TimeRange,
    listing,
    merge_metadata,
)
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_CREATE = Params(
    {
        "amount": Integer(1, 99_999_999),
        "capture": Flag(),
        "currency": Currency(),
        "customer": ID,
        "description": Text(),
        "metadata": METADATA,
        "receipt_email": Text(512),
        "shipping": SHIPPING,
        "source": ID,
        "statement_descriptor": Text(22),
        "statement_descriptor_suffix": Text(22),
        "transfer_group": Text(),
    },
    ("amount", "currency"),
)
_PLAIN = (
    "amount",
    "currency",
    "customer",
    "description",
    "receipt_email",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
)
_UPDATE_CHARGE = Params(
    {"customer": ID, "description": Text(), "metadata": METADATA, "receipt_email": Text(512)}
)


def create_charge(world: World, call: Call) -> Obj:
    """Charge a token, or a customer's source, without a payment intent."""
    given = call.params
    check_chargeable(given["amount"], given["currency"])
    payment_method = _payer(world, given)
    order: Obj = {
        **dict.fromkeys(_PLAIN),
        **call.pick(*_PLAIN),
        "id": None,
        "metadata": merge_metadata({}, given.get("metadata")),
        "shipping": full_shipping(given.get("shipping")),
        "_invoice": None,
    }
    decline = bank_says(payment_method, off_session=True, authenticated=False)
    capture = given.get("capture", True)
    charge = charge_card(world, order, payment_method, decline, capture=capture)
    if decline is not None:
        raise decline_error(decline, charge=charge["id"])
    if capture:
        disputes.open_if_disputed(world, charge)
    else:
        ends_at = world.account_now + AUTHORISED_S
        world.store.schedule("expire_charge", charge["id"], ends_at)
    return charge


def _payer(world: World, given: Obj) -> Obj:
    """Return what a direct charge is taken from: its source, else the customer's default."""
    customer: Obj | None = None
    if owner := given.get("customer"):
        customer = world.fetch("customer", owner, "customer")
    source: str | None = given.get("source")
    if source is None and customer is not None:
        source = customer["default_source"]
    if source is None:
        if customer is None:
            raise InvalidRequest("Must provide source or customer.")
        raise CardError(
            "Cannot charge a customer that has no active card",
            status=402,
            code="missing",
            param="card",
        )
    if source.startswith("tok_"):
        return from_token(world, source, "source")
    return own_payment_method(world, source, customer, "source")


def capture_charge(world: World, call: Call) -> Obj:
    """Take the money of a direct charge that was only authorised."""
    charge = world.fetch("charge", call.id)
    if charge["payment_intent"] is not None:
        intent = world.fetch("payment_intent", charge["payment_intent"])
        capture_intent(world, intent, call.params.get("amount"))
        return charge
    if charge["captured"] or charge["refunded"] or not charge["paid"]:
        raise InvalidRequest(
            f"Charge {charge['id']} has already been captured, has expired or has failed.",
            code="charge_already_captured",
        )
    amount: int = call.params["amount"] if "amount" in call.params else charge["amount"]
    if amount > charge["amount"]:
        raise InvalidRequest(
            "The amount to capture is greater than the charge's.",
            code="amount_too_large",
            param="amount",
        )
    world.store.schedule("expire_charge", charge["id"], None)
    settle_charge(world, charge, amount)
    world.emit("charge.captured", charge)
    disputes.open_if_disputed(world, charge)
    return charge


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
    found = world.store.listed("charge", call.params)
    return page(call, found, equal=("customer", "payment_intent", "transfer_group"))


def list_balance_transactions(world: World, call: Call) -> Obj:
    """List balance transactions."""
    found = world.store.all("balance_transaction")
    return page(call, found, equal=("currency", "source", "type"))


ROUTES = [
    Route("POST", "/v1/charges", create_charge, _CREATE),
    Route("POST", "/v1/charges/{id}/capture", capture_charge, Params({"amount": Integer(1)})),
    Route(
        "GET",
        "/v1/charges",
        list_charges,
        listing(created=TimeRange(), customer=ID, payment_intent=ID, transfer_group=ID),
    ),
    Route("GET", "/v1/charges/{id}", retriever("charge")),
    Route("POST", "/v1/charges/{id}", update_charge, _UPDATE_CHARGE),
    Route(
        "GET",
        "/v1/balance_transactions",
        list_balance_transactions,
        listing(created=TimeRange(), currency=ID, source=ID, type=ID),
    ),
    Route("GET", "/v1/balance_transactions/{id}", retriever("balance_transaction")),
]
