"""The status of a subscription: how it becomes active, past due, unpaid, expired, canceled."""

from simulators.stripe.billing import invoices
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

UPDATED = "customer.subscription.updated"
ENDED = frozenset({"canceled", "incomplete_expired"})
_ACTIONS = (
    "renew",
    "expire",
    "expire_pending_update",
    "cancel",
    "resume_collection",
    "trial_will_end",
)
_TRIAL_WARNING_S = 3 * 86_400


def items_of(world: World, subscription: Obj) -> list[Obj]:
    """Return the subscription's items, oldest first."""
    return world.store.where("subscription_item", "subscription", subscription["id"])


def period_of(world: World, subscription: Obj) -> tuple[int, int]:
    """Return the current period; all items of a subscription share it."""
    item = items_of(world, subscription)[0]
    return item["current_period_start"], item["current_period_end"]


def plan_next(world: World, subscription: Obj) -> None:
    """Plan the next renewal, and what comes before it."""
    end = period_of(world, subscription)[1]
    world.schedule("renew", subscription, end)
    if subscription["cancel_at"]:
        world.schedule("cancel", subscription, subscription["cancel_at"])
    if subscription["status"] == "trialing":
        warning = max(world.now, subscription["trial_end"] - _TRIAL_WARNING_S)
        world.schedule("trial_will_end", subscription, warning)


def set_status(world: World, subscription: Obj, status: str) -> None:
    """Change the status, with its event."""
    with world.updating(subscription, UPDATED):
        world.store.set(subscription, status=status)


def activate(world: World, subscription: Obj) -> None:
    """Its newest invoice was paid: an incomplete or overdue subscription is active again."""
    if subscription["status"] in {"incomplete", "past_due", "unpaid"}:
        world.schedule("expire", subscription, None)
        set_status(world, subscription, "active")


def fall_behind(world: World, subscription: Obj) -> None:
    """Set past due after an unpaid renewal; an unpaid first invoice leaves it incomplete."""
    if subscription["status"] in {"active", "trialing"}:
        set_status(world, subscription, "past_due")


def give_up(world: World, subscription: Obj) -> None:
    """End dunning, after the last retry, as the settings say."""
    if subscription["status"] in ENDED:
        return
    if world.settings.after_dunning == "cancel":
        cancel(world, subscription, reason="payment_failed")
    else:
        set_status(world, subscription, world.settings.after_dunning)


def pause_collection(world: World, subscription: Obj, pause: Obj | None) -> None:
    """Pause the collection of invoices from now on, for good or until a time; None resumes it."""
    full = pause and {"behavior": pause["behavior"], "resumes_at": pause.get("resumes_at")}
    world.store.set(subscription, pause_collection=full)
    world.schedule("resume_collection", subscription, full["resumes_at"] if full else None)


def resume_collection(world: World, subscription: Obj) -> None:
    """End a pause whose time is over."""
    with world.updating(subscription, UPDATED):
        pause_collection(world, subscription, None)


def set_cancellation(world: World, subscription: Obj, given: Obj) -> None:
    """Plan the end, or take the plan back: ``cancel_at_period_end`` and ``cancel_at``."""
    at: int | None = given.get("cancel_at")
    at_period_end = given.get("cancel_at_period_end", False)
    if at_period_end:
        at = period_of(world, subscription)[1]
    details = {"comment": None, "feedback": None, "reason": "cancellation_requested"}
    world.store.set(
        subscription,
        cancel_at=at,
        cancel_at_period_end=at_period_end,
        canceled_at=world.now if at else None,
        cancellation_details=details if at else {**details, "reason": None},
    )
    world.schedule("cancel", subscription, at)


def cancel(world: World, subscription: Obj, *, reason: str) -> None:
    """End a subscription now; collection of its open invoices stops."""
    for action in _ACTIONS:
        world.schedule(action, subscription, None)
    details = {"comment": None, "feedback": None, **(subscription["cancellation_details"] or {})}
    world.store.set(
        subscription,
        status="canceled",
        ended_at=world.now,
        pending_update=None,
        canceled_at=subscription["canceled_at"] or world.now,
        cancellation_details={**details, "reason": details.get("reason") or reason},
        _pending=None,
    )
    for invoice in world.store.where("invoice", "_subscription", subscription["id"]):
        if invoice["status"] in {"draft", "open"} and invoice["auto_advance"]:
            _stop_advancing(world, invoice)
    world.emit("customer.subscription.deleted", subscription)


def _stop_advancing(world: World, invoice: Obj) -> None:
    world.schedule("finalize", invoice, None)
    world.schedule("retry", invoice, None)
    with world.updating(invoice, "invoice.updated"):
        world.store.set(
            invoice,
            auto_advance=False,
            automatically_finalizes_at=None,
            next_payment_attempt=None,
        )


def expire(world: World, subscription: Obj) -> None:
    """End a subscription whose first payment never came, and void its invoice."""
    if subscription["status"] != "incomplete":
        return
    for action in _ACTIONS:
        world.schedule(action, subscription, None)
    latest = world.store.get("invoice", subscription["latest_invoice"] or "")
    if latest is not None and latest["status"] == "open":
        invoices.void(world, latest)
    with world.updating(subscription, UPDATED):
        world.store.set(subscription, status="incomplete_expired", ended_at=world.now)


def remove_customer(world: World, customer: Obj) -> Obj:
    """Delete a customer: subscriptions end at once, payment methods are let go."""
    for subscription in world.store.where("subscription", "customer", customer["id"]):
        if subscription["status"] not in ENDED:
            cancel(world, subscription, reason="cancellation_requested")
    for payment_method in world.store.where("payment_method", "customer", customer["id"]):
        world.store.set(payment_method, customer=None)
    return world.remove(customer, "customer.deleted")
