"""Requests that make some sense, little sense and none, made from the endpoints' own schemas."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import httpx
from hypothesis import settings
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
    tables = list(store._tables.items())  # in one go: a server's thread may be at work
    return json.dumps(
        {
            "objects": {kind: table for kind, table in tables if table},
            "agendas": {name: plans for name, plans in _plans(simulator).items() if plans},
            "money": len(simulator.world.journal.records),
            "messages": sorted(deliverer.undelivered),
            "undo": len(store._undo),
        }
    )


def _plans(simulator: Simulator) -> dict[str, list[Any]]:
    agendas = simulator.world.store._agendas.items()
    return {name: sorted(agenda.planned.items()) for name, agenda in agendas}


Ids = dict[str, list[str]]
"""Ids of real objects by kind."""

_WORDS = st.sampled_from(["a", "b", "", "x" * 60])
_NAMED = {
    "currency": st.sampled_from(["usd", "usd", "usd", "jpy"]),
    "interval": st.sampled_from(["month", "year"]),
    "url": st.just("http://127.0.0.1:9/"),
}
_PLAIN: dict[type, Callable[[Any], st.SearchStrategy[Any]]] = {
    Choice: lambda field: st.sampled_from([str(word) for word in field.words]),
    Flag: lambda _field: st.sampled_from(["true", "false"]),
    Integer: lambda field: st.integers(max(0, field.minimum), min(3_000, field.maximum)).map(str),
    Metadata: lambda _field: st.dictionaries(_WORDS, _WORDS, max_size=2),
    TimeRange: lambda _field: st.dictionaries(
        st.sampled_from(["gte", "lt", "x"]), st.just("5"), max_size=2
    ),
}


def kind_of(name: str) -> str:
    """Return the kind of object that a parameter or a part of a path is named after."""
    names = {"default_payment_method": "payment_method", "test_clocks": "test_helpers.test_clock"}
    return names.get(name, name.removesuffix("s"))


def values(draw: st.DrawFn, name: str, field: Field, ids: Ids) -> Any:
    """Draw a value: nearly always one of the field's type, with ids of the right kind."""
    if not draw(st.integers(0, 19)):
        return draw(st.sampled_from([*ODD, *(each for some in ids.values() for each in some)]))
    if isinstance(field, OneOf):
        field = field.otherwise if draw(st.booleans()) else Choice(field.word)
    if isinstance(field, Hash):
        names = sorted(field.fields)
        more = draw(st.sets(st.sampled_from(names), max_size=3)) if names else set()
        chosen = sorted(field.required | more)
        return {each: values(draw, each, field.fields[each], ids) for each in chosen}
    if isinstance(field, Array):
        length = draw(st.integers(1, 2))
        return [values(draw, name, field.of, ids) for _ in range(length)]
    fitting = next((make(field) for kind, make in _PLAIN.items() if isinstance(field, kind)), None)
    if fitting is None:
        fitting = st.sampled_from([*ids.get(kind_of(name), []), "pm_card_visa"])
    return draw(_NAMED.get(name, fitting))


def flat(name: str, value: Any) -> list[Pair]:
    """Return a nested value as bracketed pairs."""
    if isinstance(value, dict):
        return [pair for key, each in value.items() for pair in flat(f"{name}[{key}]", each)]
    if isinstance(value, list):
        return [pair for index, each in enumerate(value) for pair in flat(f"{name}[{index}]", each)]
    return [(name, str(value))]


def _path(draw: st.DrawFn, route: Route, ids: Ids) -> str:
    """Draw the ids in a path, nearly always of the right kind."""
    parts = route.path.split("/")
    for index, part in enumerate(parts):
        if part.startswith("{"):
            right = ids.get(kind_of(parts[index - 1]), []) * 4
            parts[index] = draw(st.sampled_from([*right, "x", "%00", "é", "y" * 300]))
    return "/".join(parts)


@st.composite
def requests(draw: st.DrawFn, ids: Ids) -> tuple[str, str, list[Pair]]:
    """Draw a method, a path and a form for an endpoint."""
    changing = [route for route in ROUTES if route.method != "GET"]
    route = draw(st.sampled_from([*changing, *changing, *changing, *ROUTES]))
    fields = route.params.fields
    required = set(route.params.required) if draw(st.integers(0, 9)) else set()
    optional = draw(st.sets(st.sampled_from(sorted(fields)), max_size=3)) if fields else set()
    pairs: list[Pair] = []
    for name in sorted(required | optional):
        pairs += flat(name, values(draw, name, fields[name], ids))
    if not draw(st.integers(0, 14)):
        pairs.append(("expand[]", draw(st.sampled_from(["customer", "latest_invoice.x", ""]))))
    if not draw(st.integers(0, 14)):
        pairs.append((draw(st.sampled_from(NAMES)), draw(st.sampled_from(ODD))))
    return route.method, _path(draw, route, ids), pairs


async def send(
    client: httpx.AsyncClient, method: str, path: str, pairs: list[Pair], key: str | None = None
) -> httpx.Response:
    """Send a drawn request."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if key:
        headers["Idempotency-Key"] = key
    form = urlencode(pairs, errors="surrogatepass")
    if method == "POST":
        return await client.post(path, content=form, headers=headers)
    return await client.request(method, f"{path}?{form}")


def ids_of(simulator: Simulator) -> Ids:
    """Return the ids of some objects of every kind but events."""
    tables = simulator.world.store._tables.items()
    return {kind: [*table][:2] + [*table][-2:] for kind, table in tables if kind != "event"}


def examples(everyday: int, nightly: int) -> int:
    """Return how many examples to try: these in `make test`, those in `make nightly`."""
    return nightly if settings.get_current_profile_name() == "nightly" else everyday
