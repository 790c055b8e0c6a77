"""``/v1/subscriptions``."""

from typing import Any

from simulators.stripe.billing import changes, collection, discounts, invoices, lifecycle
from simulators.stripe.errors import InvalidRequest
from simulators.stripe.lists import page
from simulators.stripe.resources.catalog import new_price
from simulators.stripe.resources.common import retriever
from simulators.stripe.resources.payment_methods import own_payment_method
from simulators.stripe.resources.subscription_items import CHANGE_BEHAVIOR, ITEM
from simulators.stripe.resources.subscription_starts import (
    CREATE,
    FIELDS,
    PLAIN,
    create,
    give_discounts,
    trial_settings_of,
)
from simulators.stripe.routes import Call, Route
from simulators.stripe.schema import (
    ID,
    TIMESTAMP,
    Array,
    Choice,
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
_CHANGED_ITEM = {**ITEM, "deleted": Flag(), "id": ID}
_PAUSE = Hash(
    {"behavior": Choice("keep_as_draft", "mark_uncollectible", "void"), "resumes_at": TIMESTAMP},
    frozenset({"behavior"}),
    clearable=True,
)
_UPDATE = Params(
    {
        **FIELDS,
        "billing_cycle_anchor": Choice("now", "unchanged"),
        "cancellation_details": _DETAILS,
        "items": Array(Hash(_CHANGED_ITEM), 20),
        "pause_collection": _PAUSE,
        "payment_behavior": CHANGE_BEHAVIOR,
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


_CAN_WAIT = (
    "billing_cycle_anchor",
    "expand",
    "items",
    "off_session",
    "payment_behavior",
    "proration_behavior",
    "proration_date",
    "trial_end",
)
"""What may be said beside ``pending_if_incomplete``."""


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
    _check_waiting(given)
    for entry in given.get("items", []):
        if "price_data" in entry:
            entry["price"] = new_price(world, entry["price_data"])["id"]
    with world.updating(subscription, lifecycle.UPDATED):
        _set_plain(world, subscription, call)
        if {"cancel_at", "cancel_at_period_end"} & given.keys():
            lifecycle.set_cancellation(world, subscription, given)
        if "pause_collection" in given:
            lifecycle.pause_collection(world, subscription, given["pause_collection"])
        if "cancellation_details" in given:
            details = {
                **(subscription["cancellation_details"] or {}),
                **given["cancellation_details"],
            }
            world.store.set(subscription, cancellation_details=details)
    if "discounts" in given:
        with world.updating(subscription, lifecycle.UPDATED):
            _replace_discounts(world, subscription, given["discounts"])
    if {"items", "trial_end", "billing_cycle_anchor"} & given.keys():
        changes.change(world, subscription, given)
    return subscription


def _check_waiting(given: Obj) -> None:
    surplus = sorted(given.keys() - set(_CAN_WAIT))
    if given.get("payment_behavior") == "pending_if_incomplete" and surplus:
        raise InvalidRequest(
            "When `payment_behavior` is set to `pending_if_incomplete`, you can only pass "
            f"supported parameters: {', '.join(_CAN_WAIT)}.",
            param=surplus[0],
        )


def _replace_discounts(world: World, subscription: Obj, wanted: list[Obj]) -> None:
    for discount_id in subscription["discounts"]:
        discounts.take_away(world, world.fetch("discount", discount_id))
    customer = world.fetch("customer", subscription["customer"])
    give_discounts(world, subscription, customer, wanted)


def _set_plain(world: World, subscription: Obj, call: Call) -> None:
    fields: dict[str, Any] = call.pick(*PLAIN)
    if "metadata" in call.params:
        fields["metadata"] = merge_metadata(subscription["metadata"], call.params["metadata"])
    if "payment_settings" in call.params:
        fields["payment_settings"] = {
            **subscription["payment_settings"],
            **call.params["payment_settings"],
        }
    if "trial_settings" in call.params:
        fields["trial_settings"] = trial_settings_of(call.params)
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
    last = changes.settle_last_period(
        world,
        subscription,
        credit=call.params.get("prorate", False),
        invoice=call.params.get("invoice_now", False),
    )
    if last is not None:
        invoices.finalize(world, last)
        collection.collect(world, last, off_session=True)
    lifecycle.cancel(world, subscription, reason="cancellation_requested")
    return subscription


def list_all(world: World, call: Call) -> Obj:
    """List subscriptions; those that ended only by ``status``, a test clock's only if named."""
    found = world.store.listed("subscription", call.params)
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
    Route("POST", "/v1/subscriptions", create, CREATE),
    Route(
        "GET",
        "/v1/subscriptions",
        list_all,
        listing(
            collection_method=FIELDS["collection_method"],
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
