"""``/v1/payment_methods``: cards by test token or test number, attached to customers."""

from datetime import UTC, datetime

from simulators.stripe import debits
from simulators.stripe.cards import BY_NUMBER, Card, find_card
from simulators.stripe.charging import card_of, decline_error
from simulators.stripe.errors import CardError, InvalidRequest, missing, no_such
from simulators.stripe.lists import page
from simulators.stripe.resources.common import BILLING_DETAILS, full_address
from simulators.stripe.routes import Call, Route
from simulators.stripe.schema import (
    ID,
    METADATA,
    Choice,
    Field,
    Hash,
    Integer,
    Params,
    Text,
    listing,
    merge_metadata,
)
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_CARD = Hash(
    {
        "cvc": Text(4),
        "exp_month": Integer(1, 12),
        "exp_year": Integer(0, 9999),
        "number": Text(24, clearable=False),
        "token": ID,
    }
)
_TYPE = Choice("card", "sepa_debit")
_DISPLAY = Choice("always", "limited", "unspecified")
DATA: dict[str, Field] = {
    "allow_redisplay": _DISPLAY,
    "billing_details": BILLING_DETAILS,
    "card": _CARD,
    "metadata": METADATA,
    "sepa_debit": Hash({"iban": Text(40, clearable=False)}, frozenset({"iban"})),
    "type": _TYPE,
}
_UPDATE = Params(
    {
        "allow_redisplay": _DISPLAY,
        "billing_details": BILLING_DETAILS,
        "card": Hash({"exp_month": Integer(1, 12), "exp_year": Integer(0, 9999)}),
        "metadata": METADATA,
    }
)


def from_card(
    world: World, card: Card, given: Obj | None = None, method_id: str | None = None
) -> Obj:
    """Add a payment method for a test card, with details that a caller may have given."""
    given = given or {}
    details = given.get("card", {})
    next_year = datetime.fromtimestamp(world.account_now, UTC).year + 1
    shown = {
        "brand": card.brand,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass" if details.get("cvc") else "unchecked",
        },
        "country": "US",
        "display_brand": card.brand,
        "exp_month": details.get("exp_month", 12),
        "exp_year": details.get("exp_year", next_year),
        "fingerprint": world.ids.letters(16),
        "funding": card.funding,
        "generated_from": None,
        "last4": card.number[-4:],
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }
    return _insert(world, given, "card", shown, method_id, _card=card.name)


def _from_iban(world: World, given: Obj) -> Obj:
    """Add a payment method for a test bank account."""
    iban, _ = debits.find(given["sepa_debit"]["iban"])
    shown = {
        "bank_code": iban[4:9],
        "branch_code": "",
        "country": iban[:2],
        "fingerprint": world.ids.letters(16),
        "generated_from": {"charge": None, "setup_attempt": None},
        "last4": iban[-4:],
    }
    return _insert(world, given, "sepa_debit", shown, _iban=iban)


def _insert(
    world: World,
    given: Obj,
    kind: str,
    shown: Obj,
    method_id: str | None = None,
    **own: str,
) -> Obj:
    return world.store.insert(
        {
            "id": method_id or world.ids.new("pm"),
            "object": "payment_method",
            "allow_redisplay": given.get("allow_redisplay", "unspecified"),
            "billing_details": _billing_details(given.get("billing_details", {})),
            kind: shown,
            "created": world.account_now,
            "customer": None,
            "customer_account": None,
            "livemode": False,
            "metadata": merge_metadata({}, given.get("metadata")),
            "type": kind,
            **own,
        }
    )


def _billing_details(given: Obj) -> Obj:
    return {
        "address": full_address(given.get("address") or {}),
        "email": given.get("email"),
        "name": given.get("name"),
        "phone": given.get("phone"),
        "tax_id": given.get("tax_id"),
    }


def find_or_make(world: World, name: str, param: str = "payment_method") -> Obj:
    """Return a payment method by id; a test token such as ``pm_card_visa`` makes a new one."""
    found = world.store.get("payment_method", name)
    if found is not None:
        return found
    card = find_card(name) if name.startswith("pm_card_") else None
    if card is None:
        raise _no_such_method(name, param)
    return from_card(world, card)


def own_payment_method(world: World, name: str, customer: Obj | None, param: str) -> Obj:
    """Return a payment method that this customer may pay with."""
    found = find_or_make(world, name, param)
    owner = customer["id"] if customer else None
    if found["customer"] != owner and (found["customer"] or param != "payment_method"):
        raise InvalidRequest(
            f"The customer does not have a payment method with the ID {name}. The payment method "
            "must be attached to the customer.",
            code="resource_missing",
            param=param,
        )
    return found


def attach_to(world: World, name: str, customer: Obj) -> Obj:
    """Attach a payment method; most cards that decline are refused here already."""
    payment_method = find_or_make(world, name)
    if payment_method["customer"] not in {None, customer["id"]}:
        raise InvalidRequest(
            "The payment method you provided has already been attached to a customer.",
            code="payment_method_unexpected_state",
        )
    if payment_method.get("_detached", False):
        raise InvalidRequest(
            "This PaymentMethod was previously used without being attached to a Customer or was "
            "detached from a Customer, and may not be used again.",
        )
    check_attachable(payment_method)
    world.store.set(payment_method, customer=customer["id"])
    world.emit("payment_method.attached", payment_method)
    return payment_method


def check_attachable(payment_method: Obj) -> None:
    """Refuse a card that declines as soon as it is to be kept."""
    if payment_method["type"] == "card":
        card = card_of(payment_method)
        if card.decline is not None and not card.attaches:
            raise decline_error(card.decline)


def create(world: World, call: Call) -> Obj:
    """Create a payment method from a card's number, a token or an account's number."""
    return from_data(world, call.params)


def from_data(world: World, given: Obj) -> Obj:
    """Create a payment method from ``payment_method_data`` or the like."""
    if given["type"] not in given:
        raise missing(given["type"])
    if given["type"] == "sepa_debit":
        return _from_iban(world, given)
    details = given["card"]
    if token := details.get("token"):
        return from_token(world, token, "card[token]", given)
    number = details.get("number", "").replace(" ", "")
    card = BY_NUMBER.get(number)
    if card is None:
        raise CardError(
            "Your card number is incorrect.", status=402, code="incorrect_number", param="number"
        )
    return from_card(world, card, given)


def from_token(
    world: World,
    token: str,
    param: str,
    given: Obj | None = None,
    method_id: str | None = None,
) -> Obj:
    """Create a payment method from a test token such as ``tok_visa``."""
    card = find_card(token)
    if card is None:
        raise no_such("token", token, param)
    return from_card(world, card, given, method_id)


def attach(world: World, call: Call) -> Obj:
    """Attach to a customer."""
    customer = world.fetch("customer", call.params["customer"], "customer")
    return attach_to(world, call.id, customer)


def detach(world: World, call: Call) -> Obj:
    """Detach from the customer; it can never be attached again."""
    payment_method = world.fetch("payment_method", call.id)
    if payment_method["customer"] is None:
        raise InvalidRequest(
            "The payment method you provided is not attached to a customer so detachment is "
            "impossible.",
            code="payment_method_unexpected_state",
        )
    customer = world.fetch("customer", payment_method["customer"])
    detach_from(world, customer, payment_method)
    return payment_method


def detach_from(world: World, customer: Obj, payment_method: Obj) -> None:
    """Take a payment method from its customer, who then pays with none by default."""
    _forget_default(world, customer, payment_method["id"])
    with world.updating(payment_method, "payment_method.detached"):
        world.store.set(payment_method, customer=None, _detached=True)


def _forget_default(world: World, customer: Obj, payment_method: str) -> None:
    settings = customer["invoice_settings"]
    with world.updating(customer, "customer.updated"):
        if settings["default_payment_method"] == payment_method:
            emptied = {**settings, "default_payment_method": None}
            world.store.set(customer, invoice_settings=emptied)
        if customer["default_source"] == payment_method:
            world.store.set(customer, default_source=None)
    for subscription in world.store.where("subscription", "customer", customer["id"]):
        if subscription["default_payment_method"] == payment_method:
            with world.updating(subscription, "customer.subscription.updated"):
                world.store.set(subscription, default_payment_method=None)


def update(world: World, call: Call) -> Obj:
    """Change billing details, expiry or metadata of an attached payment method."""
    payment_method = world.fetch("payment_method", call.id)
    if payment_method["customer"] is None:
        raise InvalidRequest(
            "You must save this PaymentMethod to a customer before you can update it.",
            code="payment_method_unexpected_state",
        )
    changes = call.pick("allow_redisplay")
    if "card" in call.params and payment_method["type"] == "card":
        changes["card"] = {**payment_method["card"], **call.params["card"]}
    if "billing_details" in call.params:
        merged = {**payment_method["billing_details"], **call.params["billing_details"]}
        changes["billing_details"] = _billing_details(merged)
    if "metadata" in call.params:
        changes["metadata"] = merge_metadata(payment_method["metadata"], call.params["metadata"])
    with world.updating(payment_method, "payment_method.updated"):
        world.store.set(payment_method, **changes)
    return payment_method


def retrieve(world: World, call: Call) -> Obj:
    """Return a payment method; a test token gives a new one."""
    found = world.store.get("payment_method", call.id)
    if found is None and find_card(call.id) is None:
        raise _no_such_method(call.id, "payment_method", status=404)
    return found or find_or_make(world, call.id)


def list_all(world: World, call: Call) -> Obj:
    """List payment methods that are attached to a customer, of one or of all."""
    owner = call.params.get("customer")
    if owner is None:
        return page(call, [pm for pm in world.store.all("payment_method") if pm["customer"]])
    world.fetch("customer", owner, "customer")
    return page(call, world.store.where("payment_method", "customer", owner), equal=("type",))


def list_of_customer(world: World, call: Call) -> Obj:
    """List a customer's payment methods, by the customer's own address."""
    world.fetch("customer", call.id)
    return page(call, world.store.where("payment_method", "customer", call.id), equal=("type",))


def _no_such_method(name: str, param: str, status: int = 400) -> InvalidRequest:
    return InvalidRequest(
        f"No such PaymentMethod: '{name}'", status=status, code="resource_missing", param=param
    )


ROUTES = [
    Route("POST", "/v1/payment_methods", create, Params(DATA, ("type",))),
    Route("GET", "/v1/payment_methods", list_all, listing(customer=ID, type=_TYPE)),
    Route("GET", "/v1/payment_methods/{id}", retrieve),
    Route("POST", "/v1/payment_methods/{id}", update, _UPDATE),
    Route(
        "POST", "/v1/payment_methods/{id}/attach", attach, Params({"customer": ID}, ("customer",))
    ),
    Route("POST", "/v1/payment_methods/{id}/detach", detach),
    Route("GET", "/v1/customers/{id}/payment_methods", list_of_customer, listing(type=_TYPE)),
]
