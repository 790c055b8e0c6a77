"""What an invoice charges for: lines of subscription items, and pending invoice items."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from simulators.stripe.currencies import format_money
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

TIMES = "\N{MULTIPLICATION SIGN}"
"""Stands between quantity and product in Stripe's descriptions."""


@dataclass(frozen=True)
class Charge:
    """Something to be charged for; a proration is of one subscription item."""

    amount: int
    currency: str
    description: str | None
    period: tuple[int, int]
    quantity: int
    price: Obj | None = None
    subscription: str | None = None
    subscription_item: str | None = None
    proration: bool = False
    discountable: bool = True
    metadata: dict[str, str] | None = None


def price_of(world: World, item: Obj) -> Obj:
    """Return the price of a subscription item."""
    price = world.store.get("price", item["_price"])
    assert price is not None  # noqa: S101 - prices are hidden, never removed
    return price


def amount_of(world: World, item: Obj) -> int:
    """Return what a subscription item costs for a whole period."""
    return int(price_of(world, item)["unit_amount"] * item["quantity"])


def product_name(world: World, price: Obj) -> str:
    """Return the name of a price's product, also of a deleted one."""
    product = world.store.get("product", price["product"])
    return str(product["name"]) if product and "name" in product else "deleted product"


def describe_item(world: World, item: Obj) -> str:
    """Return a line's text: quantity, product and price."""
    price = price_of(world, item)
    interval, count = price["recurring"]["interval"], price["recurring"]["interval_count"]
    every = interval if count == 1 else f"every {count} {interval}s"
    cost = format_money(price["unit_amount"], price["currency"])
    return f"{item['quantity']} {TIMES} {product_name(world, price)} (at {cost} / {every})"


def day(moment: int) -> str:
    """Return a date as a proration's text has it: ``05 Mar 2026``."""
    return datetime.fromtimestamp(moment, UTC).strftime("%d %b %Y")


def item_charge(world: World, subscription: Obj, item: Obj, *, trial: bool = False) -> Charge:
    """Return the charge for an item's current period; a trial costs nothing."""
    price = price_of(world, item)
    trial_text = f"Trial period for {product_name(world, price)}"
    return Charge(
        amount=0 if trial else amount_of(world, item),
        currency=subscription["currency"],
        description=trial_text if trial else describe_item(world, item),
        period=(item["current_period_start"], item["current_period_end"]),
        quantity=item["quantity"],
        price=price,
        subscription=subscription["id"],
        subscription_item=item["id"],
        metadata=dict(subscription["metadata"]),
    )


def add_invoice_item(world: World, customer: str, charge: Charge) -> Obj:
    """Add a pending invoice item, with its event; the next invoice will take it up."""
    item = world.store.insert(
        {
            "id": world.ids.new("ii"),
            "object": "invoiceitem",
            "amount": charge.amount,
            "currency": charge.currency,
            "customer": customer,
            "customer_account": None,
            "date": world.now,
            "description": charge.description,
            "discountable": charge.discountable and not charge.proration,
            "discounts": [],
            "invoice": None,
            "livemode": False,
            "metadata": charge.metadata or {},
            "net_amount": charge.amount,
            "parent": _item_parent(charge),
            "period": {"start": charge.period[0], "end": charge.period[1]},
            "pricing": _pricing(charge),
            "proration": charge.proration,
            "proration_details": (
                {"credited_items": None, "discount_amounts": []} if charge.proration else None
            ),
            "quantity": charge.quantity,
            "quantity_decimal": str(charge.quantity),
            "tax_rates": [],
            "test_clock": world.fetch("customer", customer)["test_clock"],
        }
    )
    world.emit("invoiceitem.created", item)
    return item


def _item_parent(charge: Charge) -> Obj | None:
    if charge.subscription is None:
        return None
    return {
        "subscription_details": {
            "subscription": charge.subscription,
            "subscription_item": charge.subscription_item,
        },
        "type": "subscription_details",
    }


def _pricing(charge: Charge) -> Obj:
    """Return the pricing; without a price it is the amount for one."""
    price = charge.price
    unit = charge.amount if price is None else price["unit_amount"]
    details = price and {"price": price["id"], "product": price["product"]}
    return {
        "price_details": details,
        "type": "price_details",
        "unit_amount_decimal": str(unit),
    }


def add_line(world: World, invoice: Obj, charge: Charge) -> Obj:
    """Add a subscription item's line to a draft."""
    parent = {
        "invoice_item_details": None,
        "subscription_item_details": {
            "invoice_item": None,
            "proration": charge.proration,
            "proration_details": {"credited_items": None},
            "subscription": charge.subscription,
            "subscription_item": charge.subscription_item,
        },
        "type": "subscription_item_details",
    }
    return _insert_line(
        world,
        invoice,
        amount=charge.amount,
        currency=charge.currency,
        description=charge.description,
        discountable=charge.discountable and not charge.proration,
        metadata=charge.metadata or {},
        parent=parent,
        period={"start": charge.period[0], "end": charge.period[1]},
        pricing=_pricing(charge),
        quantity=charge.quantity,
        subscription=charge.subscription,
    )


def take_up(world: World, invoice: Obj, item: Obj) -> Obj:
    """Move a pending invoice item onto a draft."""
    world.store.set(item, invoice=invoice["id"])
    owner = (item["parent"] or {}).get("subscription_details") or {}
    details = {
        "invoice_item": item["id"],
        "proration": item["proration"],
        "proration_details": {"credited_items": None},
        "subscription": owner.get("subscription"),
    }
    of_item = owner.get("subscription_item")
    parent = {
        "invoice_item_details": None if of_item else details,
        "subscription_item_details": {**details, "subscription_item": of_item} if of_item else None,
        "type": "subscription_item_details" if of_item else "invoice_item_details",
    }
    return _insert_line(
        world, invoice, parent=parent, subscription=owner.get("subscription"), **copied(item)
    )


_COPIED = (
    "amount",
    "currency",
    "description",
    "discountable",
    "metadata",
    "period",
    "pricing",
    "quantity",
    "quantity_decimal",
)


def copied(item: Obj) -> Obj:
    """Return what a line has of its invoice item."""
    return {**{field: item[field] for field in _COPIED}, "subtotal": item["amount"]}


def item_of(line: Obj) -> str | None:
    """Return the id of the invoice item that a line came of, if it did."""
    parent = line["parent"]
    found: str | None = parent[parent["type"]]["invoice_item"]
    return found


def _insert_line(world: World, invoice: Obj, **given: Any) -> Obj:
    return world.store.insert(
        {
            "id": world.ids.new("il"),
            "object": "line_item",
            "discount_amounts": [],
            "discounts": [],
            "invoice": invoice["id"],
            "livemode": False,
            "pretax_credit_amounts": [],
            "quantity_decimal": str(given["quantity"]),
            "subtotal": given["amount"],
            "taxes": [],
            **given,
        }
    )
