"""``/v1/coupons``, and the discounts that they become."""

from simulators.stripe.billing import discounts
from simulators.stripe.currencies import Currency
from simulators.stripe.errors import InvalidRequest, missing
from simulators.stripe.lists import page
from simulators.stripe.resources.common import retriever
from simulators.stripe.routes import Call, Route
from simulators.stripe.schema import (
    ID,
    METADATA,
    TIMESTAMP,
    Choice,
    Integer,
    Params,
    Percent,
    Text,
    TimeRange,
    listing,
    merge_metadata,
)
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_CREATE = Params(
    {
        "amount_off": Integer(1),
        "currency": Currency(),
        "duration": Choice("forever", "once", "repeating"),
        "duration_in_months": Integer(1, 120),
        "id": ID,
        "max_redemptions": Integer(1),
        "metadata": METADATA,
        "name": Text(40),
        "percent_off": Percent(),
        "redeem_by": TIMESTAMP,
    }
)
_UPDATE = Params({"metadata": METADATA, "name": Text(40)})


def create(world: World, call: Call) -> Obj:
    """Create a coupon that takes off a part of the price, or an amount."""
    given = call.params
    if ("amount_off" in given) == ("percent_off" in given):
        raise InvalidRequest("You must pass exactly one of `amount_off` or `percent_off`.")
    if "amount_off" in given and "currency" not in given:
        raise missing("currency")
    duration = given.get("duration", "once")
    if (duration == "repeating") != ("duration_in_months" in given):
        raise InvalidRequest(
            "`duration_in_months` goes with `duration=repeating`.", param="duration_in_months"
        )
    coupon_id = given.get("id") or world.ids.letters(8)
    if world.store.get("coupon", coupon_id):
        raise InvalidRequest("Coupon already exists.", code="resource_already_exists", param="id")
    coupon = world.store.insert(
        {
            "id": coupon_id,
            "object": "coupon",
            "amount_off": given.get("amount_off"),
            "created": world.now,
            "currency": given.get("currency"),
            "duration": duration,
            "duration_in_months": given.get("duration_in_months"),
            "livemode": False,
            "max_redemptions": given.get("max_redemptions"),
            "metadata": merge_metadata({}, given.get("metadata")),
            "name": given.get("name"),
            "percent_off": given.get("percent_off"),
            "redeem_by": given.get("redeem_by"),
            "times_redeemed": 0,
            "valid": True,
            "_deleted": False,
        }
    )
    world.emit("coupon.created", coupon)
    return coupon


def update(world: World, call: Call) -> Obj:
    """Change a coupon's name or metadata; never what it is worth."""
    coupon = world.fetch("coupon", call.id)
    changes = call.pick("name")
    if "metadata" in call.params:
        changes["metadata"] = merge_metadata(coupon["metadata"], call.params["metadata"])
    with world.updating(coupon, "coupon.updated"):
        world.store.set(coupon, **changes)
    return coupon


def delete(world: World, call: Call) -> Obj:
    """Delete a coupon: nobody can redeem it any more, and who did keeps the discount."""
    coupon = world.fetch("coupon", call.id)
    world.store.set(coupon, valid=False)
    world.emit("coupon.deleted", coupon)
    world.store.set(coupon, _deleted=True)
    return {"id": coupon["id"], "object": "coupon", "deleted": True}


def list_all(world: World, call: Call) -> Obj:
    """List coupons."""
    return page(call, [each for each in world.store.all("coupon") if not each["_deleted"]])


def delete_of_customer(world: World, call: Call) -> Obj:
    """Take a customer's discount away."""
    customer = world.fetch("customer", call.id)
    return _delete(world, customer["discount"] and customer["discount"]["id"])


def delete_of_subscription(world: World, call: Call) -> Obj:
    """Take a subscription's newest discount away."""
    subscription = world.fetch("subscription", call.id)
    with world.updating(subscription, "customer.subscription.updated"):
        return _delete(world, (subscription["discounts"] or [None])[-1])


def _delete(world: World, discount_id: str | None) -> Obj:
    if discount_id is None:
        raise InvalidRequest("No active discount.", status=404, code="resource_missing")
    discount = world.fetch("discount", discount_id)
    discounts.take_away(world, discount)
    return {"id": discount["id"], "object": "discount", "deleted": True}


ROUTES = [
    Route("POST", "/v1/coupons", create, _CREATE),
    Route("GET", "/v1/coupons", list_all, listing(created=TimeRange())),
    Route("GET", "/v1/coupons/{id}", retriever("coupon")),
    Route("POST", "/v1/coupons/{id}", update, _UPDATE),
    Route("DELETE", "/v1/coupons/{id}", delete),
    Route("DELETE", "/v1/customers/{id}/discount", delete_of_customer),
    Route("DELETE", "/v1/subscriptions/{id}/discount", delete_of_subscription),
]
