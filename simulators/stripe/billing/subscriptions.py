"""A subscription's beginning and its renewals."""

from collections.abc import Callable
from typing import Any

from simulators.stripe.billing import collection, invoices, lifecycle
from simulators.stripe.billing.lines import TIMES, Charge, item_charge, price_of, product_name
from simulators.stripe.billing.periods import boundary, period_around, prorate
from simulators.stripe.charging import Failure
from simulators.stripe.errors import CardError
from simulators.stripe.intents import attempt, new_intent
from simulators.stripe.world import World
from simulators.webhooks.events import Obj


def new_item(world: World, subscription: Obj, price: Obj, given: Obj) -> Obj:
    """Add an item; its period is set by whoever starts or changes the subscription."""
    return world.store.insert(
        {
            "id": world.ids.new("si", 14),
            "object": "subscription_item",
            "billing_thresholds": None,
            "created": world.now,
            "current_period_end": world.now,
            "current_period_start": world.now,
            "discounts": [],
            "metadata": given.get("metadata") or {},
            "quantity": given.get("quantity", 1),
            "subscription": subscription["id"],
            "tax_rates": [],
            "_price": price["id"],
        }
    )


def start(world: World, subscription: Obj, behavior: str, *, off_session: bool) -> None:
    """Begin a stored subscription whose items are in place: first period, invoice, payment."""
    _set_first_period(world, subscription)
    if subscription["cancel_at"] or subscription["cancel_at_period_end"]:
        wanted = {key: subscription[key] for key in ("cancel_at", "cancel_at_period_end")}
        lifecycle.set_cancellation(world, subscription, wanted)
    world.emit("customer.subscription.created", subscription)
    trial = subscription["status"] == "trialing"
    invoice = _first_invoice(world, subscription, trial=trial)
    world.store.set(subscription, latest_invoice=invoice["id"])
    invoices.finalize(world, invoice)
    lifecycle.plan_next(world, subscription)
    if not invoice["amount_due"]:
        collection.settled(world, invoice)
        return
    if subscription["collection_method"] == "send_invoice":
        world.emit("invoice.sent", invoice)
        lifecycle.activate(world, subscription)
        return
    world.schedule("expire", subscription, world.now + world.settings.incomplete_s)
    if behavior == "default_incomplete":
        return
    failure = collection.collect(world, invoice, off_session=off_session)
    if behavior == "error_if_incomplete":
        raise_unpaid(world, invoice, failure)


class Unpaid(Exception):
    """The payment that a change depended on failed; carries what to repeat after undoing it."""

    def __init__(self, invoice: Obj, failure: Failure | None) -> None:
        super().__init__(invoice["id"])
        self.amount = invoice["amount_due"]
        self.currency = invoice["currency"]
        self.customer = invoice["customer"]
        self.declined = failure is not None


def raise_unpaid(world: World, invoice: Obj, failure: Failure | None) -> None:
    """Raise `Unpaid` unless the invoice is paid."""
    if world.store.get("invoice", invoice["id"]) and invoice["status"] != "paid":
        raise Unpaid(invoice, failure)


def pay_or_undo(
    world: World, payer: Obj | None, change: Callable[[], None], *, off_session: bool
) -> None:
    """Make a change that must be paid for: when the card declines, only the attempt remains."""
    try:
        with world.store.transaction():
            change()
    except Unpaid as unpaid:
        if payer is None or not unpaid.declined:
            raise _needs_customer() from None
        intent = new_intent(
            world, amount=unpaid.amount, currency=unpaid.currency, customer=unpaid.customer
        )
        failure = attempt(world, intent, payer, off_session=off_session)
        assert failure is not None  # noqa: S101 - the same card declines the same way
        raise failure.as_error(world, intent, payer) from None


def _needs_customer() -> CardError:
    return CardError(
        "Payment for this subscription requires additional user action before it can be completed "
        "successfully.",
        status=402,
        code="subscription_payment_intent_requires_action",
    )


def first_draft(world: World, subscription: Obj) -> Obj:
    """Draft the first invoice of a stored subscription, to be looked at."""
    _set_first_period(world, subscription)
    return _first_invoice(world, subscription, trial=subscription["status"] == "trialing")


def preview_renewal(world: World, subscription: Obj) -> Obj | None:
    """Draft the next renewal, to be looked at; None where the subscription ends first."""
    old = lifecycle.period_of(world, subscription)
    ends_at = subscription["cancel_at"]
    if subscription["status"] in lifecycle.ENDED or (ends_at and ends_at <= old[1]):
        return None
    _set_period(world, subscription, old[1], _period_at(world, subscription, old[1])[1])
    invoice = _renewal_invoice(world, subscription, old)
    return world.store.set(
        invoice,
        billing_reason="upcoming",
        automatically_finalizes_at=None,
        created=old[1],
        next_payment_attempt=old[1] + world.settings.draft_s,
    )


def _set_first_period(world: World, subscription: Obj) -> None:
    """Set the items' period: the trial, or from now to the anchor's next boundary."""
    end = subscription["trial_end"]
    if subscription["status"] != "trialing":
        end = _period_at(world, subscription, world.now)[1]
    _set_period(world, subscription, world.now, end)


def _period_at(world: World, subscription: Obj, moment: int) -> tuple[int, int]:
    recurring = price_of(world, lifecycle.items_of(world, subscription)[0])["recurring"]
    return period_around(
        subscription["billing_cycle_anchor"],
        recurring["interval"],
        recurring["interval_count"],
        moment,
    )


def _set_period(world: World, subscription: Obj, start_at: int, end_at: int) -> None:
    for item in lifecycle.items_of(world, subscription):
        world.store.set(item, current_period_start=start_at, current_period_end=end_at)


def _first_invoice(world: World, subscription: Obj, *, trial: bool) -> Obj:
    customer = world.fetch("customer", subscription["customer"])
    items = lifecycle.items_of(world, subscription)
    charges = [_first_charge(world, subscription, item, trial=trial) for item in items]
    return invoices.new_draft(
        world,
        customer,
        reason="subscription_create",
        currency=subscription["currency"],
        charges=[charge for charge in charges if charge is not None],
        subscription=subscription,
        pending=invoices.pending_items(world, customer["id"], subscription["id"]),
        auto_advance=True,
        due_date=due_date(world, subscription),
    )


def _first_charge(world: World, subscription: Obj, item: Obj, *, trial: bool) -> Charge | None:
    """Return the first period's charge; up to an anchor in the future it is a part of one."""
    charge = item_charge(world, subscription, item, trial=trial)
    whole = _period_at(world, subscription, world.now)
    if trial or whole[0] == world.now:
        return charge
    if subscription["_proration_behavior"] == "none":
        return None
    share = prorate(charge.amount, whole[1] - world.now, whole[1] - whole[0])
    name = product_name(world, price_of(world, item))
    values: dict[str, Any] = {**charge.__dict__, "amount": share, "proration": True}
    return Charge(
        **{**values, "description": f"Remaining time on {item['quantity']} {TIMES} {name}"}
    )


def due_date(world: World, subscription: Obj) -> int | None:
    """Return when an invoice that is sent falls due."""
    days = subscription["days_until_due"]
    return None if days is None else world.now + days * 86_400


def renew(world: World, subscription: Obj) -> None:
    """Begin the next period, after the last one or a trial, with a draft invoice."""
    if subscription["status"] in lifecycle.ENDED:
        return
    old = lifecycle.period_of(world, subscription)
    if subscription["cancel_at"] and subscription["cancel_at"] <= old[1]:
        lifecycle.cancel(world, subscription, reason="cancellation_requested")
        return
    if subscription["status"] == "trialing" and _ends_unpayable(world, subscription):
        lifecycle.cancel(world, subscription, reason="payment_failed")
        return
    with world.updating(subscription, lifecycle.UPDATED):
        if subscription["status"] == "trialing":
            world.store.set(subscription, status="active")
        _set_period(world, subscription, old[1], _period_at(world, subscription, old[1])[1])
        if subscription["status"] != "incomplete":
            invoice = _renewal_invoice(world, subscription, old)
            world.store.set(subscription, latest_invoice=invoice["id"])
    lifecycle.plan_next(world, subscription)


def _ends_unpayable(world: World, subscription: Obj) -> bool:
    """Tell whether a trial's end is the subscription's too: nothing to pay with, and so set."""
    customer = world.fetch("customer", subscription["customer"])
    at_end = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    return (
        at_end == "cancel" and collection.payment_method_for(world, customer, subscription) is None
    )


def _renewal_invoice(world: World, subscription: Obj, old: tuple[int, int]) -> Obj:
    """Draft the renewal; an unpaid or so paused subscription's drafts stay drafts."""
    customer = world.fetch("customer", subscription["customer"])
    paused = subscription["pause_collection"] or {}
    advances = subscription["status"] != "unpaid" and paused.get("behavior") != "keep_as_draft"
    finalizes_at = world.now + world.settings.draft_s if advances else None
    invoice = invoices.new_draft(
        world,
        customer,
        reason="subscription_cycle",
        currency=subscription["currency"],
        charges=[
            item_charge(world, subscription, item)
            for item in lifecycle.items_of(world, subscription)
        ],
        subscription=subscription,
        period=old,
        pending=invoices.pending_items(world, customer["id"], subscription["id"]),
        auto_advance=advances,
        automatically_finalizes_at=finalizes_at,
        next_payment_attempt=finalizes_at,
        due_date=due_date(world, subscription),
    )
    world.schedule("finalize", invoice, finalizes_at)
    return invoice


def warn_of_trial_end(world: World, subscription: Obj) -> None:
    """Tell three days before a trial ends, or at once when it is shorter."""
    if subscription["status"] == "trialing":
        world.emit("customer.subscription.trial_will_end", subscription)


def next_boundary(world: World, subscription: Obj, moment: int) -> int:
    """Return the end of the period that begins, or runs, at `moment`."""
    return _period_at(world, subscription, moment)[1]


def first_boundary(price: Obj, anchor: int) -> int:
    """Return one period after the anchor."""
    recurring = price["recurring"]
    return boundary(anchor, recurring["interval"], recurring["interval_count"], 1)
