"""Invoices from draft to paid or void; who pays and how is `collection`'s question."""

from simulators.stripe.billing import discounts
from simulators.stripe.billing.lines import Charge, add_line, take_up
from simulators.stripe.currencies import minimum_minor
from simulators.stripe.errors import InvalidRequest
from simulators.stripe.intents import cancel_intent, new_intent
from simulators.stripe.templates import INVOICE, fresh
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_INTENT_TEXT = {
    "subscription_create": "Subscription creation",
    "subscription_cycle": "Subscription update",
    "subscription_update": "Subscription update",
}


def new_draft(  # noqa: PLR0913 - an invoice is made from this much
    world: World,
    customer: Obj,
    *,
    reason: str,
    currency: str,
    charges: list[Charge],
    subscription: Obj | None = None,
    period: tuple[int, int] | None = None,
    pending: list[Obj] | None = None,
    **given: object,
) -> Obj:
    """Add a draft of these charges and the pending items, with its event."""
    invoice = _blank(world, customer, currency, reason, period or (world.now, world.now))
    invoice.update(given)
    if subscription is not None:
        invoice["_subscription"] = subscription["id"]
        invoice["collection_method"] = subscription["collection_method"]
        invoice["default_payment_method"] = None
        invoice["parent"] = {
            "quote_details": None,
            "subscription_details": {
                "metadata": dict(subscription["metadata"]),
                "subscription": subscription["id"],
            },
            "type": "subscription_details",
        }
    world.store.insert(invoice)
    for item in pending or []:
        take_up(world, invoice, item)
    for charge in charges:
        add_line(world, invoice, charge)
    recompute(world, invoice)
    world.emit("invoice.created", invoice)
    return invoice


def pending_items(world: World, customer: str, subscription: str | None = None) -> list[Obj]:
    """Return the customer's pending items: of that subscription, and of none."""
    found = []
    for item in world.store.where("invoiceitem", "customer", customer):
        owner = ((item["parent"] or {}).get("subscription_details") or {}).get("subscription")
        if item["invoice"] is None and owner in {None, subscription}:
            found.append(item)
    return found


def recompute(world: World, invoice: Obj) -> None:
    """Add a draft's lines up anew, and apply the customer's balance as it stands."""
    lines = world.store.where("line_item", "invoice", invoice["id"])
    subtotal = sum(line["amount"] for line in lines)
    total = subtotal - discounts.apply(world, invoice, lines)
    customer = world.store.get("customer", invoice["customer"])
    balance = int((customer or {}).get("balance") or 0)
    due = max(0, total + balance)
    if 0 < due < minimum_minor(invoice["currency"]):
        due = 0  # too little to charge: it is carried over in the balance
    world.store.set(
        invoice,
        subtotal=subtotal,
        subtotal_excluding_tax=subtotal,
        total=total,
        total_excluding_tax=total,
        starting_balance=balance,
        amount_due=due,
        amount_remaining=due,
    )


def finalize(world: World, invoice: Obj) -> None:
    """Give a draft its number, open it, and make an intent for what is due."""
    if invoice["status"] != "draft":
        raise wrong_status(invoice, "finalize", "draft")
    recompute(world, invoice)
    discounts.use_up(world, invoice)
    customer = world.fetch("customer", invoice["customer"])
    sequence = customer["next_invoice_sequence"]
    carried = invoice["starting_balance"] + invoice["total"] - invoice["amount_due"]
    invoice_url = f"https://invoice.stripe.com/i/acct_simulator/{invoice['id']}"
    world.store.set(
        invoice,
        automatically_finalizes_at=None,
        effective_at=world.now,
        ending_balance=carried,
        hosted_invoice_url=invoice_url,
        invoice_pdf=f"{invoice_url}/pdf",
        number=f"{customer['invoice_prefix']}-{sequence:04d}",
        status="open",
        status_transitions={**invoice["status_transitions"], "finalized_at": world.now},
    )
    world.store.set(customer, next_invoice_sequence=sequence + 1)
    if carried != customer["balance"]:
        with world.updating(customer, "customer.updated"):
            world.store.set(customer, balance=carried)
    world.schedule("finalize", invoice, None)
    if invoice["amount_due"]:
        _ask_for_payment(world, invoice)
    world.emit("invoice.finalized", invoice)


def _ask_for_payment(world: World, invoice: Obj) -> None:
    """Make the payment intent of an open invoice, and what ties the two together."""
    intent = new_intent(
        world,
        amount=invoice["amount_due"],
        currency=invoice["currency"],
        customer=invoice["customer"],
        description=_INTENT_TEXT.get(invoice["billing_reason"], "Payment for Invoice"),
        setup_future_usage="off_session" if invoice["_subscription"] else None,
        _invoice=invoice["id"],
    )
    world.store.insert(
        {
            "id": world.ids.new("inpay"),
            "object": "invoice_payment",
            "amount_paid": None,
            "amount_requested": invoice["amount_due"],
            "created": world.now,
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": False,
            "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        }
    )


def default_payment(world: World, invoice: Obj) -> Obj | None:
    """Return the invoice payment whose intent collects the invoice."""
    payments = world.store.where("invoice_payment", "invoice", invoice["id"])
    return next((payment for payment in payments if payment["is_default"]), None)


def mark_paid(world: World, invoice: Obj, amount_minor: int) -> None:
    """Close an open invoice that has been paid, with its events."""
    with world.updating(invoice, "invoice.updated"):
        world.store.set(
            invoice,
            amount_paid=amount_minor,
            amount_remaining=0,
            attempted=True,
            auto_advance=False,
            next_payment_attempt=None,
            status="paid",
            status_transitions={**invoice["status_transitions"], "paid_at": world.now},
        )
    world.schedule("retry", invoice, None)
    world.emit("invoice.paid", invoice)
    world.emit("invoice.payment_succeeded", invoice)


def void(world: World, invoice: Obj) -> None:
    """Void an open invoice: nobody owes it any more."""
    if invoice["status"] not in {"open", "uncollectible"}:
        raise wrong_status(invoice, "void", "open or uncollectible")
    _stop_collecting(world, invoice)
    with world.updating(invoice, "invoice.updated"):
        world.store.set(
            invoice,
            status="void",
            status_transitions={**invoice["status_transitions"], "voided_at": world.now},
        )
    world.emit("invoice.voided", invoice)


def mark_uncollectible(world: World, invoice: Obj) -> None:
    """Write an open invoice off; it can still be paid or voided."""
    if invoice["status"] != "open":
        raise wrong_status(invoice, "mark uncollectible", "open")
    transitions = {**invoice["status_transitions"], "marked_uncollectible_at": world.now}
    with world.updating(invoice, "invoice.updated"):
        world.store.set(
            invoice,
            status="uncollectible",
            auto_advance=False,
            next_payment_attempt=None,
            status_transitions=transitions,
        )
    world.schedule("retry", invoice, None)
    world.emit("invoice.marked_uncollectible", invoice)


def _stop_collecting(world: World, invoice: Obj) -> None:
    world.schedule("retry", invoice, None)
    world.store.set(invoice, auto_advance=False, next_payment_attempt=None)
    payment = default_payment(world, invoice)
    if payment is None or payment["status"] != "open":
        return
    transitions = {**payment["status_transitions"], "canceled_at": world.now}
    world.store.set(payment, status="canceled", status_transitions=transitions)
    intent = world.fetch("payment_intent", payment["payment"]["payment_intent"])
    if intent["status"] != "canceled":
        cancel_intent(world, intent, "void_invoice")


def wrong_status(invoice: Obj, verb: str, wanted: str) -> InvalidRequest:
    """Build the error for something that the invoice's status does not allow."""
    return InvalidRequest(
        f"You can only {verb} {wanted} invoices. This invoice is {invoice['status']}.",
        code="invoice_not_editable",
    )


def _blank(world: World, customer: Obj, currency: str, reason: str, period: tuple[int, int]) -> Obj:
    return fresh(
        INVOICE,
        id=world.ids.new("in"),
        billing_reason=reason,
        created=world.now,
        currency=currency,
        customer=customer["id"],
        customer_address=customer["address"],
        customer_email=customer["email"],
        customer_name=customer["name"],
        customer_phone=customer["phone"],
        customer_shipping=customer["shipping"],
        customer_tax_exempt=customer["tax_exempt"],
        period_end=period[1],
        period_start=period[0],
        test_clock=customer["test_clock"],
        webhooks_delivered_at=world.now,
    )
