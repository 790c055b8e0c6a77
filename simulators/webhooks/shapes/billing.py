"""Builds customers, subscriptions and invoices; each takes the rest of its facts from the scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from simulators.webhooks.shapes.billing_fields import (
    CUSTOMER,
    INVOICE,
    LINE_ITEM,
    PLAN,
    PRICE,
    SUBSCRIPTION,
    SUBSCRIPTION_ITEM,
)
from simulators.webhooks.shapes.scene import Scene, fresh

if TYPE_CHECKING:
    from simulators.webhooks.events import Obj

InvoiceStatus = Literal["draft", "open", "paid"]


def customer(scene: Scene, **fields: object) -> Obj:
    """Build the customer; the address is one that can never receive mail (RFC 2606)."""
    return fresh(
        CUSTOMER,
        **{
            "id": scene.customer,
            "created": scene.began_at,
            "email": f"{scene.customer.lower()}@test.example.com",
            "invoice_prefix": _invoice_prefix(scene),
            "name": "Ada Lovelace",
            **fields,
        },
    )


def _invoice_prefix(scene: Scene) -> str:
    """Give what begins the customer's invoice numbers: it follows from the customer's id."""
    return "".join(filter(str.isalnum, scene.customer))[-8:].upper()


def _plan_name(plan: str) -> str:
    return plan.removeprefix("price_").removeprefix("plan_")


def product_of(plan: str) -> str:
    """Return the id of the product that a plan sells, which follows from the plan's."""
    return f"prod_{_plan_name(plan)}"


def price(scene: Scene) -> Obj:
    """Build the monthly price that `scene.plan` names."""
    return fresh(
        PRICE,
        id=scene.plan,
        created=scene.began_at,
        currency=scene.currency,
        lookup_key=_plan_name(scene.plan),
        nickname=_plan_name(scene.plan),
        product=product_of(scene.plan),
        unit_amount=scene.unit_minor,
        unit_amount_decimal=str(scene.unit_minor),
    )


def _legacy_plan(scene: Scene) -> Obj:
    """Build the plan that stands beside a price, under the same id."""
    return fresh(
        PLAN,
        id=scene.plan,
        amount=scene.unit_minor,
        amount_decimal=str(scene.unit_minor),
        created=scene.began_at,
        currency=scene.currency,
        nickname=_plan_name(scene.plan),
        product=product_of(scene.plan),
    )


def subscription(scene: Scene, **fields: object) -> Obj:
    """Build the subscription, active unless `fields` say otherwise, with its one item."""
    return fresh(
        SUBSCRIPTION,
        **{
            "id": scene.subscription,
            "billing_cycle_anchor": scene.began_at,
            "created": scene.began_at,
            "currency": scene.currency,
            "customer": scene.customer,
            "items": {
                "object": "list",
                "data": [_item(scene)],
                "has_more": False,
                "total_count": 1,
                "url": f"/v1/subscription_items?subscription={scene.subscription}",
            },
            "latest_invoice": scene.id("in"),
            "start_date": scene.began_at,
            "status": "active",
            **fields,
        },
    )


def _item(scene: Scene) -> Obj:
    start, end = scene.period()
    return fresh(
        SUBSCRIPTION_ITEM,
        id=scene.id("si"),
        created=scene.began_at,
        current_period_end=end,
        current_period_start=start,
        plan=_legacy_plan(scene),
        price=price(scene),
        quantity=scene.quantity,
        subscription=scene.subscription,
    )


def cancellation(reason: str | None) -> Obj:
    """Build the details of why a subscription ends."""
    return {"comment": None, "feedback": None, "reason": reason}


def invoice(scene: Scene, status: InvoiceStatus, *, reason: str, **fields: object) -> Obj:
    """Build the invoice for the month that runs at `scene.now`.

    `reason` is the billing reason: a renewal's invoice looks back on the month before, the first
    one of a subscription on none.
    """
    amount = scene.amount_minor
    paid = amount if status == "paid" else 0
    begin = scene.period()[0]
    looks_back_to = scene.period(1)[0] if reason == "subscription_cycle" else begin
    return fresh(
        INVOICE,
        **{
            "id": scene.id("in"),
            "amount_due": amount,
            "amount_paid": paid,
            "amount_remaining": amount - paid,
            "attempt_count": 1 if paid else 0,
            "attempted": status == "paid",
            "auto_advance": status != "paid",
            "billing_reason": reason,
            "created": scene.now,
            "currency": scene.currency,
            "customer": scene.customer,
            **_customer_facts(scene),
            "lines": _lines(scene),
            "parent": {
                "quote_details": None,
                "subscription_details": {"metadata": {}, "subscription": scene.subscription},
                "type": "subscription_details",
            },
            "period_end": begin,
            "period_start": looks_back_to,
            "status": status,
            **dict.fromkeys(
                ("subtotal", "subtotal_excluding_tax", "total", "total_excluding_tax"), amount
            ),
            "webhooks_delivered_at": scene.now,
            **(_finalised(scene, status, reason) if status != "draft" else {}),
            **fields,
        },
    )


def _customer_facts(scene: Scene) -> Obj:
    """Give what an invoice says of its customer."""
    facts = ("address", "email", "name", "phone", "shipping", "tax_exempt")
    buyer = customer(scene)
    return {f"customer_{fact}": buyer[fact] for fact in facts}


def _finalised(scene: Scene, status: InvoiceStatus, reason: str) -> Obj:
    """Give what an invoice has from the moment on that it is no draft any more."""
    sequence = 1 if reason == "subscription_create" else 2
    url = f"https://invoice.stripe.com/i/acct_test/{scene.id('in')}"
    return {
        "effective_at": scene.now,
        "ending_balance": 0,
        "hosted_invoice_url": url,
        "invoice_pdf": f"{url}/pdf",
        "number": f"{_invoice_prefix(scene)}-{sequence:04d}",
        "status_transitions": {
            "finalized_at": scene.now,
            "marked_uncollectible_at": None,
            "paid_at": scene.now if status == "paid" else None,
            "voided_at": None,
        },
    }


def _lines(scene: Scene) -> Obj:
    start, end = scene.period()
    line = fresh(
        LINE_ITEM,
        id=scene.id("il"),
        amount=scene.amount_minor,
        currency=scene.currency,
        description=f"{scene.quantity} \N{MULTIPLICATION SIGN} {_plan_name(scene.plan)}",
        invoice=scene.id("in"),
        parent={
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": scene.subscription,
                "subscription_item": scene.id("si"),
            },
            "type": "subscription_item_details",
        },
        period={"start": start, "end": end},
        pricing={
            "price_details": {"price": scene.plan, "product": product_of(scene.plan)},
            "type": "price_details",
            "unit_amount_decimal": str(scene.unit_minor),
        },
        quantity=scene.quantity,
        quantity_decimal=str(scene.quantity),
        subscription=scene.subscription,
        subtotal=scene.amount_minor,
    )
    return {
        "object": "list",
        "data": [line],
        "has_more": False,
        "total_count": 1,
        "url": f"/v1/invoices/{scene.id('in')}/lines",
    }


def invoice_payment(scene: Scene) -> Obj:
    """Build what ties a paid invoice to the payment intent that paid it."""
    return {
        "id": scene.id("inpay"),
        "object": "invoice_payment",
        "amount_paid": scene.amount_minor,
        "amount_requested": scene.amount_minor,
        "created": scene.now,
        "currency": scene.currency,
        "invoice": scene.id("in"),
        "is_default": True,
        "livemode": False,
        "payment": {"payment_intent": scene.id("pi"), "type": "payment_intent"},
        "status": "paid",
        "status_transitions": {"canceled_at": None, "paid_at": scene.now},
    }
