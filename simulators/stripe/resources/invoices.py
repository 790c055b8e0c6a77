"""``/v1/invoices`` and ``/v1/invoice_payments``."""

from simulators.stripe.billing import collection, invoices, pending
from simulators.stripe.currencies import Currency
from simulators.stripe.errors import InvalidRequest, missing
from simulators.stripe.lists import page
from simulators.stripe.resources.common import retriever
from simulators.stripe.resources.payment_methods import own_payment_method
from simulators.stripe.routes import Call, Route
from simulators.stripe.schema import (
    CLEARABLE_ID,
    ID,
    METADATA,
    TIMESTAMP,
    Choice,
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

_METHOD = Choice("charge_automatically", "send_invoice")
_INVOICE: dict[str, Field] = {
    "auto_advance": Flag(),
    "collection_method": _METHOD,
    "days_until_due": Integer(0, 3_650),
    "default_payment_method": CLEARABLE_ID,
    "description": Text(),
    "due_date": TIMESTAMP,
    "footer": Text(),
    "metadata": METADATA,
}
_PAY = Params({"off_session": Flag(), "payment_method": ID})


def create(world: World, call: Call) -> Obj:
    """Create a draft by hand, of nothing unless pending items are to be taken up."""
    given = call.params
    if "customer" not in given:
        raise missing("customer")
    customer = world.fetch("customer", given["customer"], "customer")
    pending: list[Obj] = []
    if given.get("pending_invoice_items_behavior") == "include":
        pending = invoices.pending_items(world, customer["id"])
    currency = given.get("currency") or (pending[0]["currency"] if pending else "usd")
    invoice = invoices.new_draft(
        world,
        customer,
        reason="manual",
        currency=currency,
        charges=[],
        pending=[item for item in pending if item["currency"] == currency],
        auto_advance=given.get("auto_advance", False),
        metadata=merge_metadata({}, given.get("metadata")),
        **call.pick("collection_method", "default_payment_method", "description", "footer"),
        due_date=_due_date(world, given),
    )
    _plan(world, invoice)
    return invoice


def _due_date(world: World, given: Obj) -> int | None:
    if "due_date" in given:
        return int(given["due_date"])
    days = given.get("days_until_due")
    if given.get("collection_method") == "send_invoice" and days is None:
        raise missing("days_until_due")
    return None if days is None else world.now + days * 86_400


def _plan(world: World, invoice: Obj) -> None:
    """Let a draft that advances by itself be finalised in an hour."""
    at = world.now + world.settings.draft_s if invoice["auto_advance"] else None
    world.store.set(invoice, automatically_finalizes_at=at)
    world.schedule("finalize", invoice, at)


def update(world: World, call: Call) -> Obj:
    """Change a draft; of a finalised invoice only metadata and what moves it on."""
    invoice = world.fetch("invoice", call.id)
    loose = {"auto_advance", "default_payment_method", "expand", "metadata"}
    if invoice["status"] != "draft" and set(call.params) - loose:
        raise invoices.wrong_status(invoice, "update", "draft")
    changes = call.pick("auto_advance", "collection_method", "description", "footer")
    if "default_payment_method" in call.params:
        changes["default_payment_method"] = _own(world, invoice, call)
    if {"due_date", "days_until_due"} & call.params.keys():
        changes["due_date"] = _due_date(world, call.params)
    if "metadata" in call.params:
        changes["metadata"] = merge_metadata(invoice["metadata"], call.params["metadata"])
    with world.updating(invoice, "invoice.updated"):
        world.store.set(invoice, **changes)
        if "auto_advance" in changes and invoice["status"] == "draft":
            _plan(world, invoice)
    return invoice


def _own(world: World, invoice: Obj, call: Call) -> str | None:
    name = call.params["default_payment_method"]
    if name is None:
        return None
    customer = world.fetch("customer", invoice["customer"])
    return str(own_payment_method(world, name, customer, "default_payment_method")["id"])


def finalize(world: World, call: Call) -> Obj:
    """Finalise a draft; one that advances by itself is collected at once."""
    invoice = world.fetch("invoice", call.id)
    if "auto_advance" in call.params:
        world.store.set(invoice, auto_advance=call.params["auto_advance"])
    invoices.finalize(world, invoice)
    automatic = invoice["collection_method"] == "charge_automatically"
    if not invoice["amount_due"]:
        collection.settled(world, invoice)
    elif invoice["auto_advance"] and automatic:
        collection.collect(world, invoice, off_session=True)
    return invoice


def pay(world: World, call: Call) -> Obj:
    """Collect an invoice now; a declined card is an error, and counted."""
    invoice = world.fetch("invoice", call.id)
    if invoice["status"] == "draft":
        invoices.finalize(world, invoice)
    if invoice["status"] not in {"open", "uncollectible"}:
        sentence = "Invoice is already paid" if invoice["status"] == "paid" else None
        raise InvalidRequest(
            sentence or f"This invoice can't be paid: it is {invoice['status']}.",
            code="invoice_already_paid" if sentence else "invoice_not_editable",
        )
    payer = collection.payer_of(world, invoice)
    if name := call.params.get("payment_method"):
        customer = world.fetch("customer", invoice["customer"])
        payer = own_payment_method(world, name, customer, "payment_method")
    if payer is None and invoice["amount_due"]:
        raise collection.no_payment_method()
    off_session = call.params.get("off_session", True)
    failure = collection.collect(world, invoice, off_session=off_session, payer=payer)
    if failure is not None and payer is not None:
        intent = world.fetch("payment_intent", failure.charge["payment_intent"])
        raise failure.as_error(world, intent, payer)
    return invoice


def send(world: World, call: Call) -> Obj:
    """Send an open invoice (a draft is finalised first)."""
    invoice = world.fetch("invoice", call.id)
    if invoice["status"] == "draft":
        invoices.finalize(world, invoice)
    if invoice["status"] != "open":
        raise invoices.wrong_status(invoice, "send", "open")
    world.emit("invoice.sent", invoice)
    return invoice


def void(world: World, call: Call) -> Obj:
    """Void an invoice."""
    invoice = world.fetch("invoice", call.id)
    invoices.void(world, invoice)
    subscription = world.store.get("subscription", invoice["_subscription"] or "")
    if subscription is not None and pending.awaits(subscription, invoice):
        pending.discard(world, subscription)
    return invoice


def mark_uncollectible(world: World, call: Call) -> Obj:
    """Write an invoice off."""
    invoice = world.fetch("invoice", call.id)
    invoices.mark_uncollectible(world, invoice)
    return invoice


def delete(world: World, call: Call) -> Obj:
    """Delete a draft that was made by hand; its items are pending again."""
    invoice = world.fetch("invoice", call.id)
    if invoice["status"] != "draft" or invoice["_subscription"]:
        raise InvalidRequest("You can only delete draft invoices that are one-off.")
    for line in world.store.where("line_item", "invoice", invoice["id"]):
        world.store.delete(line)
    for item in world.store.where("invoiceitem", "invoice", invoice["id"]):
        world.store.set(item, invoice=None)
    world.schedule("finalize", invoice, None)
    return world.remove(invoice, "invoice.deleted")


def list_all(world: World, call: Call) -> Obj:
    """List invoices."""
    if "subscription" in call.params:
        found = world.store.where("invoice", "_subscription", call.params["subscription"])
    else:
        found = world.store.listed("invoice", call.params)
    found = [invoice for invoice in found if not invoice.get("deleted")]
    return page(call, found, equal=("collection_method", "customer", "status"))


def list_lines(world: World, call: Call) -> Obj:
    """List an invoice's lines, in their own order."""
    world.fetch("invoice", call.id)
    return page(call, world.store.where("line_item", "invoice", call.id)[::-1])


def list_payments(world: World, call: Call) -> Obj:
    """List what ties payments to invoices."""
    found = world.store.listed("invoice_payment", call.params)
    for key, value in call.params.get("payment", {}).items():
        if key != "type":
            found = [entry for entry in found if entry["payment"].get(key) == value]
    return page(call, found, equal=("invoice", "status"))


_STATUSES = Choice("draft", "open", "paid", "uncollectible", "void")
_PAYMENT = Hash({"payment_intent": ID, "type": Choice("payment_intent")}, frozenset({"type"}))
_CREATE = Params(
    {
        **_INVOICE,
        "currency": Currency(),
        "customer": ID,
        "pending_invoice_items_behavior": Choice("exclude", "include"),
    }
)
_LIST = listing(
    collection_method=_METHOD, created=TimeRange(), customer=ID, status=_STATUSES, subscription=ID
)

ROUTES = [
    Route("POST", "/v1/invoices", create, _CREATE),
    Route("GET", "/v1/invoices", list_all, _LIST),
    Route("GET", "/v1/invoices/{id}", retriever("invoice")),
    Route("POST", "/v1/invoices/{id}", update, Params(_INVOICE)),
    Route("DELETE", "/v1/invoices/{id}", delete),
    Route("GET", "/v1/invoices/{id}/lines", list_lines, listing()),
    Route("POST", "/v1/invoices/{id}/finalize", finalize, Params({"auto_advance": Flag()})),
    Route("POST", "/v1/invoices/{id}/pay", pay, _PAY),
    Route("POST", "/v1/invoices/{id}/send", send),
    Route("POST", "/v1/invoices/{id}/void", void),
    Route("POST", "/v1/invoices/{id}/mark_uncollectible", mark_uncollectible),
    Route(
        "GET",
        "/v1/invoice_payments",
        list_payments,
        listing(
            created=TimeRange(),
            invoice=ID,
            payment=_PAYMENT,
            status=Choice("canceled", "open", "paid"),
        ),
    ),
    Route("GET", "/v1/invoice_payments/{id}", retriever("invoice_payment")),
]
