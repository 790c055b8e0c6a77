"""Brings a target up where its profile asks for it, and makes sure that it can be worked with."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.errors import TargetError, TargetUnreachable
from harness.guard import refuse_production
from harness.stack.companion import companion
from harness.stack.stack import Stack, StackOptions
from harness.target.wire import Call, NoReply
from harness.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from harness.ground import Ground
    from harness.stack.process import DeadChild
    from harness.target.load import TargetSource

_WRONG_KEY = frozenset({"401", "403"})


def _nothing_dead() -> list[DeadChild]:
    return []


@dataclass(frozen=True, slots=True)
class Running:
    """A target that runs: the variables for its profile, and which of its processes died."""

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    dead: Callable[[], list[DeadChild]] = _nothing_dead


@contextlib.contextmanager
def running(source: TargetSource, seed: int) -> Iterator[Running]:
    """Start what the profile says is to be started, and stop it afterwards.

    Refuses production before anything is sent. Raises `StackError` where something does not start
    and `TargetUnreachable` where nothing answers in the end.
    """
    profile = source.file.profile
    refuse_production(profile, os.environ)
    with contextlib.ExitStack() as undo:
        if profile.target.stack:
            stack = undo.enter_context(Stack(StackOptions(seed=seed)))
            up = Running(stack.environment(), stack.dead)
        elif profile.target.start:
            beside = undo.enter_context(companion(source.file, dict(os.environ), seed))
            up = Running(beside.variables, beside.dead)
        else:
            up = Running()
        resolved, _ = source.file.resolve({**os.environ, **up.variables})
        refuse_production(resolved, os.environ)
        _answers(resolved.target.base_url, resolved.target.timeout_s)
        yield up


def _answers(base_url: str, timeout_s: float) -> None:
    """Raise `TargetUnreachable` unless something at this address speaks HTTP."""
    with Transport(base_url, timeout_s) as transport:
        reply = transport.send(Call("GET", "/"))
    if not isinstance(reply, NoReply):
        return
    what = {
        "unreachable": "nothing answers",
        "timeout": f"no answer came within {timeout_s:g} s",
        "not_http": "what answers does not speak HTTP",
    }.get(reply.reason, "the connection was closed without an answer")
    raise TargetUnreachable(
        f"{what} at {base_url} ({reply.detail})",
        hint="Start the target, or mend `base_url` in its profile.",
    )


def first_customer(ground: Ground) -> None:
    """Make one customer before any suite runs, so that a mistake is told once and plainly.

    Raises `TargetError` where the target turns the harness's key away or is not understood; any
    other refusal is for the suites to judge. A target that cannot make customers is let through.
    """
    if "create_customer" not in ground.target.operations:
        return
    session = ground.session("preflight")
    outcome = session.perform(
        "create_customer", email=session.names.email(), name="Preflight", source="direct"
    )
    exchanges = session.records[-1].exchanges
    status = str(getattr(exchanges[-1].reply, "status", "")) if exchanges else ""
    base_url = ground.target.profile.target.base_url
    if outcome.kind == "refused" and status in _WRONG_KEY:
        raise TargetError(
            f"{base_url} turns the harness away: create_customer was {outcome}, HTTP {status}",
            hint="Check the keys that [auth] names, in the environment of this command.",
        )
    if outcome.kind == "unknown":
        raise TargetError(
            f"the first operation on {base_url} is not understood: create_customer was {outcome}",
            hint="Check base_url and [operations.create_customer] in the profile.",
        )


def died(up: Running) -> str | None:
    """Say which processes of the stack ended in the middle of a run, if any did."""
    dead = up.dead()
    return "; ".join(f"{child.name} ended with status {child.status}" for child in dead) or None
