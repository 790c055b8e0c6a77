"""Tells a story to a target, and makes it as short as it can be while it still ends in a breach."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from harness.naming import new_run_id
from harness.provider import SimulatorProvider
from harness.replay.noted import ADVANCE, FAULT, NotedProvider
from harness.replay.story import PROVIDERS, RUN, Ref, Story, Unplayable
from harness.target.protocol import Outcome
from harness.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.provider import Provider
    from harness.replay.story import Step
    from harness.session import Customer, Session


def play(story: Story, session: Session, provider: Provider | None) -> str:
    """Take every step, those beside each other at once; give the token that made its names new.

    Raises `Unplayable`, and `Unknown` where a fault of the provider's struck nothing.
    """
    token = new_run_id()
    with contextlib.ExitStack() as undo:
        _Teller(story, session, provider, token, undo).tell()
    return token


def _groups(story: Story) -> Iterator[list[int]]:
    group: list[int] = []
    for number, step in enumerate(story.steps):
        if group and not step.beside:
            yield group
            group = []
        group.append(number)
    if group:
        yield group


class _Teller:
    """One telling of a story. `undo` ends what faults the story leaves standing."""

    def __init__(
        self,
        story: Story,
        session: Session,
        provider: Provider | None,
        token: str,
        undo: contextlib.ExitStack,
    ) -> None:
        self._story = story
        self._session = session
        self._provider = provider
        self._token = token
        self._undo = undo
        self._answers: list[Outcome] = []
        self._customers: dict[int, Customer] = {}
        self._faults: dict[str, contextlib.ExitStack] = {}

    def tell(self) -> None:
        """Take every step."""
        for group in _groups(self._story):
            acts = [self._act(self._story.steps[number]) for number in group]
            self._answers += self._session.together(acts) if len(acts) > 1 else [acts[0]()]
            for number in group:
                made = self._answers[number].get("customer")
                if self._story.steps[number].operation == "create_customer" and made:
                    self._customers[number] = self._customer(made)

    def _customer(self, known: str) -> Customer:
        return next(found for found in self._session.customers if found.id == known)

    def _act(self, step: Step) -> Callable[[], Outcome]:
        inputs = {n: _given(v, self._answers, self._token) for n, v in step.inputs.items()}
        if step.customer is not None and step.customer not in self._customers:
            raise Unplayable(f"{step.operation} has no customer: none was made")
        customer = self._customers[step.customer] if step.customer is not None else None
        if step.operation in PROVIDERS:
            return lambda: self._befall(step.operation, customer, inputs)
        return lambda: self._session.perform(
            step.operation, customer=customer, role=step.role, **inputs
        )

    def _befall(self, what: str, customer: Customer | None, inputs: dict[str, Any]) -> Outcome:
        """Strike the payment provider, let go of it, or move its time."""
        if not isinstance(self._provider, SimulatorProvider):
            raise Unplayable("only the simulator can be told to fail, or to move time")
        provider = NotedProvider(self._provider, self._session)
        if what == ADVANCE:
            timeline = Timeline(self._session, provider)
            timeline.advance_to(timeline.now() + inputs["by_s"])
            return Outcome("ok")
        if what == FAULT:
            struck = str(customer.provider_customer) if customer else ""
            fault = self._undo.enter_context(contextlib.ExitStack())
            fault.enter_context(provider.fault(**inputs, customer=struck))
            begun = self._session.records[-1].outcome
            self._faults[begun["fault"]] = fault
            return begun
        self._faults[inputs["fault"]].close()
        return Outcome("ok")


def _given(value: Any, answers: list[Outcome], token: str) -> Any:
    if isinstance(value, Ref):
        try:
            found: Any = answers[value.step].outputs
            for part in value.path:
                found = found[part]
        except (LookupError, TypeError):
            told = ".".join(map(str, value.path))
            raise Unplayable(f"step {value.step} answered no {told} this time") from None
        return found
    return value.replace(RUN, token) if isinstance(value, str) else value


def shrunk(story: Story, fails: Callable[[Story], bool], out_of_time: Callable[[], bool]) -> Story:
    """Give the shortest story found that still fails; `story` itself is known to fail.

    Whole chunks are left out first, then single steps, until none can be (delta debugging; Zeller
    and Hildebrandt, 2002). Time may end it early: what it gives has always been seen to fail.
    """
    size = max(1, len(story.steps) // 2)
    while True:
        shorter = _shorter(story, size, fails, out_of_time)
        if out_of_time():
            return shorter
        if shorter.steps == story.steps and size == 1:
            return shorter
        size = max(1, size // 2) if shorter.steps == story.steps else min(size, _half(shorter))
        story = shorter


def _half(story: Story) -> int:
    return max(1, len(story.steps) // 2)


def _shorter(
    story: Story, size: int, fails: Callable[[Story], bool], out_of_time: Callable[[], bool]
) -> Story:
    """Go through the story once, from its end, leaving out so many steps at a time where it can."""
    end = len(story.steps)
    while end > 0 and not out_of_time():
        smaller = story.without(range(max(0, end - size), end))
        if smaller.steps and fails(smaller):
            story = smaller
        end = min(end - size, len(story.steps))
    return story
