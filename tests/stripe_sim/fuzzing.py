"""Requests that make some sense, little sense and none, made from the endpoints' own schemas."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import httpx
from hypothesis import strategies as st

from simulators.stripe.resources import ROUTES
from simulators.stripe.routes import Route
from simulators.stripe.schema import (
    Array,
    Choice,
    Field,
    Flag,
    Hash,
    Integer,
    Metadata,
    OneOf,
    TimeRange,
)
from simulators.stripe.simulator import Simulator

ODD = [
    "",
    " ",
    "0",
    "-1",
    "1.5",
    "1e9",
    "99999999999999999999",
    "true",
    "null",
    "[]",
    "now",
    "é",
    "\x00",
    "\u202e",
    "x" * 6_000,
    "usd",
    "jpy",
    "pm_card_visa",
    "pm_card_chargeDeclined",
    "tok_visa",
    "cus_none",
    "%",
    "../..",
    "1800000000",
    "http://127.0.0.1:9/",
]
NAMES = ["", "0", "1", "99999", "price", "id", "x", "é", "gte"]
Pair = tuple[str, str]


def snapshot(simulator: Simulator) -> str:
    """Return all of the state as text: objects, plans, money, deliveries."""
    store, deliverer = simulator.world.store, simulator.deliverer
    return json.dumps(
        {
            "objects": {kind: table for kind, table in store._tables.items() if table},
            "agendas": {name: plans for name, plans in _plans(simulator).items() if plans},
            "money": len(simulator.world.journal.records),
            "messages": sorted(deliverer.undelivered),
            "undo": len(store._undo),
        }
    )


def _plans(simulator: Simulator) -> dict[str, list[Any]]:
    agendas = simulator.world.store._agendas.items()
    return {name: sorted(agenda.planned.items()) for name, agenda in agendas}


def values(field: Field, ids: list[str]) -> st.SearchStrategy[Any]:
    """Return forms of a field: mostly of its type, else anything."""
    odd = st.one_of(st.sampled_from(ODD), st.sampled_from(ids))
    return st.one_of(_fitting(field, ids), _fitting(field, ids), odd)


def _fitting(field: Field, ids: list[str]) -> st.SearchStrategy[Any]:
    """Return forms of a field's own type."""
    if isinstance(field, Hash):
        inner = {name: values(each, ids) for name, each in field.fields.items()}
        return st.fixed_dictionaries({}, optional=inner)
    if isinstance(field, Array):
        return st.lists(values(field.of, ids), max_size=3)
    if isinstance(field, OneOf):
        return st.one_of(st.just(field.word), _fitting(field.otherwise, ids))
    for kind, strategy in _PLAIN.items():
        if isinstance(field, kind):
            return strategy(field)
    return st.sampled_from([*ids, *ids, *ODD])


def _numbers(field: Any) -> st.SearchStrategy[str]:
    return (st.integers(field.minimum, field.maximum) | st.integers(0, 3_000)).map(str)


_WORDS = st.sampled_from(["a", "b", "", "x" * 60])
_PLAIN: dict[type, Callable[[Any], st.SearchStrategy[Any]]] = {
    Choice: lambda field: st.sampled_from([str(word) for word in field.words]),
    Flag: lambda _field: st.sampled_from(["true", "false"]),
    Integer: _numbers,
    Metadata: lambda _field: st.dictionaries(_WORDS, _WORDS, max_size=2),
    TimeRange: lambda _field: st.dictionaries(
        st.sampled_from(["gte", "lt", "x"]), st.just("5"), max_size=2
    ),
}


def flat(name: str, value: Any) -> list[Pair]:
    """Return a nested value as bracketed pairs."""
    if isinstance(value, dict):
        return [pair for key, each in value.items() for pair in flat(f"{name}[{key}]", each)]
    if isinstance(value, list):
        return [pair for index, each in enumerate(value) for pair in flat(f"{name}[{index}]", each)]
    return [(name, str(value))]


@st.composite
def requests(draw: st.DrawFn, ids: list[str]) -> tuple[Route, str, list[Pair]]:
    """Draw an endpoint, a path and a form for it."""
    route = draw(st.sampled_from(ROUTES))
    path = route.path
    while "{" in path:
        name = path[path.index("{") : path.index("}") + 1]
        path = path.replace(name, draw(st.sampled_from([*ids, *ids, "x", "%00", "é", "y" * 300])))
    pairs: list[Pair] = []
    required = set(route.params.required) if draw(st.integers(0, 4)) else set()
    optional = draw(st.sets(st.sampled_from(sorted({*route.params.fields, "expand"})), max_size=5))
    for name in sorted(required | optional):
        field = route.params.fields.get(name)
        expand = st.lists(st.sampled_from(["data", "customer", "latest_invoice.x"]), max_size=2)
        value = draw(values(field, ids) if field is not None else expand)
        pairs += flat(name, value)
    if not draw(st.integers(0, 5)):
        pairs.append((draw(st.sampled_from(NAMES)), draw(st.sampled_from(ODD))))
    return route, path, pairs


async def send(
    client: httpx.AsyncClient, route: Route, path: str, pairs: list[Pair], key: str | None = None
) -> httpx.Response:
    """Send a drawn request."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if key:
        headers["Idempotency-Key"] = key
    form = urlencode(pairs, errors="surrogatepass")
    if route.method == "POST":
        return await client.post(path, content=form, headers=headers)
    return await client.request(route.method, f"{path}?{form}")


def ids_of(simulator: Simulator) -> list[str]:
    """Return the ids of some objects of every kind but events."""
    tables = simulator.world.store._tables.items()
    return [each for kind, table in tables if kind != "event" for each in list(table)[:3]]
