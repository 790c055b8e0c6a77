"""``/v1/customers``."""

from typing import Any

from simulators.stripe.billing import discounts, lifecycle, test_clocks
from simulators.stripe.errors import no_such
from simulators.stripe.lists import page
from simulators.stripe.resources.common import (
    ADDRESS,
    SHIPPING,
    full_address,
    full_shipping,
)
from simulators.stripe.resources.payment_methods import attach_to, own_payment_method
from simulators.stripe.resources.sources import add_source
from simulators.stripe.routes import Call, Route
from simulators.stripe.schema import (
    CLEARABLE_ID,
    ID,
    METADATA,
    Array,
    Choice,
    Field,
    Hash,
    Integer,
    Params,
    Text,
    TimeRange,
    listing,
    merge_metadata,
)
from simulators.stripe.templates import CUSTOMER, fresh
from simulators.stripe.world import TEST_CLOCK, World
from simulators.webhooks.events import Obj

_SETTINGS = Hash({"default_payment_method": CLEARABLE_ID, "footer": Text()})

_FIELDS: dict[str, Field] = {
    "address": ADDRESS,
    "balance": Integer(-(2**53)),
    "coupon": CLEARABLE_ID,
    "description": Text(),
    "email": Text(512),
    "invoice_prefix": Text(12),
    "invoice_settings": _SETTINGS,
    "metadata": METADATA,
    "name": Text(256),
    "next_invoice_sequence": Integer(1),
    "phone": Text(20),
    "preferred_locales": Array(Text(clearable=False)),
    "shipping": SHIPPING,
    "source": ID,
    "tax_exempt": Choice("exempt", "none", "reverse", clearable=True),
}
_CREATE = Params({**_FIELDS, "payment_method": ID, "test_clock": ID})
_LIST = listing(created=TimeRange(), email=Text(512), test_clock=ID)
_PLAIN = (
    "balance",
    "description",
    "email",
    "invoice_prefix",
    "name",
    "next_invoice_sequence",
    "phone",
    "preferred_locales",
    "tax_exempt",
)


def create(world: World, call: Call) -> Obj:
    """Create a customer; a payment method that is given is attached."""
    if clock_id := call.params.get("test_clock"):
        test_clocks.check_room(world, world.fetch(TEST_CLOCK, clock_id, "test_clock"))
    customer = world.store.insert(
        fresh(
            CUSTOMER,
            id=world.ids.new("cus", 14),
            created=world.now,
            invoice_prefix=world.ids.upper(8),
            test_clock=clock_id,
        )
    )
    settings = call.params.get("invoice_settings", {})
    wanted = settings.get("default_payment_method")
    world.store.set(customer, **_changes(world, customer, call, checked=False))
    world.emit("customer.created", customer)
    if coupon := call.params.get("coupon"):
        with world.updating(customer, "customer.updated"):
            discounts.give_customer(world, customer, coupon)
    if source := call.params.get("source"):
        add_source(world, customer, source, {})
    if given := call.params.get("payment_method"):
        attached = attach_to(world, given, customer)
        if wanted == given:
            wanted = attached["id"]
    if wanted:
        chosen = own_payment_method(
            world, wanted, customer, "invoice_settings[default_payment_method]"
        )
        _set_default(world, customer, chosen["id"])
    return customer


def update(world: World, call: Call) -> Obj:
    """Change what was given."""
    customer = world.fetch("customer", call.id)
    with world.updating(customer, "customer.updated"):
        world.store.set(customer, **_changes(world, customer, call, checked=True))
        if "coupon" in call.params:
            discounts.give_customer(world, customer, call.params["coupon"])
    if source := call.params.get("source"):
        added = add_source(world, customer, source, {})
        with world.updating(customer, "customer.updated"):
            world.store.set(customer, default_source=added["id"])
    return customer


def _changes(world: World, customer: Obj, call: Call, *, checked: bool) -> dict[str, Any]:
    """Return the fields to set. Unchecked: the default payment method is left for later."""
    changes = call.pick(*_PLAIN)
    if changes.get("tax_exempt", "") is None:
        changes["tax_exempt"] = "none"
    if "address" in call.params:
        changes["address"] = full_address(call.params["address"])
    if "shipping" in call.params:
        changes["shipping"] = full_shipping(call.params["shipping"])
    if "metadata" in call.params:
        changes["metadata"] = merge_metadata(customer["metadata"], call.params["metadata"])
    given = dict(call.params.get("invoice_settings", {}))
    wanted = given.pop("default_payment_method", None)
    if checked and wanted:
        param = "invoice_settings[default_payment_method]"
        given["default_payment_method"] = own_payment_method(world, wanted, customer, param)["id"]
    elif checked and "default_payment_method" in call.params.get("invoice_settings", {}):
        given["default_payment_method"] = None
    if given:
        changes["invoice_settings"] = {**customer["invoice_settings"], **given}
    return changes


def _set_default(world: World, customer: Obj, payment_method: str) -> None:
    settings = {**customer["invoice_settings"], "default_payment_method": payment_method}
    with world.updating(customer, "customer.updated"):
        world.store.set(customer, invoice_settings=settings)


def retrieve(world: World, call: Call) -> Obj:
    """Return a customer, or the stub of a deleted one."""
    customer = world.store.get("customer", call.id)
    if customer is None:
        raise no_such("customer", call.id)
    return customer


def delete(world: World, call: Call) -> Obj:
    """Delete a customer: subscriptions end at once, payment methods are let go."""
    return lifecycle.remove_customer(world, world.fetch("customer", call.id))


def list_all(world: World, call: Call) -> Obj:
    """List customers that are not deleted, of a test clock or of none."""
    living = [obj for obj in world.store.all("customer") if not obj.get("deleted")]
    clock = call.params.get("test_clock")
    living = [customer for customer in living if customer["test_clock"] == clock]
    return page(call, living, equal=("email",))


ROUTES = [
    Route("POST", "/v1/customers", create, _CREATE),
    Route("GET", "/v1/customers", list_all, _LIST),
    Route("GET", "/v1/customers/{id}", retrieve),
    Route("POST", "/v1/customers/{id}", update, Params(_FIELDS)),
    Route("DELETE", "/v1/customers/{id}", delete),
]
