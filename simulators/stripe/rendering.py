"""Objects as the wire shows them: hidden facts dropped, lists embedded, ids expanded.

`RELATIONS` says for each kind which fields refer to other objects. A `Ref` is an id that a
caller may expand; an `Embedded` is always shown whole; a `Children` is a list of objects that
belong to this one, always shown or only when expanded.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from simulators.stripe.errors import InvalidRequest
from simulators.stripe.store import Store
from simulators.webhooks.events import Obj

_DEPTH_MAX = 4


@dataclass(frozen=True)
class Ref:
    """An id of an object of `kind`, expandable on request."""

    kind: str


@dataclass(frozen=True)
class Embedded:
    """An id that is always replaced by what `view` makes of the object of `kind`."""

    kind: str
    source: str
    view: Callable[[Obj], Obj] = copy.deepcopy


@dataclass(frozen=True)
class Children:
    """The objects of `kind` that refer to this one in `by`; the list's address is `url`."""

    kind: str
    by: str
    url: str
    always: bool = False
    limit: int | None = 10
    newest_first: bool = False


def plan_of(price: Obj) -> Obj:
    """Return the legacy plan that stands beside a recurring price, under the same id."""
    recurring = price["recurring"] or {}
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": price["billing_scheme"],
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring.get("interval", "month"),
        "interval_count": recurring.get("interval_count", 1),
        "livemode": False,
        "metadata": price["metadata"],
        "meter": None,
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


Relation = Ref | Embedded | Children

RELATIONS: dict[str, dict[str, Relation]] = {
    "customer": {
        "invoice_settings.default_payment_method": Ref("payment_method"),
        "subscriptions": Children(
            "subscription", "customer", "/v1/customers/{id}/subscriptions", newest_first=True
        ),
    },
    "payment_method": {"customer": Ref("customer")},
    "product": {"default_price": Ref("price")},
    "price": {"product": Ref("product")},
    "plan": {"product": Ref("product")},
    "payment_intent": {
        "customer": Ref("customer"),
        "latest_charge": Ref("charge"),
        "payment_method": Ref("payment_method"),
    },
    "charge": {
        "balance_transaction": Ref("balance_transaction"),
        "customer": Ref("customer"),
        "payment_intent": Ref("payment_intent"),
        "refunds": Children("refund", "charge", "/v1/charges/{id}/refunds", newest_first=True),
    },
    "refund": {
        "balance_transaction": Ref("balance_transaction"),
        "charge": Ref("charge"),
        "failure_balance_transaction": Ref("balance_transaction"),
        "payment_intent": Ref("payment_intent"),
    },
    "balance_transaction": {"source": Ref("*")},
    "discount": {"customer": Ref("customer"), "source.coupon": Ref("coupon")},
    "dispute": {"charge": Ref("charge"), "payment_intent": Ref("payment_intent")},
    "setup_intent": {"customer": Ref("customer"), "payment_method": Ref("payment_method")},
    "subscription": {
        "customer": Ref("customer"),
        "default_payment_method": Ref("payment_method"),
        "discounts": Ref("discount"),
        "items": Children(
            "subscription_item",
            "subscription",
            "/v1/subscription_items?subscription={id}",
            always=True,
            limit=None,
        ),
        "latest_invoice": Ref("invoice"),
    },
    "subscription_item": {
        "plan": Embedded("price", "_price", plan_of),
        "price": Embedded("price", "_price"),
    },
    "invoice": {
        "customer": Ref("customer"),
        "default_payment_method": Ref("payment_method"),
        "discounts": Ref("discount"),
        "lines": Children("line_item", "invoice", "/v1/invoices/{id}/lines", always=True),
        "parent.subscription_details.subscription": Ref("subscription"),
        "payments": Children("invoice_payment", "invoice", "/v1/invoices/{id}/payments"),
    },
    "line_item": {
        "pricing.price_details.price": Ref("price"),
        "subscription": Ref("subscription"),
    },
    "invoiceitem": {
        "customer": Ref("customer"),
        "invoice": Ref("invoice"),
        "pricing.price_details.price": Ref("price"),
    },
    "invoice_payment": {
        "invoice": Ref("invoice"),
        "payment.charge": Ref("charge"),
        "payment.payment_intent": Ref("payment_intent"),
    },
}


@dataclass(frozen=True)
class Edition:
    """How objects are shown in one API version: what refers to what, and a last touch to each.

    `reshape` gets the view, the object as it is kept and the object as it will be shown.
    """

    relations: Mapping[str, Mapping[str, Relation]] = field(default_factory=lambda: RELATIONS)
    reshape: Callable[["View", Obj, Obj], None] = lambda _view, _obj, _shown: None


@dataclass(frozen=True)
class View:
    """A store as one API version shows it."""

    store: Store
    edition: Edition = field(default_factory=Edition)


def render(view: View, obj: Obj, expand: tuple[str, ...] = ()) -> Obj:
    """Return the object as the wire shows it, a copy; `expand` names paths to expand."""
    shown: Obj = copy.deepcopy({key: obj[key] for key in obj if not key.startswith("_")})
    if obj.get("deleted"):
        return shown
    for name, relation in view.edition.relations.get(obj["object"], {}).items():
        if isinstance(relation, Embedded):
            shown[name] = _embedded(view, obj, relation)
        elif isinstance(relation, Children) and relation.always:
            shown[name] = _children(view, obj["id"], relation)
    view.edition.reshape(view, obj, shown)
    for path in expand:
        expand_path(view, shown, path.split("."), path)
    return shown


def _embedded(view: View, obj: Obj, relation: Embedded) -> Obj:
    source = view.store.get(relation.kind, obj[relation.source])
    assert source is not None  # noqa: S101 - prices are never removed
    shown = relation.view(render(view, source))
    if shown["object"] != source["object"]:
        view.edition.reshape(view, source, shown)
    return shown


def expand_path(view: View, shown: Obj, segments: list[str], path: str) -> None:
    """Expand one path inside a rendered object or list, in place."""
    if len(path.split(".")) > _DEPTH_MAX:
        raise InvalidRequest(
            f"You cannot expand more than {_DEPTH_MAX} levels of a property. Property: {path}",
            param="expand",
        )
    if not segments:
        return
    if shown.get("object") in {"list", "search_result"}:
        if segments[0] != "data":
            raise _cannot_expand(path)
        for item in shown["data"]:
            expand_path(view, item, segments[1:], path)
        return
    if not shown.get("deleted"):
        _expand_field(view, shown, segments, path)


def _expand_field(view: View, shown: Obj, segments: list[str], path: str) -> None:
    relations = view.edition.relations.get(shown["object"], {})
    for count in range(1, len(segments) + 1):
        relation = relations.get(".".join(segments[:count]))
        if relation is None:
            continue
        *parents, name = segments[:count]
        holder: Obj | None = shown
        for parent in parents:
            holder = holder.get(parent) if holder else None
        if holder is not None:
            _expand_value(view, shown, holder, name, relation)
            value = holder.get(name)
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict):
                    expand_path(view, each, segments[count:], path)
        return
    raise _cannot_expand(path)


def _expand_value(view: View, shown: Obj, holder: Obj, name: str, relation: Relation) -> None:
    """Put the object in the place of its id, unless it is there already."""
    if isinstance(relation, Children):
        if not isinstance(holder.get(name), dict):
            holder[name] = _children(view, shown["id"], relation)
    elif isinstance(relation, Ref) and isinstance(value := holder.get(name), str | list):
        holder[name] = _resolved(view, relation.kind, value)


def _resolved(view: View, kind: str, value: Any) -> Any:
    """Return objects in the place of their ids; what is none, or is one already, stays."""
    if isinstance(value, list):
        return [_resolved(view, kind, each) for each in value]
    found = _find(view, kind, value) if isinstance(value, str) else None
    return value if found is None else render(view, found)


def _find(view: View, kind: str, object_id: str) -> Obj | None:
    kinds = ("charge", "refund", "dispute") if kind == "*" else (kind,)
    return next((found for k in kinds if (found := view.store.get(k, object_id))), None)


def _children(view: View, owner_id: str, relation: Children) -> Obj:
    found = view.store.where(relation.kind, relation.by, owner_id)
    if relation.newest_first:
        found.reverse()
    shown = found if relation.limit is None else found[: relation.limit]
    return {
        "object": "list",
        "data": [render(view, child) for child in shown],
        "has_more": len(shown) < len(found),
        "total_count": len(found),
        "url": relation.url.format(id=owner_id),
    }


def _cannot_expand(path: str) -> InvalidRequest:
    return InvalidRequest(f"This property cannot be expanded ({path}).", param="expand")
