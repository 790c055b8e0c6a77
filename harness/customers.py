"""Leads customers into the ten states of `fixtures/customers.toml`, and reads them back."""

from __future__ import annotations

import time
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import jmespath
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from harness.errors import FixtureError, NotMapped
from harness.formula import ROLES, FormulaError, facts_of, names_in, value_of
from harness.operations import OPERATIONS
from harness.target.load import fixtures_folder
from harness.target.profile import Expression, PlanRole, Section
from harness.target.template import fill
from harness.timeline import HOUR_S

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from harness.session import Customer, Session
    from harness.target.profile import Catalog
    from harness.target.protocol import Outcome, Role, Target

# A renewal is drafted, and finalised and paid an hour later.
_PAID_AFTER_S = 2 * HOUR_S
_UNITS_DEADLINE_S = 10.0
_POLL_S = 0.1


def _formula(text: str) -> str:
    names_in(text)
    return text


def _operation(name: str) -> str:
    if name not in OPERATIONS:
        raise ValueError(f"an operation, not {name!r}")
    return name


Formula = Annotated[str, AfterValidator(_formula)]
Name = Annotated[str, AfterValidator(_operation)]
Standing = Literal["none", "active", "past_due", "ending", "ended"]


class Step(Section):
    """One operation on the way to a state; the file's own words explain each key."""

    do: Name
    times: Formula = "1"
    inputs: dict[str, Any] = Field(default={}, alias="with")
    keep: dict[str, Expression] = Field(default={})
    units: Formula | None = None
    given: list[Name] = Field(default=[])
    lacking: list[Name] = Field(default=[])
    past: str | None = None


class State(Section):
    """A state: who is in it, what is shown of it, and the steps that lead there, in order.

    `plan` is the part that the customer's plan plays. `units` is a formula over the catalogue.
    """

    key: str
    name: str
    email: str
    plan: PlanRole
    status: Literal["active", "past_due"] = "active"
    subscription: Standing = "none"
    billing: Literal["none", "good", "declines"] = "none"
    units: Formula
    steps: list[Step]
    after: str | None = None

    def units_due(self, catalog: Catalog) -> int:
        """Give the balance that is due in this state, in units."""
        return value_of(self.units, facts_of(catalog))

    @property
    def needs_time(self) -> bool:
        """Whether a clock has to be moved to get there."""
        return any(step.do == "advance_time" for step in self.steps)


@dataclass(frozen=True, slots=True)
class Reached:
    """A customer who was led into a state; `subscription` is the target's id, if one is shown."""

    state: State
    customer: Customer
    subscription: str | None = None


class Time(Protocol):
    """Whatever can take the time of those who need it forward: everybody's, or only theirs."""

    def advance_to(self, moment: int) -> int:
        """Move on to a moment, in Unix seconds; give the time that it is then."""
        ...


class Reception(Protocol):
    """Whoever decides how customers sign up, and is told of each as soon as it is known."""

    def inputs(self, state: State) -> Mapping[str, Any]:
        """Give inputs of `create_customer` for a state, beside or instead of the file's own."""
        ...

    def known(self, state: State, customer: Customer, subscription: str | None) -> None:
        """Take note of a customer on the way to a state, and of its subscription once there is."""
        ...


class AtRandom:
    """Customers with addresses never used before, of whom nobody takes note."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def inputs(self, state: State) -> Mapping[str, Any]:
        """Give a new address that tells the state."""
        return {"email": self._session.names.email(state.email)}

    def known(self, state: State, customer: Customer, subscription: str | None) -> None:
        """Take no note."""


def load_states(path: Path | None = None) -> dict[str, State]:
    """Read the states, by key, each with all its steps. Raises `FixtureError` with all mistakes."""
    file = path or fixtures_folder() / "customers.toml"
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        told: dict[str, dict[str, Any]] = data["states"]
        inputs: dict[str, dict[str, Any]] = data["inputs"]
        whole = {
            key: {**entry, "key": key, "steps": _steps(key, told)} for key, entry in told.items()
        }
        for step in (step for entry in whole.values() for step in entry["steps"]):
            step["with"] = {**inputs.get(step.get("do", ""), {}), **step.get("with", {})}
        return TypeAdapter(dict[str, State]).validate_python(whole)
    except (OSError, KeyError, RecursionError, tomllib.TOMLDecodeError) as error:
        raise FixtureError(f"{file}: {type(error).__name__}: {error}") from None
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise FixtureError("\n".join([f"{file} has mistakes:", *lines])) from None


def why_not(state: State, target: Target, *, can_move_time: bool) -> str | None:
    """Say why a target cannot have a customer in this state, or None where it can."""
    if state.needs_time and not can_move_time:
        return f"{state.key} is only reached by moving time"
    steps = _taken(state, target)
    return _unmapped(steps, target) or _unpriced(state, steps, target.profile.catalog)


def reach(
    state: State,
    session: Session,
    timeline: Time | None = None,
    *,
    reception: Reception | None = None,
) -> Reached:
    """Make a customer and lead it into a state; `reception` signs it up, else at a new address.

    Raises `NotMapped` where the target cannot have it, `AssertionError` where a step is refused and
    `Unknown` where it may be. Use `differences` to see that the state is what it should be.
    """
    return reach_all([state], session, timeline, reception=reception)[0]


def reach_all(
    states: Sequence[State],
    session: Session,
    timeline: Time | None = None,
    *,
    reception: Reception | None = None,
) -> list[Reached]:
    """Do it for several, moving time for all of them at once; a state may be there several times.

    Those that need time go first, so that no period of the others ends meanwhile.
    """
    for state in states:
        if reason := why_not(state, session.target, can_move_time=timeline is not None):
            raise NotMapped(reason)
    desk = reception or AtRandom(session)
    walks = {place: _Walk(state, session, desk).take() for place, state in enumerate(states)}
    early = {place for place, state in enumerate(states) if state.needs_time}
    found: dict[int, Reached] = {}
    while early:
        moments = [moment for place in early if (moment := _further(walks, place, found))]
        early -= found.keys()
        if moments and timeline is not None:
            timeline.advance_to(max(moments))
    for place in walks.keys() - found.keys():
        _further(walks, place, found)
    return [found[place] for place in range(len(states))]


def differences(
    reached: Reached,
    session: Session,
    *,
    deadline_s: float | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Read the customer back, and say what is not as its state has it; nothing, if all is.

    What a webhook or a background job brings is waited for, as long as the profile says unless
    `deadline_s` does. A customer whose credential is not known is read as the operator.
    """
    settle_s = session.target.profile.settle_deadline_s
    ends_at = time.monotonic() + (settle_s if deadline_s is None else deadline_s)
    while (found := list(_differences(reached, session))) and time.monotonic() < ends_at:
        wait(_POLL_S)
    return found


def _steps(key: str, told: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give a state's steps after those of the state that it begins from."""
    entry = told[key]
    before = _steps(entry["after"], told) if "after" in entry else []
    return [*before, *(dict(step) for step in entry["steps"])]


def _taken(state: State, target: Target) -> list[Step]:
    """Give the steps that are for this target."""
    can = target.operations
    return [
        step
        for step in state.steps
        if can.issuperset(step.given) and not (step.lacking and can.intersection(step.lacking))
    ]


def _unmapped(steps: Sequence[Step], target: Target) -> str | None:
    """Say which operations the steps need that the target lacks."""
    needed = ["get_balance", *(step.do for step in steps)]
    if any(step.past for step in steps):
        needed.append("get_subscription")
    if lacks := sorted(set(needed) - target.operations):
        return f"the target does not map {', '.join(lacks)}"
    balance = target.profile.operations.get("get_balance")
    if balance and "units" not in balance.reply:
        return "the target keeps no units: its get_balance shows none"
    return None


def _unpriced(state: State, steps: Sequence[Step], catalog: Catalog) -> str | None:
    """Say what of the state's plan and formulas the catalogue does not have."""
    if catalog.plan(state.plan) is None:
        return f"the catalogue has no plan that plays {state.plan}"
    try:
        for text in [state.units, *(step.times for step in steps), *_awaited(steps)]:
            value_of(text, facts_of(catalog))
    except FormulaError as error:
        return str(error)
    return None


def _awaited(steps: Sequence[Step]) -> Iterator[str]:
    return (step.units for step in steps if step.units is not None)


def _further(
    walks: Mapping[int, Generator[int, None, Reached]], place: int, found: dict[int, Reached]
) -> int | None:
    """Take one customer on to its next wait, and give the moment; or note that it has arrived."""
    try:
        return next(walks[place])
    except StopIteration as end:
        found[place] = end.value
        return None


@dataclass
class _Walk:
    """One customer's way into a state; it yields each moment that time has to be moved to."""

    state: State
    session: Session
    reception: Reception
    kept: dict[str, Any] = field(default_factory=dict)
    customer: Customer | None = None

    def take(self) -> Generator[int, None, Reached]:
        facts = facts_of(self.session.target.profile.catalog)
        for step in _taken(self.state, self.session.target):
            if step.do == "advance_time":
                yield self._moment(step) + _PAID_AFTER_S
                continue
            for _ in range(value_of(step.times, facts)):
                self._do(step)
            if step.units is not None:
                self._await_units(value_of(step.units, facts))
        assert self.customer is not None  # noqa: S101 - every state begins by making one
        return Reached(self.state, self.customer, self.kept.get("subscription"))

    def _do(self, step: Step) -> None:
        if step.do == "create_customer":
            self._sign_up(step)
            return
        outcome = self._perform(step.do, step.inputs)
        for name, source in step.keep.items():
            self.kept[name] = jmespath.search(source, dict(outcome.outputs))
        if "subscription" in step.keep and self.customer is not None:
            self.reception.known(self.state, self.customer, self.kept["subscription"])

    def _sign_up(self, step: Step) -> None:
        told = dict(self.reception.inputs(self.state))
        outcome = self._perform(step.do, {**step.inputs, **told}, told)
        # A request told again is answered with the customer of the first.
        mine = [each for each in self.session.customers if each.id == outcome["customer"]]
        self.customer = mine[-1]
        self.reception.known(self.state, self.customer, None)

    def _perform(
        self, operation: str, inputs: Mapping[str, Any], told: Mapping[str, Any] | None = None
    ) -> Outcome:
        known = {**self.kept, **self._plans(), "name": self.state.name, **(told or {})}
        # Made only where it is asked for: names are drawn in order.
        if "{new}" in inputs.values():
            known["new"] = self.session.names.new("usage")
        given = fill(dict(inputs), known) or {}
        return self.session.ok(operation, customer=self.customer, **given)

    def _plans(self) -> dict[str, str]:
        catalog = self.session.target.profile.catalog
        return {role: plan[0] for role in ROLES if (plan := catalog.plan(role))}

    def _moment(self, step: Step) -> int:
        outcome = self._perform("get_subscription", {"subscription": "{subscription}"})
        moment = outcome.get(step.past or "")
        if not isinstance(moment, int):
            raise NotMapped(f"get_subscription shows no {step.past}")
        return moment

    def _await_units(self, due: int) -> None:
        self.session.until(
            lambda balance: balance.get("units") == due,
            "get_balance",
            customer=self.customer,
            deadline_s=_UNITS_DEADLINE_S,
        )


def _differences(reached: Reached, session: Session) -> Iterator[str]:
    state, catalog = reached.state, session.target.profile.catalog
    found = catalog.plan(state.plan)
    due: dict[str, dict[str, Any]] = {
        "get_customer": {"plan": found[0] if found else None, "status": state.status},
        "get_balance": {"units": state.units_due(catalog)},
    }
    for operation, outputs in due.items():
        told = _told(session, operation, reached)
        for output, value in outputs.items():
            if output in told and told[output] != value:
                yield f"{output} is {told[output]!r}, where {value!r} is due"
    if state.subscription != "none":
        yield from _subscription_differences(state, _told(session, "get_subscription", reached))


def _subscription_differences(state: State, told: Mapping[str, Any]) -> Iterator[str]:
    if "status" in told:
        status = told["status"] if told["status"] in {"active", "past_due"} else "ended"
        due = "active" if state.subscription == "ending" else state.subscription
        if status != due:
            yield f"the subscription is {told['status']!r}, where {due} is due"
    # One that has ended may say when that was; one that is alive names an end only if it has one.
    alive = state.subscription != "ended" and "cancel_at" in told
    if alive and bool(told["cancel_at"]) != (state.subscription == "ending"):
        yield f"the subscription's end is told as {told['cancel_at']!r}"


def role_for(session: Session, operation: str, customer: Customer) -> Role:
    """Say as whom something is done: what a customer does himself, if his credential is known."""
    mapping = session.target.profile.operations.get(operation)
    is_own = mapping is None or mapping.role in {None, "customer"}
    return "operator" if is_own and customer.credential is None else "customer"


def _told(session: Session, operation: str, reached: Reached) -> dict[str, Any]:
    """Read what a target shows of the outputs that it maps."""
    if operation not in session.target.operations:
        return {}
    given = {"subscription": reached.subscription} if operation == "get_subscription" else {}
    role = role_for(session, operation, reached.customer)
    outcome = session.ok(operation, customer=reached.customer, role=role, **given)
    mapping = session.target.profile.operations.get(operation)
    shown = mapping.reply if mapping else outcome.outputs
    return {output: outcome.get(output) for output in shown}
