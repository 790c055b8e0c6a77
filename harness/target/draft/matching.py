"""Which operation of a document does which of ours: scored by path, method, names and fields."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from harness.operations import OPERATIONS
from harness.target.draft.fields import Bound, Taken, given, given_by_items, taken
from harness.target.draft.vocabulary import CONTROLS, PATTERNS, Pattern
from harness.target.draft.words import all_of, meanings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.target.draft.endpoints import Endpoint

FOUND = 4.0
"""The score from which an operation counts as found."""
SURE = 5.5
_MARGIN = 1.0  # by which one must be better than the next to be sure
_ACTS = all_of(
    "signup create cancel resume change close remove rotate exchange drain purge buy adjust refund"
)
_OPERATORS = frozenset({"refund_payment", "adjust_credits", "create_customer"})


@dataclass(frozen=True)
class Match:
    """One of our operations, and the operation of a document that may do it."""

    operation: str
    endpoint: Endpoint
    rivals: tuple[Endpoint, ...] = ()
    is_sure: bool = True

    @cached_property
    def taken(self) -> Taken:
        """What the request takes."""
        return taken(self.operation, self.endpoint)

    @cached_property
    def given(self) -> dict[str, Bound]:
        """What the reply gives, beside a list's items."""
        return given(self.operation, self.endpoint)

    @cached_property
    def items(self) -> dict[str, Bound]:
        """What each item of a list gives."""
        if not OPERATIONS[self.operation].lists or not self.endpoint.lists:
            return {}
        return given_by_items(self.operation, self.endpoint, self.endpoint.lists[0])

    @cached_property
    def score(self) -> float:
        """How well the two fit; below nought where they cannot."""
        pattern, endpoint = PATTERNS[self.operation], self.endpoint
        if endpoint.method not in pattern.methods:
            return -1.0
        topic, action = _topic(pattern, endpoint), _action(pattern, endpoint)
        if topic is None and self._meters():
            topic = 1.5
        if topic is None or action is None or not _belongs(self.operation, endpoint):
            return -1.0
        by_own_id = self._meters() and endpoint.ends_in_parameter
        method = 0.0 if by_own_id else -0.5 * pattern.methods.index(endpoint.method)
        points = topic + action + method + self._shape(pattern) + self._fields(pattern)
        return points + (4.0 if by_own_id else 0.0)

    def _meters(self) -> bool:
        """Say whether it takes a number under an id of the client's, whatever is counted."""
        takes = self.taken
        fixed = [part for part in self.endpoint.segments if "{" not in part]
        return (
            self.operation == "record_usage"
            and {"usage_id", "quantity"} <= takes.inputs
            and not set(meanings(fixed[-1] if fixed else "")) - {"usage"}
        )

    def _shape(self, pattern: Pattern) -> float:
        endpoint, lists = self.endpoint, OPERATIONS[self.operation].lists
        if lists:
            points = 2.0 if endpoint.is_list else (0.0 if endpoint.lists else -4.0)
        else:
            points = -4.0 if endpoint.is_list else 0.0
        if endpoint.ends_in_parameter and not pattern.item:
            points -= 3.0
        points += 0.5 if endpoint.ends_in_parameter and pattern.item else 0.0
        if "customer" in OPERATIONS[self.operation].inputs and "{" not in endpoint.path:
            points -= 0.3
        is_of_operators = "operator" in {*endpoint.steps, *endpoint.tagged}
        return points - (0.5 if is_of_operators and self.operation not in _OPERATORS else 0.0)

    def _fields(self, pattern: Pattern) -> float:
        takes = self.taken
        points = sum(1.5 if name in takes.inputs else -2.5 for name in pattern.needs)
        if self.operation == "change_subscription" and not takes.inputs & {"plan", "quantity"}:
            points -= 2.0
        points -= 2.5 * list(takes.parameters.values()).count(None)
        points -= 0.7 * min(3, len(takes.body_left))
        told = {**self.given, **self.items}
        by_location = "location" in self.endpoint.reply_headers and self.endpoint.method == "POST"
        if pattern.shows:
            shown = any(name in told for name in pattern.shows)
            points += 1.5 if shown or by_location else -2.0
        return points


def _topic(pattern: Pattern, endpoint: Endpoint) -> float | None:
    """Give points for what the path is about, or None where nothing speaks of it."""
    steps = endpoint.steps
    things = [step for step in steps if step not in _ACTS or step in pattern.about]
    if things and things[-1] in pattern.about:
        points = 4.0 - 0.75 * pattern.about.index(things[-1])
    elif set(pattern.about) & set(steps) or (not steps and set(pattern.about) & endpoint.said):
        points = 1.0
    elif set(pattern.about) & (endpoint.said | endpoint.tagged):
        points = 0.5
    else:
        return None
    return points + (1.0 if set(pattern.about) & endpoint.said else 0.0)


def _action(pattern: Pattern, endpoint: Endpoint) -> float | None:
    """Give points for what is done there, or None where it is not what has to be done."""
    acts = [step for step in endpoint.steps if step in _ACTS]
    foreign = [act for act in acts if act not in pattern.verbs and act not in pattern.about]
    points = -4.0 * len(foreign)
    if pattern.verbs & set(acts):
        return points + 3.0
    if endpoint.method in pattern.does and not foreign:
        return points + 2.5
    if pattern.verbs & endpoint.said:
        return points + 1.5
    said = endpoint.said & _ACTS - set(pattern.about) - {"create", "change"}
    return None if pattern.must else points - 1.5 * len(said)


def _belongs(operation: str, endpoint: Endpoint) -> bool:
    """Say whether it is a control of tests exactly where the operation is one."""
    of_tests = "test" in endpoint.steps or "test" in endpoint.tagged
    if operation in CONTROLS:
        wiped = operation == "purge_customer" and "purge" in {*endpoint.steps, *endpoint.said}
        return of_tests or wiped or (operation == "advance_time" and "clock" in endpoint.said)
    return not of_tests


def assign(among: Sequence[Endpoint]) -> dict[str, Match]:
    """Give each operation the endpoint that does it, no endpoint to two operations."""
    scored = [
        match
        for operation in PATTERNS
        for match in (Match(operation, endpoint) for endpoint in among)
        if match.score >= FOUND
    ]
    scored.sort(key=lambda match: -match.score)
    chosen: dict[str, Match] = {}
    used: set[int] = set()
    for match in scored:
        if match.operation not in chosen and id(match.endpoint) not in used:
            chosen[match.operation] = match
            used.add(id(match.endpoint))
    settled = {name: _weighed(match, scored, used) for name, match in chosen.items()}
    return {name: settled[name] for name in OPERATIONS if name in settled}


def _weighed(match: Match, scored: Iterable[Match], used: set[int]) -> Match:
    """Say whether a choice is sure, and what else it could be."""
    rivals = [
        other.endpoint
        for other in scored
        if other.operation == match.operation
        and id(other.endpoint) not in used
        and other.score > match.score - _MARGIN
    ]
    is_sure = match.score >= SURE and not rivals
    return Match(match.operation, match.endpoint, tuple(rivals[:3]), is_sure)
