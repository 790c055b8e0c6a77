"""``/v1/invoices/create_preview``: what would be invoiced, and when, if nothing else happened.

The change that is asked about is really made, by the code that makes real ones, and the whole
request is then undone (`World.only_look`).
"""

from simulators.stripe.billing import changes, invoices, lifecycle, subscriptions
from simulators.stripe.billing.lines import add_invoice_item
from simulators.stripe.currencies import Currency
from simulators.stripe.errors import InvalidRequest
from simulators.stripe.resources import subscription_starts as starts
from simulators.stripe.resources.catalog import new_price
from simulators.stripe.resources.invoice_items import ITEM, charge_of
from simulators.stripe.resources.subscription_items import ITEM as SUBSCRIPTION_ITEM
from simulators.stripe.resources.subscription_items import PRORATION
from simulators.stripe.routes import Call, Route
from simulators.stripe.schema import (
    ID,
    TIMESTAMP,
    Array,
    Choice,
    Flag,
    Hash,
    OneOf,
    Params,
)
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_CHANGE = Hash(
    {
        "billing_cycle_anchor": Choice("now", "unchanged"),
        "cancel_at_period_end": Flag(),
        "cancel_now": Flag(),
        "items": Array(Hash({**SUBSCRIPTION_ITEM, "deleted": Flag(), "id": ID}), 20),
        "proration_behavior": PRORATION,
        "proration_date": TIMESTAMP,
        "trial_end": OneOf("now", TIMESTAMP),
    }
)
_CREATE = Params(
    {
        "customer": ID,
        "discounts": starts.FIELDS["discounts"],
        "invoice_items": Array(Hash({**ITEM, "currency": Currency(), "price": ID}), 250),
        "preview_mode": Choice("next"),
        "subscription": ID,
        "subscription_details": _CHANGE,
    }
)


def create(world: World, call: Call) -> Obj:
    """Show the next invoice of a customer or a subscription, or what a change would cost."""
    world.only_look()
    subscription, customer = _whose(world, call.params)
    for entry in call.params.get("invoice_items", []):
        described = {**entry, "pricing": {"price": entry.get("price")}}
        if subscription is not None:
            described["subscription"] = subscription["id"]
        add_invoice_item(world, customer["id"], charge_of(world, described))
    details = call.params.get("subscription_details", {})
    if subscription is not None and "discounts" in call.params:
        starts.give_discounts(world, subscription, customer, call.params["discounts"])
    if subscription is not None:
        invoice = _of_subscription(world, subscription, details)
    elif "items" in details:
        invoice = _of_new(world, customer, call)
    else:
        invoice = _of_pending(world, customer)
    return _as_upcoming(world, invoice)


def _whose(world: World, given: Obj) -> tuple[Obj | None, Obj]:
    """Return the subscription that is meant, if one is, and the customer."""
    if name := given.get("subscription"):
        subscription = world.fetch("subscription", name, "subscription")
        return subscription, world.fetch("customer", subscription["customer"])
    if "customer" not in given:
        raise InvalidRequest("You must pass one of `customer` or `subscription`.")
    customer = world.fetch("customer", given["customer"], "customer")
    if "items" in given.get("subscription_details", {}):
        return None, customer
    running = [
        each
        for each in world.store.where("subscription", "customer", customer["id"])
        if each["status"] not in lifecycle.ENDED
    ]
    return (running[0] if running else None), customer


def _of_subscription(world: World, subscription: Obj, details: Obj) -> Obj:
    if details.get("cancel_now"):
        credit = details.get("proration_behavior") != "none"
        last = changes.settle_last_period(world, subscription, credit=credit, invoice=True)
        return _required(last)
    if "cancel_at_period_end" in details:
        lifecycle.set_cancellation(world, subscription, details)
    if {"items", "trial_end", "billing_cycle_anchor"} & details.keys():
        for entry in details.get("items", []):
            if "price_data" in entry:
                entry["price"] = new_price(world, entry["price_data"])["id"]
        invoice = changes.make(world, subscription, details)
        if invoice is not None:
            return invoice
    return _required(subscriptions.preview_renewal(world, subscription))


def _of_new(world: World, customer: Obj, call: Call) -> Obj:
    """Preview the first invoice of a subscription that is only described."""
    details = {**call.params["subscription_details"], "customer": customer["id"]}
    details["discounts"] = call.params.get("discounts", [])
    subscription = starts.describe(world, Call({}, details, call.url), customer)
    return subscriptions.first_draft(world, subscription)


def _of_pending(world: World, customer: Obj) -> Obj:
    pending = invoices.pending_items(world, customer["id"])
    currency = pending[0]["currency"] if pending else ""
    draft = pending and invoices.new_draft(
        world, customer, reason="upcoming", currency=currency, charges=[], pending=pending
    )
    return _required(draft or None)


def _required(invoice: Obj | None) -> Obj:
    """Return the invoice, if there will be one."""
    if invoice is None:
        raise InvalidRequest(
            "No upcoming invoices for customer", status=404, code="invoice_upcoming_none"
        )
    return invoice


def _as_upcoming(world: World, invoice: Obj) -> Obj:
    """Give a draft the id of one that is only looked at."""
    lines = world.store.where("line_item", "invoice", invoice["id"])
    world.store.delete(invoice)
    upcoming = {**invoice, "id": world.ids.new("upcoming_in"), "auto_advance": False}
    for line in lines:
        world.store.set(line, invoice=upcoming["id"])
    return world.store.insert(upcoming)


ROUTES = [Route("POST", "/v1/invoices/create_preview", create, _CREATE)]
