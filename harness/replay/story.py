"""What a test did, as data: operations in their order, free of one run's ids.

A value that an earlier step had answered is written as a `Ref` to it, and the run's own token
as `$RUN`, so that a story can be told again to any target that has its operations.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast, get_args

from harness.errors import HistoryError
from harness.operations import OPERATIONS
from harness.replay.noted import ADVANCE, FAULT, FAULT_ENDS
from harness.target.protocol import Role

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from harness.history import Record

RUN = "$RUN"
FORMAT = 1
PROVIDERS = frozenset({FAULT, FAULT_ENDS, ADVANCE})
_WRITTEN = "A run that finds a breach writes a story beside its report: replay-1.json."
_SHORTEST_ID = 6
_BYTES_MAX = 1_000_000


class Unplayable(Exception):
    """The story cannot be told: what a step needs was never answered, or is not on record."""


@dataclass(frozen=True, slots=True)
class Ref:
    """What step number `step` answered, at `path` in its outputs."""

    step: int
    path: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation, or what befell the payment provider (`PROVIDERS`).

    `customer` is the step that made its customer; `beside` says that it began before the one
    before it had ended.
    """

    operation: str
    role: Role
    customer: int | None
    inputs: Mapping[str, Any]
    beside: bool = False

    @property
    def needs(self) -> set[int]:
        """The steps without which this one cannot be taken."""
        found = {value.step for value in self.inputs.values() if isinstance(value, Ref)}
        return found | ({self.customer} if self.customer is not None else set())


@dataclass(frozen=True, slots=True)
class Story:
    """Steps that lead to a breach: the check that sees it, and what it said of the first time."""

    target: str
    check: str
    message: str
    steps: tuple[Step, ...]

    def without(self, dropped: Collection[int]) -> Story:
        """Give the story without these steps and all that cannot be taken without them."""
        gone = set(dropped)
        for number, step in enumerate(self.steps):  # what a step needs always comes before it
            if step.needs & gone:
                gone.add(number)
        left = [number for number in range(len(self.steps)) if number not in gone]
        places = {number: place for place, number in enumerate(left)}
        steps = [_moved(self.steps[number], places) for number in left]
        # The first of several at once may have gone: whoever comes after waits for nobody.
        alone = [place == 0 or left[place - 1] != left[place] - 1 for place in range(len(left))]
        return replace(
            self,
            steps=tuple(
                replace(step, beside=step.beside and not first)
                for step, first in zip(steps, alone, strict=True)
            ),
        )


def _moved(step: Step, places: Mapping[int, int]) -> Step:
    inputs = {
        name: replace(value, step=places[value.step]) if isinstance(value, Ref) else value
        for name, value in step.inputs.items()
    }
    made = places[step.customer] if step.customer is not None else None
    return replace(step, inputs=inputs, customer=made)


def story_of(
    records: Sequence[Record], run_id: str, *, target: str, check: str, message: str
) -> Story:
    """Tell a test's records as a story. Raises `Unplayable` where they do not say enough.

    Reading is left out, but where a later step takes up what was read.
    """
    ordered = sorted(
        # The target follows the provider's time by itself when a story is told.
        (record for record in records if record.operation != "advance_time"),
        key=lambda record: record.began_at,
    )
    answers: dict[str, Ref] = {}
    makers: dict[str, int] = {}
    steps: list[Step] = []
    for number, record in enumerate(ordered):
        inputs = {
            name: _told(value, answers, run_id)
            for name, value in record.inputs.items()
            if name != "customer"
        }
        maker = makers.get(record.customer or "")
        if record.operation != "create_customer" and record.customer and maker is None:
            raise Unplayable(f"the customer of {record.operation} was made by nobody here")
        beside = bool(number) and record.began_at < (ordered[number - 1].ended_at or 0)
        own = maker if record.operation != "create_customer" else None
        steps.append(Step(record.operation, cast("Role", record.role), own, inputs, beside))
        for path, value in _leaves(dict(record.outcome.outputs)):
            answers.setdefault(value, Ref(number, path))
        if record.operation == "create_customer" and record.customer:
            makers.setdefault(record.customer, number)
    return _acting(Story(target, check, message, tuple(steps)))


def _acting(story: Story) -> Story:
    needed = {number for step in story.steps for number in step.needs}
    idle = {
        number
        for number, step in enumerate(story.steps)
        if step.operation not in PROVIDERS
        and OPERATIONS[step.operation].reads
        and number not in needed
    }
    return story.without(idle)


def _told(value: Any, answers: Mapping[str, Ref], run_id: str) -> Any:
    if isinstance(value, str):
        if value in answers:
            return answers[value]
        return value.replace(run_id, RUN)
    if isinstance(value, (bytes, dict, list, tuple)):
        # Written down they are cut, redacted or both: a webhook's body and its signature.
        if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
            return value
        raise Unplayable("an input is on record only without its secrets")
    return value


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Give every text of an answer that is long enough for an id, with its place."""
    if isinstance(value, str) and len(value) >= _SHORTEST_ID:
        yield path, value
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from _leaves(entry, (*path, name))
    elif isinstance(value, (list, tuple)):
        for index, entry in enumerate(value):
            yield from _leaves(entry, (*path, index))


def to_json(story: Story) -> str:
    """Write a story as a file: one step a line, so that a person can edit it."""
    steps = ",\n".join(f"    {json.dumps(_step_data(step))}" for step in story.steps)
    head = {
        "format": FORMAT,
        "target": story.target,
        "check": story.check,
        "message": story.message,
    }
    text = json.dumps(head, indent=2, ensure_ascii=False)
    return f'{text[:-2]},\n  "steps": [\n{steps}\n  ]\n}}\n'


def _step_data(step: Step) -> dict[str, Any]:
    data: dict[str, Any] = {"operation": step.operation}
    if step.role != "customer":
        data["role"] = step.role
    if step.customer is not None:
        data["customer"] = step.customer
    if step.beside:
        data["beside"] = True
    return data | {
        "inputs": {
            name: {"$step": value.step, "$path": list(value.path)}
            if isinstance(value, Ref)
            else value
            for name, value in step.inputs.items()
        }
    }


def read_story(path: Path) -> Story:
    """Read a story from its file. Raises `HistoryError` where it is none."""
    try:
        if path.stat().st_size > _BYTES_MAX:
            raise HistoryError(f"{path} is too large for a story")
        data = json.loads(path.read_text("utf-8"))
        if data["format"] != FORMAT:
            raise HistoryError(f"{path} is a story of format {data['format']}, not {FORMAT}")
        steps = tuple(_step(number, entry) for number, entry in enumerate(data["steps"]))
        return Story(str(data["target"]), str(data["check"]), str(data["message"]), steps)
    except OSError as error:
        raise HistoryError(f"{path} cannot be read: {error.strerror}", hint=_WRITTEN) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HistoryError(f"{path} is no story: {error!r}", hint=_WRITTEN) from None


def _step(number: int, data: Mapping[str, Any]) -> Step:
    if data["operation"] not in {*OPERATIONS, *PROVIDERS}:
        raise ValueError(f"step {number}: no operation is called {data['operation']!r}")
    role = data.get("role", "customer")
    if role not in get_args(Role):
        raise ValueError(f"step {number}: nobody is called {role!r}")
    step = Step(
        data["operation"],
        role,
        data.get("customer"),
        {name: _input(value) for name, value in data["inputs"].items()},
        bool(data.get("beside")),
    )
    if any(not 0 <= need < number for need in step.needs):
        raise ValueError(f"step {number} takes up what no step before it has answered")
    return step


def _input(value: Any) -> Any:
    if isinstance(value, dict):
        return Ref(int(value["$step"]), tuple(value["$path"]))
    return value
