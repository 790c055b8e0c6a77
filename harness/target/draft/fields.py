"""Which of a document's fields are our inputs and outputs: by their names, places and types."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.operations import OPERATIONS
from harness.target.draft.vocabulary import AT_END, AT_ONCE, INPUTS, OUTPUTS
from harness.target.draft.words import all_of, meanings, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.target.draft.endpoints import Endpoint, Field

_COST_MAX = 5.0
_CLOSE = 0.45  # what differs by less is a toss-up
_WRAPPERS = all_of("data result item attribute payload object response body record")
_NEUTRAL = all_of("minor cent value in the of")
_ASTRAY = all_of("used limit previous before max min threshold count expected cap external")
_NO_MONEY = all_of("id credit unit count currency type number quantity rate percent")
_NO_COUNT = all_of("minor cent price fee id currency cost")
_NO_ID = all_of("status state type url amount currency date due name email cent minor")
_IDS = all_of("customer payment payment_method subscription key refund entry provider_id")
_COUNTS = frozenset({"units", "balance", "balance_after", "quantity"})
_TEXTS = frozenset({"status", "state", "credential", "currency", "plan", "email", "name", "token"})
_FLAGS = frozenset({"consent", "at_period_end"})


@dataclass(frozen=True, slots=True)
class Bound:
    """A field taken for an input or output; `doubt` says why it may be another."""

    field: Field
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a request takes: path parameters by name, then the fields of body and query.

    Where there is no input for one that is required, its input is None.
    """

    parameters: dict[str, str | None]
    body: dict[str, Bound]
    query: dict[str, Bound]
    body_left: tuple[Field, ...]
    query_left: tuple[Field, ...]

    @property
    def inputs(self) -> set[str]:
        """The inputs that the request carries."""
        placed = {name for name in self.parameters.values() if name}
        return placed | set(self.body) | set(self.query)


def taken(operation: str, endpoint: Endpoint) -> Taken:
    """Find an operation's inputs in a request."""
    known = [*OPERATIONS[operation].inputs]
    parameters = _parameters(operation, endpoint)
    left = [name for name in known if name not in parameters.values()]
    own = frozenset(words(endpoint.path))
    plain = [field for field in endpoint.body if "[]" not in field.path]
    body = _bind({name: _asked(name) for name in left}, plain, own, endpoint)
    if operation == "record_usage" and "quantity" not in body:
        body |= _only_number(plain, body)
    left = [name for name in left if name not in body]
    query = _bind({name: _asked(name) for name in left}, endpoint.query, own, endpoint)
    used = {id(bound.field) for bound in (*body.values(), *query.values())}
    return Taken(
        parameters,
        body,
        query,
        tuple(f for f in endpoint.body if f.required and id(f) not in used),
        tuple(f for f in endpoint.query if f.required and id(f) not in used),
    )


def _only_number(fields: Iterable[Field], body: dict[str, Bound]) -> dict[str, Bound]:
    """Take the only number of a body for the quantity, whatever its unit is called."""
    used = {id(bound.field) for bound in body.values()}
    free = [f for f in fields if f.type in {"integer", "number"} and id(f) not in used]
    return {"quantity": Bound(free[0], "as the only number")} if len(free) == 1 else {}


def given(operation: str, endpoint: Endpoint) -> dict[str, Bound]:
    """Find an operation's outputs in a reply."""
    names = {name: _told(operation, name) for name in OPERATIONS[operation].outputs}
    fields = [field for field in endpoint.reply if "[]" not in field.path]
    found = _bind(names, fields, frozenset(), endpoint)
    if "credential" in names and "credential" not in found:
        # Where several may be asked for at once, one is the first of a list.
        found |= _bind({"credential": names["credential"]}, endpoint.reply, frozenset(), endpoint)
    return found


def given_by_items(operation: str, endpoint: Endpoint, path: tuple[str, ...]) -> dict[str, Bound]:
    """Find a list's outputs in its items; their paths begin at an item."""
    from dataclasses import replace

    start = (*path, "[]")
    inner = [
        replace(field, path=field.path[len(start) :])
        for field in endpoint.reply
        if field.path[: len(start)] == start and "[]" not in field.path[len(start) :]
    ]
    names = {name: _told(operation, name) for name in OPERATIONS[operation].item_outputs}
    return _bind(names, inner, frozenset(), endpoint)


def _asked(name: str) -> list[str]:
    return INPUTS.get(name, name.replace("_", " ")).split("|")


def _told(operation: str, name: str) -> list[str]:
    phrases = OUTPUTS.get(f"{operation}.{name}") or OUTPUTS.get(name, name.replace("_", " "))
    return phrases.split("|")


def _parameters(operation: str, endpoint: Endpoint) -> dict[str, str | None]:
    """Say which input each path parameter is: by its own name, or by the segment before it."""
    inputs = OPERATIONS[operation].inputs
    found: dict[str, str | None] = {}
    before = ""
    for segment in endpoint.segments:
        names = re.findall(r"\{([^}]*)\}", segment)
        for name in names:
            is_own = bool(before) and before == endpoint.customers and "customer" in inputs
            found[name] = "customer" if is_own else _parameter(name, before, inputs)
        before = before if names else segment
    taken_by = {value: name for name, value in found.items()}  # the last of several counts
    return {name: v if v is None or taken_by[v] == name else None for name, v in found.items()}


def _parameter(name: str, before: str, inputs: Sequence[str]) -> str | None:
    for text in (name, before):
        for meaning in reversed(meanings(text)):
            meant = {"usage": "usage_id", "credential": "key"}.get(meaning, meaning)
            if meant in inputs:
                return meant
        if meanings(text):
            return None
    if "usage_id" in inputs and words(name)[-1:] in (["id"], ["reference"]):
        return "usage_id"
    return None


def _bind(
    names: dict[str, list[str]], fields: Iterable[Field], own: frozenset[str], endpoint: Endpoint
) -> dict[str, Bound]:
    """Take each field for at most one name, the best pair first."""
    among = list(fields)
    wrappers = _WRAPPERS | {word for part in endpoint.segments for word in words(part)}
    pairs = [
        (cost, order, name, field)
        for name, phrases in names.items()
        for order, field in enumerate(among)
        if (cost := _cost(name, phrases, field, own, wrappers)) <= _COST_MAX
    ]
    pairs.sort(key=lambda pair: pair[:2])
    found: dict[str, Bound] = {}
    used: set[int] = set()
    for cost, order, name, field in pairs:
        if name in found or order in used:
            continue
        rivals = [
            rival
            for other, at, wanted, rival in pairs
            if wanted == name and at not in {*used, order} and other - cost < _CLOSE
        ]
        found[name] = Bound(field, _doubt(name, names[name], field, rivals, own))
        used.add(order)
    return found


def _doubt(
    name: str, phrases: list[str], field: Field, rivals: list[Field], own: frozenset[str]
) -> str:
    if rivals:
        others = ", ".join(".".join(rival.path) for rival in rivals[:3])
        return f"could also be {others}"
    here = set(words(field.name))
    near = any(set(phrase.split()) >= here - _NEUTRAL - own - {"id"} for phrase in phrases)
    if near or (name == "usage_id" and here & own):
        return ""
    same = [phrase for phrase in phrases if set(phrase.split()) <= here]
    return "" if same and set(same[0].split()) & {name, *name.split("_")} else "by its name alone"


def _cost(
    name: str, phrases: list[str], field: Field, own: frozenset[str], wrappers: frozenset[str]
) -> float:
    """Say how far a field is from a name; infinity where it cannot be it."""
    here = words(field.name)
    parents = [w for part in field.path[:-1] for w in words(part) if w not in wrappers]
    if not _can_be(name, field, {*here, *parents}):
        return float("inf")
    whole = {*here, *parents}
    costs = [
        0.5 * rank + _rest(whole if nested else set(here), phrase, nested) + 0.6 * len(parents)
        for rank, phrase in enumerate(map(str.split, phrases))
        for nested in (False, True)
        if set(phrase) <= (whole if nested else set(here))
    ]
    if name == "usage_id" and here[-1:] == ["id"] and len(here) > 1 and set(here[:-1]) <= own:
        costs.append(0.5)
    return min(costs, default=float("inf"))


def _rest(names: set[str], phrase: list[str], nested: bool) -> float:  # noqa: FBT001 - a cost's term
    """Charge for what a name says beyond the phrase, more for what means something else."""
    rest = names - set(phrase) - _NEUTRAL
    foreign = sum(2.0 for word in rest if meanings(word) and not set(meanings(word)) & set(phrase))
    return 0.7 * len(rest) + foreign + 1.5 * len(rest & _ASTRAY) + (0.3 if nested else 0.0)


def end_words(field: Field) -> dict[str, str] | None:
    """Give the words by which a field says now or at the end of the period, if it does."""
    found = {
        answer: next((choice for choice in field.choices if known & set(words(choice))), None)
        for answer, known in (("true", AT_END), ("false", AT_ONCE))
    }
    return (
        {answer: choice for answer, choice in found.items() if choice}
        if all(found.values())
        else None
    )


def _can_be(name: str, field: Field, said: set[str]) -> bool:
    if field.type in {"object", "null"} or (field.type == "array") != (name == "providers"):
        return name == "providers" and field.type == ""
    if field.type == "boolean":
        return name in _FLAGS or name in {"settled", "warning"}
    if name in _FLAGS:
        return name == "at_period_end" and end_words(field) is not None
    foreign = _NO_ID if name in _IDS else _NO_MONEY if name.endswith("_minor") else frozenset()
    if said & foreign:
        return False
    if name in _COUNTS:
        return field.type != "string" and not said & _NO_COUNT
    return not (name in _TEXTS and field.type in {"integer", "number"})
