"""Stripe's side of an audit, by a key that can only read: lists over a window, and single objects.

Charges, refunds and disputes are listed newest first, a page at a time (https://docs.stripe.com/api
/charges/list and its kin); an object named by the books alone is fetched by its id.
"""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.audit.facts import Unreadable
from harness.provider import Movement
from harness.target.wire import Call, NoReply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from harness.audit.facts import Window
    from harness.audit.waiting import Reading

Object: TypeAlias = "Mapping[str, Any]"
_PAGE_ITEMS = "100"
_OK, _MISSING, _WRONG_KEY = 200, 404, frozenset({401, 403})
_WITH_CHARGE = (("expand[]", "data.charge"),)
# What is needed beside an object that is fetched by its id.
_EXPANDED: Mapping[str, tuple[str, ...]] = {
    "payment_intents": ("latest_charge",),
    "refunds": ("charge",),
    "disputes": ("charge",),
    "balance_transactions": ("source", "source.charge"),
}


class StripeReader:
    """Reads one account. `seen` counts what was listed, `pending` what has not moved yet."""

    def __init__(self, reading: Reading, key: str) -> None:
        self._reading = reading
        self._headers = (("Authorization", f"Bearer {key}"),)
        self.seen: Counter[str] = Counter()
        self.pending = 0

    def movements(self, window: Window) -> Iterator[Movement]:
        """Give all money that moved in the window, newest first. Raises `Unreadable`."""
        kinds = ("charges", "refunds", "disputes")
        streams = (self._moved(kind, window) for kind in kinds)
        return heapq.merge(*streams, key=lambda movement: movement.at, reverse=True)

    def movement(self, provider_id: str) -> Movement | None:
        """Give what an id of the provider's names, or None where there is no such thing."""
        kind = _kind_of(provider_id)
        expanded = tuple(("expand[]", name) for name in _EXPANDED.get(kind, ()))
        found = self._get(f"/v1/{kind}/{provider_id}", expanded, optional=True)
        if kind == "payment_intents":
            found, kind = (found or {}).get("latest_charge"), "charges"
        elif kind == "balance_transactions":
            # Only a dispute's are names of their own: one for what it took, one for what came back.
            source = (found or {}).get("source")
            is_dispute = isinstance(source, dict) and source["object"] == "dispute"
            found, kind = (source if is_dispute else None), "disputes"
        return _movement(kind, found) if found else None

    def charge(self, provider_id: str) -> Object | None:
        """Give a charge as Stripe shows it now, with what of it was given back."""
        return self._get(f"/v1/charges/{provider_id}", (), optional=True)

    def invoice_total_minor(self, invoice: str) -> int | None:
        """Give what an invoice asks for, or None where there is no such invoice."""
        found = self._get(f"/v1/invoices/{invoice}", (), optional=True)
        return int(found["total"]) if found else None

    def customers(self) -> Iterator[Object]:
        """Give every customer of the account."""
        return self._listed("customers", ())

    def _moved(self, kind: str, window: Window) -> Iterator[Movement]:
        within = (("created[gte]", str(window.since)), ("created[lt]", str(window.until)))
        expanded = () if kind == "charges" else _WITH_CHARGE
        for found in self._listed(kind, (*within, *expanded)):
            self.seen[kind] += 1
            movement = _movement(kind, found)
            if movement:
                self.pending += movement.state == "pending"
                yield movement

    def _listed(self, kind: str, query: tuple[tuple[str, str], ...]) -> Iterator[Object]:
        after: tuple[tuple[str, str], ...] = ()
        while True:
            limited = (*query, ("limit", _PAGE_ITEMS), *after)
            page = self._get(f"/v1/{kind}", limited)
            data = page["data"] if page else []
            yield from data
            if not data or not page or not page["has_more"]:
                return
            after = (("starting_after", data[-1]["id"]),)

    def _get(
        self, path: str, query: tuple[tuple[str, str], ...], *, optional: bool = False
    ) -> Object | None:
        reply = self._reading.send(Call("GET", path, query, self._headers))
        if isinstance(reply, NoReply):
            raise Unreadable(f"Stripe did not answer GET {path}: {reply.reason}")
        if reply.status == _MISSING and optional:
            return None
        if reply.status in _WRONG_KEY:
            right = path.split("/")[2].replace("_", " ")
            raise Unreadable(f"Stripe answered {reply.status}: the key may not read {right}")
        try:
            if reply.status == _OK and isinstance(found := reply.json(), dict):
                return found
        except ValueError:
            pass
        raise Unreadable(f"Stripe answered {reply.status} to GET {path}, and no object")


def _kind_of(provider_id: str) -> str:
    """Tell which list an id belongs to by its beginning; anything else is tried as a charge."""
    kinds: tuple[tuple[tuple[str, ...], str], ...] = (
        (("re_", "pyr_"), "refunds"),
        (("du_", "dp_"), "disputes"),
        (("pi_",), "payment_intents"),
        (("txn_",), "balance_transactions"),
    )
    return next((kind for starts, kind in kinds if provider_id.startswith(starts)), "charges")


def _movement(kind: str, found: Object) -> Movement | None:
    """Give the money that an object moved; None where it moved none and never will."""
    try:
        return _READ[kind](found)
    except (KeyError, TypeError, AttributeError) as error:
        raise Unreadable(
            f"{found.get('id')} is not shaped as Stripe's {kind} ({error!r})"
        ) from None


def _charge(charge: Object) -> Movement | None:
    if charge["status"] == "failed" or not charge["captured"]:
        return None
    return Movement(
        type="charge",
        provider_id=charge["id"],
        customer=charge["customer"],
        amount_minor=charge["amount_captured"],
        currency=charge["currency"],
        state=charge["status"],
        at=charge["created"],
        payment_intent=charge.get("payment_intent"),
        metadata=charge.get("metadata") or {},
    )


def _back(
    kind: str, back: Object, amount_minor: int, state: str, parts: tuple[str, ...] = ()
) -> Movement:
    charge = back["charge"]
    return Movement(
        type=kind,
        provider_id=back["id"],
        customer=charge.get("customer") if isinstance(charge, dict) else None,
        amount_minor=-amount_minor,
        currency=back["currency"],
        state=state,
        at=back["created"],
        payment_intent=back.get("payment_intent"),
        metadata=back.get("metadata") or {},
        parts=parts,
    )


def _refund(refund: Object) -> Movement | None:
    if refund["status"] in {"failed", "canceled"}:
        return None
    return _back("refund", refund, refund["amount"], refund["status"])


def _dispute(dispute: Object) -> Movement | None:
    """Give what a dispute took: an inquiry takes nothing, nor in sum does one that is won."""
    moved = dispute["balance_transactions"]
    if not moved:
        return None
    lost_minor = 0 if dispute["status"] == "won" else dispute["amount"]
    return _back("dispute", dispute, lost_minor, "succeeded", tuple(each["id"] for each in moved))


_READ: Mapping[str, Callable[[Object], Movement | None]] = {
    "charges": _charge,
    "refunds": _refund,
    "disputes": _dispute,
}
