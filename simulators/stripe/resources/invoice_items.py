"""``/v1/invoiceitems``."""

from collections.abc import Iterator
from contextlib import contextmanager

from simulators.stripe.billing import invoices, lines
from simulators.stripe.billing.lines import Charge, add_invoice_item, take_up
from simulators.stripe.currencies import Currency
from simulators.stripe.errors import InvalidRequest, missing
from simulators.stripe.lists import page
from simulators.stripe.resources.common import retriever
from simulators.stripe.routes import Call, Route
from simulators.stripe.schema import (
    ID,
    METADATA,
    TIMESTAMP,
    Field,
    Flag,
    Hash,
    Integer,
    Params,
    Text,
    TimeRange,
    listing,
    merge_metadata,
)
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_PERIOD = Hash({"end": TIMESTAMP, "start": TIMESTAMP}, frozenset({"end", "start"}))
ITEM: dict[str, Field] = {
    "amount": Integer(-99_999_999, 99_999_999),
    "description": Text(),
    "discountable": Flag(),
    "metadata": METADATA,
    "period": _PERIOD,
    "quantity": Integer(),
}
_CREATE = Params(
    {
        **ITEM,
        "currency": Currency(),
        "customer": ID,
        "invoice": ID,
        "pricing": Hash({"price": ID}),
        "subscription": ID,
    },
    ("customer",),
)


def create(world: World, call: Call) -> Obj:
    """Add a pending invoice item, or an item of a draft."""
    given = call.params
    customer = world.fetch("customer", given["customer"], "customer")
    if "subscription" in given:
        world.fetch("subscription", given["subscription"], "subscription")
    item = add_invoice_item(world, customer["id"], charge_of(world, given))
    if "invoice" in given:
        invoice = world.fetch("invoice", given["invoice"], "invoice")
        if invoice["status"] != "draft" or invoice["customer"] != customer["id"]:
            raise InvalidRequest("The invoice is not a draft of this customer.", param="invoice")
        if invoice["currency"] != item["currency"]:
            raise InvalidRequest("The currency is not the invoice's.", param="currency")
        with world.updating(invoice, "invoice.updated"):
            take_up(world, invoice, item)
            invoices.recompute(world, invoice)
    return item


def charge_of(world: World, given: Obj) -> Charge:
    """Return what an item as described would charge."""
    period = given.get("period") or {"start": world.now, "end": world.now}
    price = None
    quantity = given.get("quantity", 1)
    if price_id := given.get("pricing", {}).get("price"):
        price = world.fetch("price", price_id, "pricing[price]")
        amount, currency = price["unit_amount"] * quantity, price["currency"]
    elif "amount" in given and "currency" in given:
        amount, currency = given["amount"], given["currency"]
    else:
        raise missing("currency" if "amount" in given else "amount")
    return Charge(
        amount=amount,
        currency=currency,
        description=given.get("description"),
        period=(period["start"], period["end"]),
        quantity=quantity,
        price=price,
        subscription=given.get("subscription"),
        discountable=given.get("discountable", True),
        metadata=merge_metadata({}, given.get("metadata")),
    )


def update(world: World, call: Call) -> Obj:
    """Change an item that is pending or on a draft."""
    item = _changeable(world, call)
    changes = call.pick("amount", "description", "discountable", "period")
    if "quantity" in call.params:
        quantity = call.params["quantity"]
        unit = int(item["pricing"]["unit_amount_decimal"])
        changes |= {"quantity": quantity, "quantity_decimal": str(quantity)}
        changes.setdefault("amount", unit * quantity)
    elif "amount" in changes:
        changes["pricing"] = {**item["pricing"], "unit_amount_decimal": str(changes["amount"])}
    if "amount" in changes:
        changes["net_amount"] = changes["amount"]
    if "metadata" in call.params:
        changes["metadata"] = merge_metadata(item["metadata"], call.params["metadata"])
    world.store.set(item, **changes)
    with _on_draft(world, item) as line:
        if line is not None:
            world.store.set(line, **lines.copied(item))
    return item


def delete(world: World, call: Call) -> Obj:
    """Delete an item that is pending or on a draft."""
    item = _changeable(world, call)
    with _on_draft(world, item) as line:
        if line is not None:
            world.store.delete(line)
    return world.remove(item, "invoiceitem.deleted")


def _changeable(world: World, call: Call) -> Obj:
    item = world.fetch("invoiceitem", call.id)
    invoice = world.store.get("invoice", item["invoice"] or "")
    if invoice is not None and invoice["status"] != "draft":
        raise InvalidRequest(
            "You cannot change an invoice item that is on a finalized invoice.",
            code="invoice_not_editable",
        )
    return item


@contextmanager
def _on_draft(world: World, item: Obj) -> Iterator[Obj | None]:
    """Change the line that an item has on a draft, and add the draft up anew."""
    invoice = world.store.get("invoice", item["invoice"] or "")
    if invoice is None:
        yield None
        return
    on_it = world.store.where("line_item", "invoice", invoice["id"])
    with world.updating(invoice, "invoice.updated"):
        yield next(line for line in on_it if lines.item_of(line) == item["id"])
        invoices.recompute(world, invoice)


def list_all(world: World, call: Call) -> Obj:
    """List invoice items; ``pending`` for those on no invoice."""
    found = [
        item for item in world.store.listed("invoiceitem", call.params) if not item.get("deleted")
    ]
    if "pending" in call.params:
        wanted = call.params["pending"]
        found = [item for item in found if (item["invoice"] is None) == wanted]
    return page(call, found, equal=("customer", "invoice"))


ROUTES = [
    Route("POST", "/v1/invoiceitems", create, _CREATE),
    Route(
        "GET",
        "/v1/invoiceitems",
        list_all,
        listing(created=TimeRange(), customer=ID, invoice=ID, pending=Flag()),
    ),
    Route("GET", "/v1/invoiceitems/{id}", retriever("invoiceitem")),
    Route("POST", "/v1/invoiceitems/{id}", update, Params(ITEM)),
    Route("DELETE", "/v1/invoiceitems/{id}", delete),
]
