"""API versions: the newest shape is the one that is kept, older ones are made at the edge.

`edition` gives for a version how objects are shown in it: the relations that can be expanded
and a transformation of each object. What differs between ``2024-06-20``, ``2025-03-31.basil``
and the newest is taken from the annotations of the versions of Stripe's own Python package, see
docs/adr/0018. From basil on only discounts changed in a breaking way, with ``2025-09-30.clover``
(https://docs.stripe.com/changelog/clover/2025-09-30/add-discount-source-property).
"""

from collections.abc import Callable, Mapping
from typing import Literal

from simulators.stripe.rendering import RELATIONS, Edition, Ref, Relation, View, plan_of, render
from simulators.stripe.store import Store
from simulators.webhooks.events import Obj

NEWEST = "2026-10-28.endive"
OLDEST = "2024-06-20"

_LEGACY = (
    OLDEST,
    "2024-09-30.acacia",
    "2024-10-28.acacia",
    "2024-11-20.acacia",
    "2024-12-18.acacia",
    "2025-01-27.acacia",
    "2025-02-24.acacia",
)
_BASIL = (
    "2025-03-31.basil",
    "2025-04-30.basil",
    "2025-05-28.basil",
    "2025-06-30.basil",
    "2025-07-30.basil",
    "2025-08-27.basil",
)
_CURRENT = (
    "2025-09-30.clover",
    "2025-10-29.clover",
    "2025-11-17.clover",
    "2025-12-15.clover",
    "2026-01-28.clover",
    "2026-02-25.clover",
    "2026-03-25.dahlia",
    "2026-04-22.dahlia",
    "2026-05-27.dahlia",
    "2026-06-24.dahlia",
    "2026-07-29.dahlia",
    "2026-08-26.dahlia",
    "2026-09-30.endive",
    NEWEST,
)
SUPPORTED = frozenset(_LEGACY + _BASIL + _CURRENT)


def refusal(version: str) -> str:
    """Return the sentence that refuses a version; it says which ones there are."""
    return (
        f"Invalid Stripe API version: {version[:40]}. The simulator has {OLDEST} and every later "
        f"one up to {NEWEST}."
    )


Shape = Literal["legacy", "basil", "current"]
REPRESENTATIVE: dict[Shape, str] = {"legacy": OLDEST, "basil": _BASIL[0], "current": NEWEST}
"""A version of each shape."""


def shape_of(version: str) -> Shape:
    """Tell which of the shapes a supported version has."""
    if version in _LEGACY:
        return "legacy"
    return "basil" if version in _BASIL else "current"


def edition(version: str) -> Edition:
    """Return how a supported version shows objects."""
    return _EDITIONS[shape_of(version)]


_NEW_FIELDS: dict[str, tuple[str, ...]] = {
    "balance_transaction": ("balance_type",),
    "customer": ("business_name", "customer_account", "individual_name"),
    "discount": ("customer_account", "source"),
    "dispute": ("enhanced_eligibility_types",),
    "invoice": (
        "amount_overpaid",
        "amount_paid_off_stripe",
        "confirmation_secret",
        "customer_account",
        "parent",
        "payments",
        "status_details",
        "total_pretax_credit_amounts",
        "total_taxes",
    ),
    "invoiceitem": (
        "customer_account",
        "frozen_fields",
        "invoicing_rules",
        "net_amount",
        "parent",
        "pricing",
        "proration_details",
        "quantity_decimal",
    ),
    "line_item": (
        "parent",
        "pretax_credit_amounts",
        "pricing",
        "quantity_decimal",
        "subtotal",
        "taxes",
    ),
    "payment_intent": (
        "customer_account",
        "excluded_payment_method_types",
        "hooks",
        "managed_payments",
        "payment_details",
    ),
    "payment_method": ("customer_account",),
    "product": ("tax_details",),
    "refund": ("customer", "customer_account", "payment_method", "pending_reason"),
    "setup_intent": ("customer_account", "excluded_payment_method_types", "managed_payments"),
    "subscription": (
        "billing_mode",
        "billing_schedules",
        "customer_account",
        "managed_payments",
        "presentment_details",
        "status_details",
    ),
    "subscription_item": ("billed_until", "current_period_end", "current_period_start"),
}
"""Top-level fields that came after the oldest version."""


def _old_discount(view: View, obj: Obj, _shown: Obj) -> Obj:
    coupon = view.store.get("coupon", obj["source"]["coupon"])
    return {"coupon": render(view, coupon) if coupon else None}


def _old_customer(view: View, obj: Obj, _shown: Obj) -> Obj:
    """Show anew the discount that a customer carries whole."""
    carried = (obj["discount"] or {}).get("id")
    discount = view.store.get("discount", carried) if carried else None
    return {"discount": render(view, discount) if discount else None}


def _old_subscription(view: View, obj: Obj, _shown: Obj) -> Obj:
    items = view.store.where("subscription_item", "subscription", obj["id"])
    ends = [item["current_period_end"] for item in items]
    starts = [item["current_period_start"] for item in items]
    return {
        "current_period_end": min(ends, default=obj["created"]),
        "current_period_start": max(starts, default=obj["created"]),
        "discount": _first_discount(view, obj),
        "pending_update": _old_update(view, obj),
    }


def _old_update(view: View, obj: Obj) -> Obj | None:
    """Show the items of an update that waits as older ones."""
    update: Obj | None = obj["pending_update"]
    if update is None:
        return None
    items = [render(view, item) for item in obj["_pending"]["after"]["items"]]
    return {**update, "subscription_items": items}


def _first_discount(view: View, obj: Obj) -> Obj | None:
    """Return, whole, the discount that stood alone before there could be several."""
    first = next(iter(obj.get("discounts") or []), None)
    stored = view.store.get("discount", first) if isinstance(first, str) else None
    return render(view, stored) if stored else None


def _default_intent(store: Store, invoice_id: str) -> Obj | None:
    """Return the intent that collects an invoice."""
    for payment in store.where("invoice_payment", "invoice", invoice_id):
        if payment["is_default"] and payment["payment"].get("payment_intent"):
            return store.get("payment_intent", payment["payment"]["payment_intent"])
    return None


def _old_invoice(view: View, obj: Obj, shown: Obj) -> Obj:
    intent = _default_intent(view.store, obj["id"]) or {}
    details = (shown.get("parent") or {}).get("subscription_details") or {}
    subscription = details.get("subscription")
    return {
        "application_fee_amount": None,
        "charge": intent.get("latest_charge"),
        "discount": _first_discount(view, obj),
        "paid": shown["status"] == "paid",
        "paid_out_of_band": bool(shown.get("amount_paid_off_stripe")),
        "payment_intent": intent.get("id"),
        "quote": None,
        "subscription": subscription,
        "subscription_details": {"metadata": details.get("metadata") if subscription else None},
        "tax": None,
        "total_tax_amounts": [],
        "transfer_data": None,
    }


def _priced(view: View, shown: Obj) -> Obj:
    """Return ``price`` and ``plan`` of a line or an item, whole as they used to be."""
    details = (shown.get("pricing") or {}).get("price_details") or {}
    stored = view.store.get("price", details.get("price") or "")
    if stored is None:
        return {"plan": None, "price": None}
    price, plan = render(view, stored), plan_of(render(view, stored))
    view.edition.reshape(view, stored, plan)
    return {"plan": plan if price["recurring"] else None, "price": price}


def _old_line(view: View, _obj: Obj, shown: Obj) -> Obj:
    parent = shown.get("parent") or {}
    of_item = parent.get("subscription_item_details") or {}
    of_invoice_item = parent.get("invoice_item_details") or {}
    details = of_item or of_invoice_item
    pending = details.get("invoice_item")
    return {
        **_priced(view, shown),
        "amount_excluding_tax": shown["amount"],
        "invoice_item": pending,
        "proration": details.get("proration", False),
        "proration_details": details.get("proration_details") or {"credited_items": None},
        "subscription_item": of_item.get("subscription_item"),
        "tax_amounts": [],
        "tax_rates": [],
        "type": "invoiceitem" if pending or not of_item else "subscription",
        "unit_amount_excluding_tax": (shown.get("pricing") or {}).get("unit_amount_decimal"),
    }


def _old_invoice_item(view: View, _obj: Obj, shown: Obj) -> Obj:
    owner = (shown.get("parent") or {}).get("subscription_details") or {}
    unit = (shown.get("pricing") or {}).get("unit_amount_decimal")
    return {
        **_priced(view, shown),
        "subscription": owner.get("subscription"),
        **({"subscription_item": item} if (item := owner.get("subscription_item")) else {}),
        "unit_amount": int(unit) if unit and unit.lstrip("-").isdigit() else None,
        "unit_amount_decimal": unit,
    }


def _old_recurring(_view: View, _obj: Obj, shown: Obj) -> Obj:
    recurring = shown["recurring"]
    return {"recurring": {**recurring, "aggregate_usage": None} if recurring else None}


def _of_invoice(_view: View, obj: Obj, _shown: Obj) -> Obj:
    return {"invoice": obj.get("_invoice")}


Older = Callable[[View, Obj, Obj], Obj]
"""Gets view, kept and shown object; returns the fields that an older version has in place."""

_ADD: dict[str, Older] = {
    "charge": _of_invoice,
    "customer": _old_customer,
    "discount": _old_discount,
    "invoice": _old_invoice,
    "invoiceitem": _old_invoice_item,
    "line_item": _old_line,
    "payment_intent": _of_invoice,
    "plan": lambda _view, _obj, _shown: {"aggregate_usage": None},
    "price": _old_recurring,
    "subscription": _old_subscription,
}

_OLD_RELATIONS: dict[str, dict[str, Relation]] = {
    "charge": {"invoice": Ref("invoice")},
    "invoice": {
        "charge": Ref("charge"),
        "payment_intent": Ref("payment_intent"),
        "subscription": Ref("subscription"),
    },
    "invoiceitem": {"subscription": Ref("subscription")},
    "line_item": {"invoice_item": Ref("invoiceitem")},
    "payment_intent": {"invoice": Ref("invoice")},
}

_Relations = dict[str, dict[str, Relation]]
_BEFORE_CLOVER: _Relations = {**RELATIONS, "discount": {"customer": Ref("customer")}}
_BEFORE_BASIL: _Relations = {
    kind: {**relations, **_OLD_RELATIONS.get(kind, {})}
    for kind, relations in _BEFORE_CLOVER.items()
}


def _reshaping(
    add: Mapping[str, Older], gone: Mapping[str, tuple[str, ...]]
) -> Callable[[View, Obj, Obj], None]:
    """Return what turns an object from the newest into an older shape, in place."""

    def reshape(view: View, obj: Obj, shown: Obj) -> None:
        kind = shown["object"]
        if kind in add:
            shown.update(add[kind](view, obj, shown))
        for name in gone.get(kind, ()):
            shown.pop(name, None)

    return reshape


_ADD_BEFORE_CLOVER = {kind: _ADD[kind] for kind in ("customer", "discount")}
_EDITIONS: dict[Shape, Edition] = {
    "legacy": Edition(_BEFORE_BASIL, _reshaping(_ADD, _NEW_FIELDS)),
    "basil": Edition(_BEFORE_CLOVER, _reshaping(_ADD_BEFORE_CLOVER, {"discount": ("source",)})),
    "current": Edition(),
}
