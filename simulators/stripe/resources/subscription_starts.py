"""How a subscription is created: what is asked for, checked, and put in place."""

from simulators.stripe.billing import collection, discounts
from simulators.stripe.billing.changes import check_price
from simulators.stripe.billing.lines import Charge, add_invoice_item
from simulators.stripe.billing.subscriptions import first_boundary, new_item, pay_or_undo, start
from simulators.stripe.errors import InvalidRequest, missing
from simulators.stripe.resources.catalog import new_price
from simulators.stripe.resources.payment_methods import own_payment_method
from simulators.stripe.resources.subscription_items import BEHAVIOR, ITEM, PRORATION
from simulators.stripe.routes import Call
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
    merge_metadata,
)
from simulators.stripe.templates import SUBSCRIPTION, fresh
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

FIELDS: dict[str, Field] = {
    "cancel_at": Integer(0, 2**33, clearable=True),
    "cancel_at_period_end": Flag(),
    "collection_method": Choice("charge_automatically", "send_invoice"),
    "days_until_due": Integer(0, 3_650),
    "default_payment_method": CLEARABLE_ID,
    "description": Text(500),
    "discounts": Array(Hash({"coupon": ID}, frozenset({"coupon"})), 20),
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
CREATE = Params(
    {
        **FIELDS,
        "add_invoice_items": Array(Hash({"price": ID, "quantity": Integer(1)}), 20),
        "billing_cycle_anchor": TIMESTAMP,
        "currency": Text(3),
        "customer": ID,
        "items": Array(Hash(ITEM), 20),
        "trial_period_days": Integer(0, 730),
    },
    ("customer", "items"),
)
PLAIN = ("collection_method", "days_until_due", "description")


def create(world: World, call: Call) -> Obj:
    """Create a subscription, invoice its first period and collect it as asked."""
    given = call.params
    customer = world.fetch("customer", given["customer"], "customer")
    prices = _prices(world, given["items"], given.get("currency"))
    trial_end = _trial_end(world, given)
    payer = _payer(world, customer, given.get("default_payment_method"))
    behavior = given.get("payment_behavior", "allow_incomplete")
    automatic = given.get("collection_method", "charge_automatically") == "charge_automatically"
    waits = trial_end or behavior == "default_incomplete"
    if automatic and payer is None and not waits and _costs(world, customer, prices, given):
        raise collection.no_payment_method()
    if not automatic and "days_until_due" not in given:
        raise missing("days_until_due")
    made: list[Obj] = []
    off_session = given.get("off_session", False)

    def begin() -> None:
        subscription = _insert(world, call, customer, prices, trial_end)
        made.append(subscription)
        for entry in given.get("add_invoice_items", []):
            _add_invoice_item(world, subscription, entry)
        start(world, subscription, behavior, off_session=off_session)

    pay_or_undo(world, payer, begin, off_session=off_session)
    return made[0]


def describe(world: World, call: Call, customer: Obj) -> Obj:
    """Add a subscription as described, not yet begun, to be looked at."""
    prices = _prices(world, call.params["items"], None)
    return _insert(world, call, customer, prices, _trial_end(world, call.params))


def _costs(world: World, customer: Obj, prices: list[Obj], given: Obj) -> bool:
    """Tell whether there is something to be paid for a period, discounts taken off."""
    entries = zip(prices, given["items"], strict=True)
    whole = sum(price["unit_amount"] * entry.get("quantity", 1) for price, entry in entries)
    coupons = [discounts.redeemable(world, each["coupon"]) for each in given.get("discounts", [])]
    found: list[Obj] = [{"source": {"coupon": coupon["id"]}} for coupon in coupons]
    found = found or discounts.of_subscription(world, customer, None)
    return sum(discounts.reduction(world, found, whole)) < int(whole)


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
    subscription.update(call.pick(*PLAIN, "cancel_at", "trial_settings"))
    subscription["metadata"] = merge_metadata({}, given.get("metadata"))
    subscription["billing_cycle_anchor"] = _anchor(world, given, prices[0], trial_end)
    subscription["payment_settings"] |= given.get("payment_settings", {})
    subscription["trial_settings"] = trial_settings_of(given)
    subscription["cancel_at_period_end"] = given.get("cancel_at_period_end", False)
    subscription["_proration_behavior"] = given.get("proration_behavior", "create_prorations")
    if name := given.get("default_payment_method"):
        method = own_payment_method(world, name, customer, "default_payment_method")
        subscription["default_payment_method"] = method["id"]
    if trial_end:
        subscription |= {"status": "trialing", "trial_start": world.now, "trial_end": trial_end}
    world.store.insert(subscription)
    give_discounts(world, subscription, customer, given.get("discounts", []))
    for price, entry in zip(prices, given["items"], strict=True):
        new_item(world, subscription, price, entry)
    if customer["currency"] is None:
        world.store.set(customer, currency=subscription["currency"])
    return subscription


def give_discounts(world: World, subscription: Obj, customer: Obj, wanted: list[Obj]) -> None:
    """Redeem the coupons that are wanted for a subscription."""
    made = [discounts.give(world, each["coupon"], customer, subscription) for each in wanted]
    world.store.set(subscription, discounts=[discount["id"] for discount in made])


def trial_settings_of(given: Obj) -> Obj:
    """Return what happens at a trial's end, as given, with all its fields."""
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
