"""``/v1/payment_intents``."""

from typing import Any

from simulators.stripe import intents
from simulators.stripe.billing import collection
from simulators.stripe.currencies import Currency, check_chargeable
from simulators.stripe.errors import InvalidRequest
from simulators.stripe.lists import page
from simulators.stripe.resources.common import MANDATE_DATA, SHIPPING, full_shipping, retriever
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
    Integer,
    OneOf,
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
    "payment_method_types": Array(Choice("card", "sepa_debit")),
    "receipt_email": Text(512),
    "setup_future_usage": Choice("off_session", "on_session", clearable=True),
    "shipping": SHIPPING,
}
_FIELDS: dict[str, Field] = {
    **_METHOD,
    "amount": Integer(1, 99_999_999),
    "capture_method": Choice("automatic", "automatic_async", "manual"),
    "currency": Currency(),
    "customer": ID,
    "description": Text(1_000),
    "metadata": METADATA,
    "statement_descriptor": Text(22),
    "statement_descriptor_suffix": Text(22),
    "transfer_group": Text(),
}
_CONFIRM: dict[str, Field] = {
    **_METHOD,
    "capture_method": _FIELDS["capture_method"],
    "error_on_requires_action": Flag(),
    "mandate_data": MANDATE_DATA,
    "off_session": OneOf("one_off", OneOf("recurring", Flag())),
    "return_url": Text(),
}
_CREATE = {
    **_FIELDS,
    **_CONFIRM,
    "automatic_payment_methods": Hash(
        {"allow_redirects": Choice("always", "never"), "enabled": Flag()}, frozenset({"enabled"})
    ),
    "confirm": Flag(),
    "confirmation_method": Choice("automatic", "manual"),
}
_REASON = Choice("abandoned", "duplicate", "fraudulent", "requested_by_customer")
_PLAIN = (
    "capture_method",
    "confirmation_method",
    "description",
    "payment_method_types",
    "receipt_email",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
)
_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def create(world: World, call: Call) -> Obj:
    """Create an intent and, where asked, confirm it at once."""
    given = call.params
    check_chargeable(given["amount"], given["currency"])
    if not given.get("confirm"):
        for name in ("off_session", "error_on_requires_action", "return_url"):
            if name in given:
                raise InvalidRequest(
                    f"You can only provide `{name}` when `confirm` is set to true.", param=name
                )
    customer = _customer(world, given.get("customer"))
    method = _method(world, given, customer)
    fields: dict[str, Any] = call.pick(*_PLAIN)
    fields["shipping"] = full_shipping(given.get("shipping"))
    fields["customer"] = given.get("customer")
    fields["metadata"] = merge_metadata({}, given.get("metadata"))
    fields["automatic_payment_methods"] = _automatic(given)
    fields["payment_method"] = method["id"] if method else None
    intent = intents.new_intent(world, amount=given["amount"], currency=given["currency"], **fields)
    if given.get("confirm"):
        _confirm(world, intent, given)
    return intent


def _automatic(given: Obj) -> Obj | None:
    """Return which payment methods are found by themselves: the default unless types are given."""
    if "payment_method_types" in given:
        return None
    settings = given.get("automatic_payment_methods", {"enabled": True})
    return {"allow_redirects": "always", **settings}


def _customer(world: World, customer: str | None) -> Obj | None:
    return world.fetch("customer", customer, "customer") if customer else None


def _method(world: World, given: Obj, customer: Obj | None) -> Obj | None:
    if "payment_method_data" in given:
        return from_data(world, given["payment_method_data"])
    name = given.get("payment_method")
    return own_payment_method(world, name, customer, "payment_method") if name else None


def confirm(world: World, call: Call) -> Obj:
    """Confirm an intent."""
    intent = world.fetch("payment_intent", call.id)
    if intent["status"] == "succeeded":
        raise InvalidRequest(
            "You cannot confirm this PaymentIntent because it has already succeeded after being "
            "previously confirmed.",
            code="payment_intent_unexpected_state",
            payment_intent=world.show(intent),
        )
    if intent["status"] not in _OPEN:
        raise intents.unexpected_state(world, intent, "confirm", _OPEN)
    method = _method(world, call.params, _customer(world, intent["customer"]))
    world.store.set(intent, **_method_changes(call))
    if method is not None:
        world.store.set(intent, payment_method=method["id"])
    _confirm(world, intent, call.params)
    return intent


def _method_changes(call: Call) -> dict[str, Any]:
    changes = call.pick(
        "capture_method", "payment_method_types", "receipt_email", "setup_future_usage"
    )
    if "shipping" in call.params:
        changes["shipping"] = full_shipping(call.params["shipping"])
    return changes


def _confirm(world: World, intent: Obj, given: Obj) -> None:
    if not intent["payment_method"]:
        raise InvalidRequest(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can "
            "either update the PaymentIntent with a payment method and then confirm it again, or "
            "confirm it again directly with a payment method or ConfirmationToken.",
            code="payment_intent_unexpected_state",
            payment_intent=world.show(intent),
        )
    method = world.fetch("payment_method", intent["payment_method"], "payment_method")
    off_session = bool(given.get("off_session"))
    try:
        intents.confirm(world, intent, method, off_session=off_session)
    finally:
        collection.after_attempt(world, intent)
    if given.get("error_on_requires_action") and intent["status"] == "requires_action":
        raise InvalidRequest(
            "This payment required an authentication action to complete, but "
            "`error_on_requires_action` was set.",
            code="authentication_required",
        )


def update(world: World, call: Call) -> Obj:
    """Change an intent that is not being paid; this sends no event, as at Stripe."""
    intent = world.fetch("payment_intent", call.id)
    given: Obj = call.params
    if intent["status"] not in _OPEN and set(given) - {"metadata", "description", "expand"}:
        raise intents.unexpected_state(world, intent, "update", _OPEN)
    asked: Obj = {key: given.get(key, intent[key]) for key in ("amount", "currency", "customer")}
    check_chargeable(asked["amount"], asked["currency"])
    changes = {**call.pick(*_PLAIN), **_method_changes(call), **asked}
    method = _method(world, given, _customer(world, asked["customer"]))
    if method is not None:
        changes |= {"payment_method": method["id"], "status": "requires_confirmation"}
    if "metadata" in given:
        changes["metadata"] = merge_metadata(intent["metadata"], given["metadata"])
    return world.store.set(intent, **changes)


def capture(world: World, call: Call) -> Obj:
    """Take authorised money."""
    intent = world.fetch("payment_intent", call.id)
    intents.capture_intent(world, intent, call.params.get("amount_to_capture"))
    return intent


def cancel(world: World, call: Call) -> Obj:
    """Cancel an intent; an invoice's own is canceled by voiding the invoice."""
    intent = world.fetch("payment_intent", call.id)
    if intent["_invoice"]:
        raise InvalidRequest(
            "You cannot cancel a PaymentIntent created by an invoice. Void the invoice instead.",
            code="payment_intent_unexpected_state",
        )
    intents.cancel_intent(world, intent, call.params.get("cancellation_reason"))
    return intent


def list_all(world: World, call: Call) -> Obj:
    """List intents."""
    return page(call, world.store.listed("payment_intent", call.params), equal=("customer",))


ROUTES = [
    Route("POST", "/v1/payment_intents", create, Params(_CREATE, ("amount", "currency"))),
    Route("GET", "/v1/payment_intents", list_all, listing(created=TimeRange(), customer=ID)),
    Route(
        "GET",
        "/v1/payment_intents/{id}",
        retriever("payment_intent"),
        Params({"client_secret": Text()}),
    ),
    Route("POST", "/v1/payment_intents/{id}", update, Params(_FIELDS)),
    Route("POST", "/v1/payment_intents/{id}/confirm", confirm, Params(_CONFIRM)),
    Route(
        "POST",
        "/v1/payment_intents/{id}/capture",
        capture,
        Params({"amount_to_capture": Integer()}),
    ),
    Route(
        "POST",
        "/v1/payment_intents/{id}/cancel",
        cancel,
        Params({"cancellation_reason": _REASON}),
    ),
]
