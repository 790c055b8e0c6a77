"""``/v1/…/search``: Stripe's search query language over what is stored.

https://docs.stripe.com/search#search-query-language: clauses joined by AND or by OR, not both;
``field:value``, ``field~"part"``, ``amount>1000``, ``-field:value``, ``metadata["key"]:"value"``.
Unlike Stripe's, which is behind by up to a minute, what is found is always up to date.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from simulators.stripe.errors import InvalidRequest
from simulators.stripe.routes import Call, Handler, Route
from simulators.stripe.schema import Integer, Params, Text
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_CLAUSE = re.compile(
    r"""\s*(?P<not>-)?
    (?P<field>[a-z_0-9.]+)(?:\[(?P<q>["'])(?P<key>(?:(?!(?P=q)).)*)(?P=q)\])?
    \s*(?P<op>:|~|>=|<=|>|<)\s*
    (?:"(?P<text>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<bare>-?[\w.]+))\s*""",
    re.VERBOSE,
)
_JOIN = re.compile(r"(AND|OR)\b|(?=\S)", re.IGNORECASE)
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_PART_LENGTH_MIN = 3
_CLAUSES_MAX = 10

Kind = Literal["number", "text", "token"]
"""Numbers compare; of a text a part may be searched; a token only as a whole."""

_SAME: dict[str, Kind] = {"created": "number", "metadata": "token"}
_CARD: dict[str, Kind] = {
    f"payment_method_details.card.{name}": "token"
    for name in ("brand", "exp_month", "exp_year", "fingerprint", "last4")
}
FIELDS: dict[str, dict[str, Kind]] = {
    "charge": {
        **_SAME,
        **_CARD,
        "amount": "number",
        "billing_details.address.postal_code": "token",
        "currency": "token",
        "customer": "token",
        "disputed": "token",
        "refunded": "token",
        "status": "token",
    },
    "customer": {**_SAME, "email": "text", "name": "text", "phone": "text"},
    "invoice": {
        **_SAME,
        "currency": "token",
        "customer": "token",
        "number": "token",
        "receipt_number": "token",
        "status": "token",
        "subscription": "token",
        "total": "number",
    },
    "payment_intent": {
        **_SAME,
        "amount": "number",
        "currency": "token",
        "customer": "token",
        "status": "token",
    },
    "price": {
        **_SAME,
        "active": "token",
        "currency": "token",
        "lookup_key": "token",
        "product": "token",
        "type": "token",
    },
    "product": {
        **_SAME,
        "active": "token",
        "description": "text",
        "name": "text",
        "shippable": "token",
        "url": "text",
    },
    "subscription": {**_SAME, "canceled_at": "number", "status": "token"},
}
"""What of each kind can be searched by."""


@dataclass(frozen=True)
class Clause:
    """One condition; `value` is None for ``null``."""

    negated: bool
    field: str
    key: str | None
    op: str
    value: str | None

    def holds(self, obj: Obj) -> bool:
        """Tell whether an object meets the condition."""
        return self._matches(_value(obj, self.field, self.key)) != self.negated

    def _matches(self, found: Any) -> bool:
        if found is None or self.value is None:
            return found is None and self.value is None
        text = str(found).lower()
        if self.op == ":":
            return text == self.value.lower()
        if self.op == "~":
            return self.value.lower() in text
        return _COMPARE[self.op](int(found), int(self.value))


def _value(obj: Obj, field: str, key: str | None) -> Any:
    if key is not None:
        return obj["metadata"].get(key)
    if field == "subscription":
        return obj["_subscription"]
    found: Any = obj
    for part in field.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def parse(query: str, kind: str) -> Callable[[Obj], bool]:
    """Read a query; return what tells whether an object is found by it."""
    clauses, joins, at = [], set(), 0
    while at < len(query):
        match = _CLAUSE.match(query, at)
        if match is None:
            raise _unreadable(query)
        clauses.append(_checked(match, kind))
        at = match.end()
        join = _JOIN.match(query, at)
        if join is not None and at < len(query):
            joins.add((join[1] or "and").lower())
            at = join.end()
            if at == len(query):
                raise _unreadable(query)
    if not clauses or len(joins) > 1 or len(clauses) > _CLAUSES_MAX:
        raise _unreadable(query)
    every = any if joins == {"or"} else all
    return lambda obj: every(clause.holds(obj) for clause in clauses)


def _checked(match: re.Match[str], kind: str) -> Clause:
    field, key, op = match["field"], match["key"], match["op"]
    known = FIELDS[kind].get(field)
    if known is None or (field == "metadata") != (key is not None):
        raise InvalidRequest(f"Field `{field}` is an unsupported search field.", param="query")
    quoted = match["text"] if match["text"] is not None else match["single"]
    value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else match["bare"]
    if quoted is None and value == "null":
        value = None
    if not _allowed(known, op, value):
        raise InvalidRequest(
            f"Operator `{op}` cannot be used with field `{field}` and this value.", param="query"
        )
    return Clause(match["not"] is not None, field, key, op, value)


def _allowed(known: Kind, op: str, value: str | None) -> bool:
    if value is None:
        return op == ":"
    if op == "~":
        return known == "text" and len(value) >= _PART_LENGTH_MIN
    if known == "number":
        return value.removeprefix("-").isdecimal() and value.isascii()
    return op == ":"


def _unreadable(query: str) -> InvalidRequest:
    return InvalidRequest(
        f"We were unable to parse your search query: {query[:100]}", param="query"
    )


def searcher(kind: str) -> Handler:
    """Return the handler that searches objects of a kind, the newest first."""

    def search(world: World, call: Call) -> Obj:
        finds = parse(call.params["query"] or "", kind)
        shown = [obj for obj in world.store.all(kind) if not _hidden(obj)]
        found = [obj for obj in reversed(shown) if finds(obj)]
        start, limit = call.params.get("page", 0), call.params.get("limit", 10)
        more = start + limit < len(found)
        return {
            "object": "search_result",
            "data": found[start : start + limit],
            "has_more": more,
            "next_page": str(start + limit) if more else None,
            "url": call.url,
        }

    return search


def _hidden(obj: Obj) -> bool:
    return bool(obj.get("deleted") or obj.get("_deleted"))


_PARAMS = Params({"limit": Integer(1, 100), "page": Integer(0, 10**9), "query": Text()}, ("query",))
ROUTES = [Route("GET", f"/v1/{kind}s/search", searcher(kind), _PARAMS) for kind in FIELDS]
