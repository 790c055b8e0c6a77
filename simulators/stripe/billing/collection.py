"""Collects invoices: the attempt, what follows from it, and the retries."""

from simulators.stripe.billing import invoices, lifecycle, pending
from simulators.stripe.cards import AUTHENTICATION_REQUIRED
from simulators.stripe.charging import Failure
from simulators.stripe.errors import InvalidRequest
from simulators.stripe.intents import attempt
from simulators.stripe.world import World
from simulators.webhooks.events import Obj


def payment_method_for(world: World, customer: Obj, holder: Obj | None = None) -> Obj | None:
    """Return what pays: the holder's own default, else the customer's, else an older source."""
    chosen = (holder or {}).get("default_payment_method")
    chosen = chosen or customer["invoice_settings"]["default_payment_method"]
    chosen = chosen or customer["default_source"]
    return world.store.get("payment_method", chosen) if chosen else None


def payer_of(world: World, invoice: Obj) -> Obj | None:
    """Return the payment method that would pay an invoice."""
    customer = world.fetch("customer", invoice["customer"])
    subscription = world.store.get("subscription", invoice["_subscription"] or "")
    if invoice["default_payment_method"]:
        return world.store.get("payment_method", invoice["default_payment_method"])
    return payment_method_for(world, customer, subscription)


def no_payment_method() -> InvalidRequest:
    """Build the error for a customer with nothing to pay with."""
    return InvalidRequest(
        "This customer has no attached payment source or default payment method. Please consider "
        "adding a default payment method. For more information, visit "
        "https://stripe.com/docs/billing/subscriptions/payment-methods-setting"
        "#payment-method-priority.",
        code="resource_missing",
    )


def collect(
    world: World, invoice: Obj, *, off_session: bool, payer: Obj | None = None
) -> Failure | None:
    """Try to collect an open invoice; return the failure of a declined card."""
    payment = invoices.default_payment(world, invoice)
    if payment is None:  # nothing is due
        settled(world, invoice)
        return None
    intent = world.fetch("payment_intent", payment["payment"]["payment_intent"])
    payer = payer or payer_of(world, invoice)
    if payer is None:
        _failed(world, invoice)
        return None
    failure = attempt(world, intent, payer, off_session=off_session)
    after_attempt(world, intent)
    return failure


def after_attempt(world: World, intent: Obj) -> None:
    """Carry an intent's new status over to its invoice, if it has one."""
    invoice = world.store.get("invoice", intent["_invoice"] or "")
    if invoice is None or invoice["status"] not in {"open", "uncollectible"}:
        return
    if intent["status"] == "succeeded":
        _close_payment(world, invoice, intent)
        settled(world, invoice, intent["amount_received"])
    elif intent["status"] == "requires_action":
        world.emit("invoice.payment_action_required", invoice)
        _failed(world, invoice)
    elif intent["status"] == "requires_payment_method":
        if intent["last_payment_error"]["code"] == AUTHENTICATION_REQUIRED.code:
            world.emit("invoice.payment_action_required", invoice)
        _failed(world, invoice)


def settled(world: World, invoice: Obj, amount_minor: int = 0) -> None:
    """Close an invoice that is paid, or that nothing is due on, and its subscription's debt."""
    if amount_minor:
        world.store.set(invoice, attempt_count=invoice["attempt_count"] + 1)
    invoices.mark_paid(world, invoice, amount_minor)
    subscription = world.store.get("subscription", invoice["_subscription"] or "")
    if subscription is None:
        return
    if subscription["latest_invoice"] in {None, invoice["id"]}:
        lifecycle.activate(world, subscription)
    if pending.awaits(subscription, invoice):
        pending.apply(world, subscription)


def _close_payment(world: World, invoice: Obj, intent: Obj) -> None:
    payment = invoices.default_payment(world, invoice)
    assert payment is not None  # noqa: S101 - an intent of an invoice always has one
    world.store.set(
        payment,
        amount_paid=intent["amount_received"],
        status="paid",
        status_transitions={**payment["status_transitions"], "paid_at": world.now},
    )
    world.emit("invoice_payment.paid", payment)
    subscription = world.store.get("subscription", invoice["_subscription"] or "")
    if (
        subscription
        and subscription["payment_settings"].get("save_default_payment_method") == "on_subscription"
    ):
        with world.updating(subscription, lifecycle.UPDATED):
            world.store.set(subscription, default_payment_method=intent["payment_method"])


def _failed(world: World, invoice: Obj) -> None:
    """Count a failed attempt, plan the next one, and tell the subscription."""
    subscription = world.store.get("subscription", invoice["_subscription"] or "")
    attempts = invoice["attempt_count"] + 1
    waited_for = pending.awaits(subscription, invoice)
    retry_at = None if waited_for else _next_attempt(world, invoice, attempts)
    with world.updating(invoice, "invoice.updated"):
        world.store.set(
            invoice,
            attempted=True,
            attempt_count=attempts,
            auto_advance=retry_at is not None or invoice["billing_reason"] == "subscription_create",
            next_payment_attempt=retry_at,
        )
    world.schedule("retry", invoice, retry_at)
    world.emit("invoice.payment_failed", invoice)
    if subscription is None or waited_for:
        return
    lifecycle.fall_behind(world, subscription)
    if retry_at is None and subscription["status"] == "past_due":
        lifecycle.give_up(world, subscription)


def _next_attempt(world: World, invoice: Obj, attempts: int) -> int | None:
    """Return when the invoice is tried again by itself; a first invoice never is."""
    waits = world.settings.dunning_s
    if invoice["billing_reason"] == "subscription_create" or not invoice["_subscription"]:
        return None
    return world.now + waits[attempts - 1] if attempts <= len(waits) else None


def retry(world: World, invoice: Obj) -> None:
    """Try an overdue invoice again."""
    if invoice["status"] == "open":
        collect(world, invoice, off_session=True)


def advance_draft(world: World, invoice: Obj) -> None:
    """Finalise a draft whose time is over; collect it, or do what pausing collection says."""
    if invoice["status"] != "draft":
        return
    invoices.finalize(world, invoice)
    subscription = world.store.get("subscription", invoice["_subscription"] or "")
    paused = (subscription or {}).get("pause_collection") or {}
    if paused.get("behavior") == "void":
        invoices.void(world, invoice)
        return
    if paused.get("behavior") == "mark_uncollectible":
        invoices.mark_uncollectible(world, invoice)
        return
    if invoice["collection_method"] == "charge_automatically" or not invoice["amount_due"]:
        collect(world, invoice, off_session=True)
    else:
        world.emit("invoice.sent", invoice)
