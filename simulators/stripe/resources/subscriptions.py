"""``/v1/subscriptions``."""

from typing import Any

from simulators.stripe.billing import changes, collection, lifecycle
from simulators.stripe.billing.changes import check_price
from simulators.stripe.billing.lines import Charge, add_invoice_item
from simulators.stripe.billing.subscriptions import first_boundary, new_item, pay_or_undo, start
from simulators.stripe.errors import InvalidRequest, missing
from simulators.stripe.lists import page
from simulators.stripe.resources.catalog import new_price
from simulators.stripe.resources.common import retriever
from simulators.stripe.resources.payment_methods import own_payment_method
from simulators.stripe.resources.subscription_items import BEHAVIOR, ITEM, PRORATION
from simulators.stripe.routes import Call, Route
from simulators.stripe.schema import (
    CLEARABLE_ID,
    ID,
    METADATA,
    TIMESTAMP,
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
from simulators.stripe.templates import SUBSCRIPTION, fresh
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_CHANGED_ITEM = {**ITEM, "deleted": Flag(), "id": ID}
_FEEDBACK = Choice(
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
    clearable=True,
)
_DETAILS = Hash({"comment": Text(), "feedback": _FEEDBACK})
_FIELDS: dict[str, Field] = {
    "cancel_at": Integer(0, 2**33, clearable=True),
    "cancel_at_period_end": Flag(),
    "collection_method": Choice("charge_automatically", "send_invoice"),
    "days_until_due": Integer(0, 3_650),
    "default_payment_method": CLEARABLE_ID,
    "description": Text(500),
    "metadata": METADATA,
    "off_session": Flag(),
    "payment_behavior": BEHAVIOR,
    "payment_settings": Hash(
        {
            "payment_method_types": Array(Choice("card")),
            "save_default_payment_method": Choice("off", "on_subscription"),
        }
    ),
    "proration_behavior": PRORATION,
    "trial_end": OneOf("now", TIMESTAMP),
    "trial_settings": Hash(
        {"end_behavior": Hash({"missing_payment_method": Choice("cancel", "create_invoice")})}
    ),
}
_CREATE = Params(
    {
        **_FIELDS,
        "add_invoice_items": Array(Hash({"price": ID, "quantity": Integer(1)}), 20),
        "billing_cycle_anchor": TIMESTAMP,
        "currency": Text(3),
        "customer": ID,
        "items": Array(Hash(ITEM), 20),
        "trial_period_days": Integer(0, 730),
    },
    ("customer", "items"),
)
_UPDATE = Params(
    {
        **_FIELDS,
        "billing_cycle_anchor": Choice("now", "unchanged"),
        "cancellation_details": _DETAILS,
        "items": Array(Hash(_CHANGED_ITEM), 20),
        "proration_date": TIMESTAMP,
    }
)
_CANCEL = Params({"cancellation_details": _DETAILS, "invoice_now": Flag(), "prorate": Flag()})
_STATUSES = (
    "active",
    "canceled",
    "incomplete",
    "incomplete_expired",
    "past_due",
    "paused",
    "trialing",
    "unpaid",
)
_PLAIN = ("collection_method", "days_until_due", "description")


def create(world: World, call: Call) -> Obj:
    """Create a subscription, invoice its first period and collect it as asked."""
    given = call.params
    customer = world.fetch("customer", given["customer"], "customer")
    prices = _prices(world, given["items"], given.get("currency"))
    trial_end = _trial_end(world, given)
    payer = _payer(world, customer, given.get("default_payment_method"))
    behavior = given.get("payment_behavior", "allow_incomplete")
    automatic = given.get("collection_method", "charge_automatically") == "charge_automatically"
    costs = sum(
        p["unit_amount"] * e.get("quantity", 1) for p, e in zip(prices, given["items"], strict=True)
    )
    if automatic and payer is None and costs and not trial_end and behavior != "default_incomplete":
        raise collection.no_payment_method()
    if not automatic and "days_until_due" not in given:
        raise missing("days_until_due")
    made: list[Obj] = []

    def begin() -> None:
        subscription = _insert(world, call, customer, prices, trial_end)
        made.append(subscription)
        for entry in given.get("add_invoice_items", []):
            _add_invoice_item(world, subscription, entry)
        start(world, subscription, behavior, off_session=given.get("off_session", False))

    pay_or_undo(world, payer, begin)
    return made[0]


def _prices(world: World, entries: list[Obj], currency: str | None) -> list[Obj]:
    """Return the entries' prices, making those that are described in place."""
    if not entries:
        raise missing("items")
    prices: list[Obj] = []
    for index, entry in enumerate(entries):
        if "price_data" in entry:
            entry["price"] = new_price(world, entry["price_data"])["id"]
        if "price" not in entry:
            raise missing(f"items[{index}][price]")
        prices.append(check_price(world, entry["price"], currency))
        currency = currency or prices[0]["currency"]
    if len({price["id"] for price in prices}) < len(prices):
        raise InvalidRequest(
            "Cannot add multiple subscription items with the same plan.", param="items"
        )
    grids = {(p["recurring"]["interval"], p["recurring"]["interval_count"]) for p in prices}
    if len(grids) > 1:
        raise InvalidRequest(
            "Currency and interval fields must match across all plans on this subscription. "
            "Found mismatch in interval field.",
            param="items",
        )
    return prices


def _trial_end(world: World, given: Obj) -> int | None:
    if "trial_period_days" in given and "trial_end" in given:
        raise InvalidRequest(
            "You may only specify one of these parameters: trial_end, trial_period_days."
        )
    if days := given.get("trial_period_days"):
        return world.now + int(days) * 86_400
    end = given.get("trial_end")
    if end in {None, "now"}:
        return None
    if not world.now < end <= world.now + 730 * 86_400 + 86_400:
        raise InvalidRequest(
            "Invalid timestamp: must be an integer Unix timestamp in the future, at most two "
            "years away.",
            param="trial_end",
        )
    return int(end)


def _payer(world: World, customer: Obj, name: str | None) -> Obj | None:
    if name:
        return own_payment_method(world, name, customer, "default_payment_method")
    return collection.payment_method_for(world, customer)


def _anchor(world: World, given: Obj, price: Obj, trial_end: int | None) -> int:
    """Return the anchor: the trial's end, what is given (at most a period away), or now."""
    anchor = given.get("billing_cycle_anchor")
    if anchor is None:
        return trial_end or world.now
    if not world.now <= anchor <= first_boundary(price, trial_end or world.now):
        raise InvalidRequest(
            "billing_cycle_anchor cannot be later than next natural billing date, nor in the past.",
            param="billing_cycle_anchor",
        )
    return int(anchor)


def _insert(
    world: World, call: Call, customer: Obj, prices: list[Obj], trial_end: int | None
) -> Obj:
    """Add the subscription and its items, not yet begun."""
    given = call.params
    subscription = fresh(
        SUBSCRIPTION,
        id=world.ids.new("sub"),
        created=world.now,
        currency=prices[0]["currency"],
        customer=customer["id"],
        start_date=world.now,
        test_clock=customer["test_clock"],
    )
    subscription.update(call.pick(*_PLAIN, "cancel_at", "trial_settings"))
    subscription["metadata"] = merge_metadata({}, given.get("metadata"))
    subscription["billing_cycle_anchor"] = _anchor(world, given, prices[0], trial_end)
    subscription["payment_settings"] |= given.get("payment_settings", {})
    subscription["trial_settings"] = _trial_settings(given)
    subscription["cancel_at_period_end"] = given.get("cancel_at_period_end", False)
    subscription["_proration_behavior"] = given.get("proration_behavior", "create_prorations")
    if name := given.get("default_payment_method"):
        method = own_payment_method(world, name, customer, "default_payment_method")
        subscription["default_payment_method"] = method["id"]
    if trial_end:
        subscription |= {"status": "trialing", "trial_start": world.now, "trial_end": trial_end}
    world.store.insert(subscription)
    for price, entry in zip(prices, given["items"], strict=True):
        new_item(world, subscription, price, entry)
    if customer["currency"] is None:
        world.store.set(customer, currency=subscription["currency"])
    return subscription


def _trial_settings(given: Obj) -> Obj:
    end = given.get("trial_settings", {}).get("end_behavior", {})
    return {"end_behavior": {"missing_payment_method": "create_invoice", **end}}


def _add_invoice_item(world: World, subscription: Obj, entry: Obj) -> None:
    if "price" not in entry:
        raise missing("add_invoice_items[0][price]")
    price = world.fetch("price", entry["price"], "add_invoice_items[0][price]")
    quantity = entry.get("quantity", 1)
    charge = Charge(
        amount=price["unit_amount"] * quantity,
        currency=price["currency"],
        description=None,
        period=(world.now, world.now),
        quantity=quantity,
        price=price,
        subscription=subscription["id"],
    )
    add_invoice_item(world, subscription["customer"], charge)


def update(world: World, call: Call) -> Obj:
    """Change a subscription; a change of items, trial or anchor is prorated."""
    subscription = world.fetch("subscription", call.id)
    given = call.params
    if subscription["status"] in lifecycle.ENDED and set(given) - {
        "cancellation_details",
        "metadata",
        "expand",
    }:
        raise InvalidRequest(
            "A canceled subscription can only update its cancellation_details and metadata.",
        )
    for entry in given.get("items", []):
        if "price_data" in entry:
            entry["price"] = new_price(world, entry["price_data"])["id"]
    with world.updating(subscription, lifecycle.UPDATED):
        _set_plain(world, subscription, call)
        if {"cancel_at", "cancel_at_period_end"} & given.keys():
            lifecycle.set_cancellation(world, subscription, given)
        if "cancellation_details" in given:
            details = {
                **(subscription["cancellation_details"] or {}),
                **given["cancellation_details"],
            }
            world.store.set(subscription, cancellation_details=details)
    if {"items", "trial_end", "billing_cycle_anchor"} & given.keys():
        changes.change(world, subscription, given)
    return subscription


def _set_plain(world: World, subscription: Obj, call: Call) -> None:
    fields: dict[str, Any] = call.pick(*_PLAIN)
    if "metadata" in call.params:
        fields["metadata"] = merge_metadata(subscription["metadata"], call.params["metadata"])
    if "payment_settings" in call.params:
        fields["payment_settings"] = {
            **subscription["payment_settings"],
            **call.params["payment_settings"],
        }
    if "trial_settings" in call.params:
        fields["trial_settings"] = _trial_settings(call.params)
    if "default_payment_method" in call.params:
        name = call.params["default_payment_method"]
        customer = world.fetch("customer", subscription["customer"])
        method = (
            own_payment_method(world, name, customer, "default_payment_method") if name else None
        )
        fields["default_payment_method"] = method["id"] if method else None
    world.store.set(subscription, **fields)


def cancel(world: World, call: Call) -> Obj:
    """End a subscription now, with a credit and a last invoice where asked."""
    subscription = world.fetch("subscription", call.id)
    if subscription["status"] in lifecycle.ENDED:
        raise InvalidRequest(
            f"No such subscription: '{call.id}'", status=404, code="resource_missing", param="id"
        )
    if "cancellation_details" in call.params:
        world.store.set(
            subscription,
            cancellation_details={
                "reason": None,
                "comment": None,
                "feedback": None,
                **call.params["cancellation_details"],
            },
        )
    changes.settle_last_period(
        world,
        subscription,
        credit=call.params.get("prorate", False),
        invoice=call.params.get("invoice_now", False),
    )
    lifecycle.cancel(world, subscription, reason="cancellation_requested")
    return subscription


def list_all(world: World, call: Call) -> Obj:
    """List subscriptions; those that ended only by ``status``, a test clock's only if named."""
    found = world.store.all("subscription")
    if "customer" not in call.params:
        clock = call.params.get("test_clock")
        found = [sub for sub in found if sub["test_clock"] == clock]
    wanted = call.params.get("status")
    if wanted is None:
        found = [sub for sub in found if sub["status"] != "canceled"]
    elif wanted == "ended":
        found = [sub for sub in found if sub["status"] in lifecycle.ENDED]
    elif wanted != "all":
        found = [sub for sub in found if sub["status"] == wanted]
    if price := call.params.get("price"):
        found = [
            sub
            for sub in found
            if any(i["_price"] == price for i in lifecycle.items_of(world, sub))
        ]
    return page(call, found, equal=("collection_method", "customer", "test_clock"))


ROUTES = [
    Route("POST", "/v1/subscriptions", create, _CREATE),
    Route(
        "GET",
        "/v1/subscriptions",
        list_all,
        listing(
            collection_method=_FIELDS["collection_method"],
            created=TimeRange(),
            customer=ID,
            price=ID,
            status=Choice(*_STATUSES, "all", "ended"),
            test_clock=ID,
        ),
    ),
    Route("GET", "/v1/subscriptions/{id}", retriever("subscription")),
    Route("POST", "/v1/subscriptions/{id}", update, _UPDATE),
    Route("DELETE", "/v1/subscriptions/{id}", cancel, _CANCEL),
]
