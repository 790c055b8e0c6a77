"""Requests as callers of versions before basil make them, turned into those of the newest.

What basil took away and billing code used: ``coupon`` of a subscription and of a preview, ``price``
of an invoice item, and ``GET /v1/invoices/upcoming`` with its ``subscription_…`` parameters
(https://docs.stripe.com/changelog/basil). Any other old parameter is refused by its name, and none
of these is known to a newer caller.
"""

from simulators.stripe.errors import BadParameters
from simulators.stripe.forms import Raw
from simulators.stripe.versions import shape_of

_UPCOMING = ("GET", "/v1/invoices/upcoming")
_PREVIEW = ("POST", "/v1/invoices/create_preview")
_Places = dict[str, tuple[str, ...]]
_COUPON: _Places = {"coupon": ("discounts", "0", "coupon")}
_DETAILS: _Places = {
    f"subscription_{name}": ("subscription_details", name)
    for name in (
        "billing_cycle_anchor",
        "cancel_at_period_end",
        "cancel_now",
        "items",
        "proration_behavior",
        "proration_date",
        "trial_end",
    )
}
_MOVED: dict[tuple[str, str], _Places] = {
    ("POST", "/v1/invoiceitems"): {"price": ("pricing", "price")},
    ("POST", "/v1/subscriptions"): _COUPON,
    ("POST", "/v1/subscriptions/{id}"): _COUPON,
    _PREVIEW: {**_COUPON, **_DETAILS},
}
"""For each endpoint of the newest version, its older parameters and where they are found now."""


def address(version: str, method: str, path: str) -> tuple[str, str]:
    """Return the method and the path that answer what a caller of this version asks."""
    old = shape_of(version) == "legacy" and (method, path.rstrip("/")) == _UPCOMING
    return _PREVIEW if old else (method, path)


def parameters(version: str, method: str, path: str, raw: dict[str, Raw]) -> dict[str, Raw]:
    """Return a form with older parameters in their newer places; `path` is a route's."""
    moved = _MOVED.get((method, path), {}) if shape_of(version) == "legacy" else {}
    placed = {name: value for name, value in raw.items() if name not in moved}
    for name in moved.keys() & raw.keys():
        _place(placed, moved[name], raw[name], name)
    return placed


def _place(form: dict[str, Raw], place: tuple[str, ...], value: Raw, name: str) -> None:
    """Put a value where it belongs; an empty one clears all there is, as ``coupon=`` did."""
    first, *rest = place
    if value == "" and rest[:1] == ["0"]:
        form.setdefault(first, "")
        return
    for segment in rest:
        node = form.setdefault(first, {})
        if not isinstance(node, dict) or (segment == rest[-1] and segment in node):
            raise BadParameters(
                f"You may only specify one of these parameters: {name}, {place[0]}.", param=name
            )
        form, first = node, segment
    form[first] = value
