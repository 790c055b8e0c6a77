"""Changes of a running subscription: items, trial, anchor, and what they cost to the second."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from simulators.stripe.billing import (
    collection,
    discounts,
    invoices,
    lifecycle,
    pending,
    subscriptions,
)
from simulators.stripe.billing.lines import (
    TIMES,
    Charge,
    add_invoice_item,
    amount_of,
    day,
    item_charge,
    price_of,
    product_name,
)
from simulators.stripe.billing.periods import prorate
from simulators.stripe.errors import InvalidRequest, no_such
from simulators.stripe.world import World
from simulators.webhooks.events import Obj


@dataclass(frozen=True)
class _Before:
    """An item as it was billed before the change."""

    item_id: str
    amount: int
    quantity: int
    price: Obj
    net_share: Fraction


@dataclass(frozen=True)
class _Window:
    """The period that a change falls into, and when; `restarts`: the period ends with it."""

    start: int
    end: int
    at: int
    restarts: bool

    def share(self, amount_minor: int, net_share: Fraction) -> int:
        """Return what the rest of the period costs of a whole one's amount, discounts off."""
        part, whole = self.end - self.at, self.end - self.start
        return prorate(amount_minor, part * net_share.numerator, whole * net_share.denominator)


def change(world: World, subscription: Obj, given: Obj) -> None:
    """Apply a change of items, trial or anchor, with prorations, and invoice it if due now.

    `given` holds the API's parameters. With ``error_if_incomplete`` a declined payment undoes
    everything; with ``pending_if_incomplete`` the change waits until it is paid for.
    """
    behavior = given.get("payment_behavior", "allow_incomplete")
    pending.discard(world, subscription)
    off_session = given.get("off_session", False)

    def apply() -> None:
        invoice = make(world, subscription, given)
        if invoice is not None:
            invoices.finalize(world, invoice)
        if invoice is not None and behavior != "default_incomplete":
            failure = collection.collect(world, invoice, off_session=off_session)
            if behavior in {"error_if_incomplete", "pending_if_incomplete"}:
                subscriptions.raise_unpaid(world, invoice, failure)

    if behavior == "pending_if_incomplete":
        try:
            with world.store.transaction():
                apply()
        except subscriptions.Unpaid:
            _put_off(world, subscription, given)
        return
    customer = world.fetch("customer", subscription["customer"])
    payer = collection.payment_method_for(world, customer, subscription)
    subscriptions.pay_or_undo(world, payer, apply, off_session=off_session)


def _put_off(world: World, subscription: Obj, given: Obj) -> None:
    """Invoice a change that could not be paid for, and let it wait."""

    def draft() -> Obj:
        invoice = _make(world, subscription, given)
        assert invoice is not None  # noqa: S101 - what was not paid was invoiced
        return invoice

    invoice = pending.put_off(world, subscription, draft)
    invoices.finalize(world, invoice)
    collection.collect(world, invoice, off_session=given.get("off_session", False))


def make(world: World, subscription: Obj, given: Obj) -> Obj | None:
    """Make the change; return the draft of the invoice that is due now."""
    with world.updating(subscription, lifecycle.UPDATED):
        return _make(world, subscription, given)


def _make(world: World, subscription: Obj, given: Obj) -> Obj | None:
    at = given.get("proration_date", world.now)
    period = lifecycle.period_of(world, subscription)
    if not period[0] <= at <= period[1]:
        raise InvalidRequest(
            "Cannot specify `proration_date` outside of the current subscription period.",
            param="proration_date",
        )
    charged = subscription["status"] != "trialing"
    before = _billed(world, subscription)
    _change_items(world, subscription, given.get("items", []))
    restarts = _restart_if_needed(world, subscription, given, before)
    behavior = given.get("proration_behavior", "create_prorations")
    if charged and behavior != "none":
        ends = restarts or subscription["status"] == "trialing"
        _add_prorations(world, subscription, before, _Window(*period, at, restarts=ends))
    if restarts or behavior == "always_invoice":
        return _invoice_now(world, subscription, whole_period=restarts)
    return None


def _billed(world: World, subscription: Obj) -> list[_Before]:
    """Return the items as they are billed now, each with its part of the discounts."""
    items = lifecycle.items_of(world, subscription)
    net = discounts.net_share(world, subscription, sum(amount_of(world, item) for item in items))
    return [
        _Before(item["id"], amount_of(world, item), item["quantity"], price_of(world, item), net)
        for item in items
    ]


def _change_items(world: World, subscription: Obj, entries: list[Obj]) -> None:
    """Change, add and remove items as `entries` say."""
    start, end = lifecycle.period_of(world, subscription)
    for entry in entries:
        if "id" in entry:
            _change_item(world, subscription, entry)
        elif entry.get("price") is None:
            raise InvalidRequest(
                "Missing required param: items[0][price].", param="items[0][price]"
            )
        else:
            price = check_price(world, entry["price"], subscription["currency"])
            item = subscriptions.new_item(world, subscription, price, entry)
            world.store.set(item, current_period_start=start, current_period_end=end)
    left = lifecycle.items_of(world, subscription)
    if not left:
        raise InvalidRequest("A subscription must have at least one active plan.", param="items")
    if len({_grid(price_of(world, item)) for item in left}) > 1:
        raise InvalidRequest(
            "Currency and interval fields must match across all plans on this subscription. "
            "Found mismatch in interval field.",
            param="items",
        )


def _change_item(world: World, subscription: Obj, entry: Obj) -> None:
    item = world.store.get("subscription_item", entry["id"])
    if item is None or item["subscription"] != subscription["id"]:
        raise no_such("subscription_item", entry["id"], "items[0][id]")
    if entry.get("deleted"):
        world.store.delete(item)
        return
    changes: Obj = {key: entry[key] for key in ("quantity", "metadata") if key in entry}
    if "price" in entry:
        changes["_price"] = check_price(world, entry["price"], subscription["currency"])["id"]
    world.store.set(item, **changes)


def check_price(world: World, price_id: str, currency: str | None) -> Obj:
    """Return a price that can be subscribed to, in that currency."""
    price = world.fetch("price", price_id, "items[0][price]")
    if not price["active"]:
        raise InvalidRequest(
            f"The price specified is inactive. This field only accepts active prices: {price_id}",
            param="items[0][price]",
        )
    if price["type"] != "recurring":
        raise InvalidRequest(
            "The price specified is set to `type=one_time` but this field only accepts prices "
            "with `type=recurring`.",
            param="items[0][price]",
        )
    if currency not in {None, price["currency"]}:
        raise InvalidRequest(
            f"The price specified only supports `{price['currency']}`. This doesn't match the "
            f"expected currency: `{currency}`.",
            param="items[0][price]",
        )
    return price


def _grid(price: Obj) -> tuple[str, int]:
    return price["recurring"]["interval"], price["recurring"]["interval_count"]


def _restart_if_needed(world: World, subscription: Obj, given: Obj, before: list[_Before]) -> bool:
    """Begin a new period now when the interval, the trial or the anchor asks for it."""
    new_grid = _grid(price_of(world, lifecycle.items_of(world, subscription)[0]))
    trial_end = given.get("trial_end")
    trialing = subscription["status"] == "trialing"
    if isinstance(trial_end, int) and trial_end > world.now:
        _move_trial(world, subscription, trial_end)
        return False
    other_grid = new_grid != _grid(before[0].price) and not trialing
    asked = given.get("billing_cycle_anchor") == "now" or (trialing and trial_end == "now")
    if not other_grid and not asked:
        return False
    world.store.set(subscription, billing_cycle_anchor=world.now)
    if trialing:
        world.store.set(subscription, status="active", trial_end=world.now)
    _set_period(world, subscription, subscriptions.next_boundary(world, subscription, world.now))
    return True


def _move_trial(world: World, subscription: Obj, trial_end: int) -> None:
    world.store.set(
        subscription,
        billing_cycle_anchor=trial_end,
        status="trialing",
        trial_end=trial_end,
        trial_start=subscription["trial_start"] or world.now,
    )
    _set_period(world, subscription, trial_end)


def _set_period(world: World, subscription: Obj, end: int) -> None:
    """Let the current period end at `end`; a restart also lets it begin now."""
    start = world.now if subscription["billing_cycle_anchor"] == world.now else None
    for item in lifecycle.items_of(world, subscription):
        begun = item["current_period_start"] if start is None else start
        world.store.set(item, current_period_start=begun, current_period_end=end)
    lifecycle.plan_next(world, subscription)


def _add_prorations(
    world: World, subscription: Obj, before: list[_Before], window: _Window
) -> None:
    """Add credits for what was paid and is not used, and debits for what will be."""
    old = {entry.item_id: entry for entry in before}
    new = {entry.item_id: entry for entry in _billed(world, subscription)}
    for item_id in dict.fromkeys([*old, *new]):
        was, now_billed = old.get(item_id), new.get(item_id)
        if not window.restarts and now_billed == was:
            continue
        if was is not None:
            _prorate(world, subscription, was, window, credit=True)
        if now_billed is not None and not window.restarts:
            _prorate(world, subscription, now_billed, window, credit=False)


def _prorate(
    world: World, subscription: Obj, billed: _Before, window: _Window, *, credit: bool
) -> None:
    name = product_name(world, billed.price)
    counted = name if billed.quantity == 1 else f"{billed.quantity} {TIMES} {name}"
    share = window.share(billed.amount, billed.net_share)
    word = "Unused" if credit else "Remaining"
    charge = Charge(
        amount=-share if credit else share,
        currency=subscription["currency"],
        description=f"{word} time on {counted} after {day(window.at)}",
        period=(window.at, window.end),
        quantity=billed.quantity,
        price=billed.price,
        subscription=subscription["id"],
        subscription_item=billed.item_id,
        proration=True,
    )
    add_invoice_item(world, subscription["customer"], charge)


def _invoice_now(world: World, subscription: Obj, *, whole_period: bool) -> Obj | None:
    """Draft what is pending, and the new period if one has begun; None if there is nothing."""
    customer = world.fetch("customer", subscription["customer"])
    pending = invoices.pending_items(world, customer["id"], subscription["id"])
    charges: list[Charge] = []
    if whole_period:
        items = lifecycle.items_of(world, subscription)
        charges = [item_charge(world, subscription, item) for item in items]
    if not pending and not charges:
        return None
    given: dict[str, Any] = {"due_date": subscriptions.due_date(world, subscription)}
    invoice = invoices.new_draft(
        world,
        customer,
        reason="subscription_update",
        currency=subscription["currency"],
        charges=charges,
        subscription=subscription,
        pending=pending,
        auto_advance=True,
        **given,
    )
    world.store.set(subscription, latest_invoice=invoice["id"])
    return invoice


def settle_last_period(
    world: World, subscription: Obj, *, credit: bool, invoice: bool
) -> Obj | None:
    """Before a subscription ends now: credit its unused time, draft what is pending."""
    if credit and subscription["status"] in {"active", "past_due"}:
        window = _Window(*lifecycle.period_of(world, subscription), world.now, restarts=True)
        _add_prorations(world, subscription, _billed(world, subscription), window)
    return _invoice_now(world, subscription, whole_period=False) if invoice else None
