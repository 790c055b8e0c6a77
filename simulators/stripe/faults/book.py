"""The faults in force, and the record of what they hit."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from simulators.stripe.faults.kinds import (
    KINDS,
    SELECTION,
    BadFault,
    Parameter,
    match_of,
)


@dataclass(frozen=True)
class Facts:
    """What is known of a request or a delivery, for faults to match and the log to tell.

    `labels` are single texts by name; `body` is the flat form, and `customers` everyone whom
    the request or the event's object concerns.
    """

    labels: Mapping[str, str | None]
    body: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    customers: frozenset[str] = frozenset()

    def fit(self, match: Mapping[str, Any]) -> bool:
        """Tell whether all that is asked for is so."""
        return all(self._fits(name, wanted) for name, wanted in match.items())

    def _fits(self, name: str, wanted: Any) -> bool:
        if name in {"body", "metadata"}:
            given = self.body if name == "body" else self.metadata
            return all(_like(given.get(key), pattern) for key, pattern in wanted.items())
        if name == "customer":
            return any(_like(customer, wanted) for customer in self.customers)
        return _like(self.labels.get(name), wanted)


def _like(value: str | None, pattern: str) -> bool:
    return value is not None and fnmatchcase(value, pattern)


@dataclass
class Fault:
    """One fault in force; `matched` and `hits` count what it met and what it struck."""

    id: str
    kind: str
    parameters: dict[str, Any]
    match: dict[str, Any]
    selection: dict[str, Any]
    matched: int = 0
    hits: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the fault as it was given, with what it has done."""
        said = {**self.parameters, **self.match, **self.selection}
        shown = {name: value for name, value in said.items() if value is not None}
        return {
            "id": self.id,
            "kind": self.kind,
            **shown,
            "matched": self.matched,
            "hits": self.hits,
        }

    def draw(self, purpose: str, number: int) -> random.Random:
        """Return a source of chance of its own for one match, so that nothing else matters."""
        return random.Random(f"{self.selection['seed']}/{number}/{purpose}")  # noqa: S311 - repeatable on purpose

    def strikes(self, facts: Facts) -> bool:
        """Count a match, and tell whether it is hit."""
        if not facts.fit(self.match):
            return False
        self.matched += 1
        chosen = self.selection
        if self.matched < chosen["nth"]:
            return False
        if chosen["count"] is not None and self.hits >= chosen["count"]:
            return False
        chance = self.draw("hit", self.matched).random()
        if chosen["rate"] is not None and chance >= chosen["rate"]:
            return False
        self.hits += 1
        return True


@dataclass
class Hit:
    """A fault that has struck: `number` is the match it struck at, `note` its line in the log."""

    fault: Fault
    number: int
    note: dict[str, Any]

    @property
    def kind(self) -> str:
        """The fault's kind."""
        return self.fault.kind

    def __getitem__(self, name: str) -> Any:
        return self.fault.parameters[name]


class FaultBook:
    """Faults by id, in the order in which they were made."""

    def __init__(self, seed: int) -> None:
        self.log: list[dict[str, Any]] = []
        self.made = 0
        self.faults: dict[str, Fault] = {}
        self._seed = seed

    def add(self, given: Mapping[str, Any]) -> Fault:
        """Put a fault into force; raise `BadFault` for one that cannot be."""
        kind = given.get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            raise BadFault(f"kind must be one of {', '.join(KINDS)}")
        match = match_of(kind)
        rest = {name: value for name, value in given.items() if name != "kind"}
        _check(kind, rest, {**KINDS[kind], **match, **SELECTION})
        self.made += 1
        fault = Fault(
            id=f"fault_{self.made}",
            kind=kind,
            parameters=_read(rest, KINDS[kind]),
            match={name: rest[name] for name in match if rest.get(name) is not None},
            selection=_read(rest, SELECTION),
        )
        _complete(fault, f"{self._seed}/{self.made}")
        self.faults[fault.id] = fault
        return fault

    def add_all(self, given: Sequence[Mapping[str, Any]]) -> list[Fault]:
        """Put faults into force, all of them or none."""
        faults, made = dict(self.faults), self.made
        try:
            return [self.add(each) for each in given]
        except BadFault:
            self.faults, self.made = faults, made
            raise

    def remove(self, fault_id: str) -> Fault | None:
        """Take a fault out of force; return it, or None when there is none of that id."""
        return self.faults.pop(fault_id, None)

    def strike(self, kinds: Mapping[str, Any], facts: Facts, at: int) -> list[Hit]:
        """Return the faults of these kinds that hit, and write them into the log."""
        hits = []
        for fault in self.faults.values():
            if fault.kind in kinds and fault.strikes(facts):
                note = {
                    "fault": fault.id,
                    "kind": fault.kind,
                    "match": fault.matched,
                    "at": at,
                    **facts.labels,
                }
                self.log.append(note)
                hits.append(Hit(fault, fault.matched, note))
        return hits

    def versions(self) -> set[str]:
        """Return the API versions that deliveries may be turned into."""
        return {f.parameters["version"] for f in self.faults.values() if f.kind == "api_version"}


def _check(kind: str, given: Mapping[str, Any], known: Mapping[str, Parameter]) -> None:
    wrong = [f"{name} is unknown to {kind}" for name in sorted(given.keys() - known.keys())]
    for name, parameter in known.items():
        value = given.get(name)
        if value is not None and not parameter.fits(value):
            wrong.append(f"{name} must be {parameter.expected}")
    if kind == "latency" and (given.get("seconds") is None) == (given.get("samples_s") is None):
        wrong.append("latency needs seconds or samples_s, one of the two")
    if kind == "api_version" and given.get("version") is None:
        wrong.append("api_version needs version")
    if wrong:
        raise BadFault("; ".join(wrong))


def _read(given: Mapping[str, Any], known: Mapping[str, Parameter]) -> dict[str, Any]:
    return {
        name: parameter.default if given.get(name) is None else given[name]
        for name, parameter in known.items()
    }


def _complete(fault: Fault, seed: str) -> None:
    """Settle what was left open: a seed, and one hit (one group's) unless there is a rate."""
    if fault.selection["count"] is None and fault.selection["rate"] is None:
        fault.selection["count"] = fault.parameters.get("size", 1)
    if fault.selection["seed"] is None:
        fault.selection["seed"] = seed
