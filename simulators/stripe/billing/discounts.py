"""Discounts: a coupon given to a customer or a subscription, and what it takes off.

A subscription's discounts come before its customer's. A coupon that is good ``once`` is used up
by the first invoice that is finalised with it; a ``repeating`` one ends after its months.
"""

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from simulators.stripe.billing.periods import boundary
from simulators.stripe.errors import InvalidRequest
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_EVENTS = {"customer": "customer", "subscription": "customer.subscription"}


def give(world: World, coupon_id: str, customer: Obj, subscription: Obj | None = None) -> Obj:
    """Redeem a coupon for a customer, or for one subscription; return the discount."""
    coupon = redeemable(world, coupon_id)
    discount = world.store.insert(
        {
            "id": world.ids.new("di"),
            "object": "discount",
            "checkout_session": None,
            "customer": customer["id"],
            "customer_account": None,
            "end": _end(world, coupon),
            "invoice": None,
            "invoice_item": None,
            "promotion_code": None,
            "source": {"coupon": coupon["id"], "type": "coupon"},
            "start": world.now,
            "subscription": subscription["id"] if subscription else None,
            "subscription_item": None,
        }
    )
    _count(world, coupon)
    world.emit("customer.discount.created", discount)
    return discount


def redeemable(world: World, coupon_id: str) -> Obj:
    """Return a coupon that can still be redeemed."""
    coupon = world.fetch("coupon", coupon_id, "coupon")
    if not coupon["valid"]:
        raise InvalidRequest(f"Coupon expired: {coupon_id}", code="coupon_expired", param="coupon")
    return coupon


def _end(world: World, coupon: Obj) -> int | None:
    months = coupon["duration_in_months"]
    return None if months is None else boundary(world.now, "month", months, 1)


def _count(world: World, coupon: Obj) -> None:
    times = coupon["times_redeemed"] + 1
    most, until = coupon["max_redemptions"], coupon["redeem_by"]
    exhausted = (most is not None and times >= most) or (until is not None and until <= world.now)
    world.store.set(coupon, times_redeemed=times, valid=not exhausted)


def give_customer(world: World, customer: Obj, coupon_id: str | None) -> None:
    """Let a coupon be the customer's, in place of another; None takes it away."""
    shown = customer["discount"]
    discount = world.fetch("discount", shown["id"]) if shown else None
    if coupon_id is None:
        if discount is not None:
            take_away(world, discount)
        return
    if discount is None:
        discount = give(world, coupon_id, customer)
    else:
        coupon = redeemable(world, coupon_id)
        source = {"coupon": coupon["id"], "type": "coupon"}
        with world.updating(discount, "customer.discount.updated"):
            world.store.set(discount, source=source, start=world.now, end=_end(world, coupon))
        _count(world, coupon)
    world.store.set(customer, discount=world.show(discount))


def take_away(world: World, discount: Obj) -> None:
    """End a discount: nothing that is invoiced from now on has it."""
    if subscription := world.store.get("subscription", discount["subscription"] or ""):
        left = [each for each in subscription["discounts"] if each != discount["id"]]
        world.store.set(subscription, discounts=left)
    else:
        customer = world.fetch("customer", discount["customer"])
        world.store.set(customer, discount=None)
    world.emit("customer.discount.deleted", discount)
    world.store.set(discount, _ended=True)


def of_subscription(world: World, customer: Obj, subscription: Obj | None) -> list[Obj]:
    """Return the discounts that hold now for a subscription, or for the customer alone."""
    ids = list(subscription["discounts"]) if subscription else []
    if not ids and customer.get("discount"):
        ids = [customer["discount"]["id"]]
    found = [world.fetch("discount", discount_id) for discount_id in ids]
    return [each for each in found if each["end"] is None or each["end"] > world.now]


def reduction(world: World, discounts: list[Obj], amount_minor: int) -> list[int]:
    """Return what each of the discounts takes off an amount, one after the other."""
    left, taken = amount_minor, []
    for discount in discounts:
        coupon = world.store.get("coupon", discount["source"]["coupon"])
        assert coupon is not None  # noqa: S101 - coupons are hidden, never removed
        off = coupon["amount_off"]
        if off is None:
            share = Decimal(left) * Decimal(str(coupon["percent_off"])) / 100
            off = int(share.quantize(Decimal(1), ROUND_HALF_UP))
        taken.append(min(off, max(left, 0)))
        left -= taken[-1]
    return taken


def apply(world: World, invoice: Obj, lines: list[Obj]) -> int:
    """Write the discounts of a draft into it and its lines; return what they take off."""
    customer = world.store.get("customer", invoice["customer"])
    subscription = world.store.get("subscription", invoice["_subscription"] or "")
    discounts = of_subscription(world, customer, subscription) if customer else []
    bases = [line["amount"] if line["discountable"] else 0 for line in lines]
    taken = reduction(world, discounts, sum(bases))
    shares = [_distribute(amount, bases) for amount in taken]
    for index, line in enumerate(lines):
        amounts = [
            {"amount": share[index], "discount": discount["id"]}
            for share, discount in zip(shares, discounts, strict=True)
            if share[index]
        ]
        world.store.set(line, discount_amounts=amounts)
    totals = [
        {"amount": amount, "discount": discount["id"]}
        for amount, discount in zip(taken, discounts, strict=True)
    ]
    ids = [discount["id"] for discount in discounts]
    world.store.set(invoice, discounts=ids, total_discount_amounts=totals)
    return sum(taken)


def _distribute(amount: int, bases: list[int]) -> list[int]:
    """Share an amount out in proportion, whole, so that the parts add up to it.

    >>> _distribute(100, [1, 1, 1])
    [33, 33, 34]
    """
    whole, shares, given, seen = sum(bases), [], 0, 0
    for base in bases:
        seen += base
        upto = amount * seen // whole if whole else 0
        shares.append(upto - given)
        given = upto
    return shares


def use_up(world: World, invoice: Obj) -> None:
    """End those discounts of an invoice, as it is finalised, that are good for one alone."""
    for discount_id in invoice["discounts"]:
        discount = world.fetch("discount", discount_id)
        coupon = world.store.get("coupon", discount["source"]["coupon"])
        if coupon and coupon["duration"] == "once" and not discount.get("_ended"):
            subscription = world.store.get("subscription", discount["subscription"] or "")
            owner = subscription or world.fetch("customer", discount["customer"])
            with world.updating(owner, f"{_EVENTS[owner['object']]}.updated"):
                take_away(world, discount)


def net_share(world: World, subscription: Obj, whole_minor: int) -> Fraction:
    """Return which part of a subscription's price for a period is left by its discounts."""
    customer = world.fetch("customer", subscription["customer"])
    discounts = of_subscription(world, customer, subscription)
    if not whole_minor or not discounts:
        return Fraction(1)
    return Fraction(whole_minor - sum(reduction(world, discounts, whole_minor)), whole_minor)
