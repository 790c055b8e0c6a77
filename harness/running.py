"""Brings a target up where its profile asks for it, and makes sure that it can be worked with."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.errors import TargetError, TargetUnreachable
from harness.guard import Aimed, refuse_production
from harness.stack.companion import companion
from harness.stack.stack import Stack, StackOptions
from harness.target.wire import Call, NoReply
from harness.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from harness.ground import Ground
    from harness.session import Session
    from harness.stack.process import DeadChild
    from harness.target.load import TargetSource
    from harness.target.profile import Profile
    from harness.target.protocol import Outcome

_WRONG_KEY = frozenset({401, 403})
_OWN_READS = ("get_customer", "get_balance", "list_ledger", "list_payments")


def _nothing_dead() -> list[DeadChild]:
    return []


@dataclass(frozen=True, slots=True)
class Running:
    """A target that runs: the variables for its profile, and which of its processes died."""

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    dead: Callable[[], list[DeadChild]] = _nothing_dead


@dataclass(frozen=True, slots=True)
class StartOptions:
    """How a target is to be started.

    `database`, `defects` and `processes` are the reference's (`StackOptions`).

    `command` starts the target instead of its profile's own. `environment` adds to the reference's.
    `production_host` is production that may be read, and that alone: whoever says so only reads.
    """

    database: str = "sqlite"
    defects: tuple[str, ...] = ()
    command: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    production_host: str | None = None
    processes: int = 1


_AS_IT_IS = StartOptions()


@contextlib.contextmanager
def running(source: TargetSource, seed: int, how: StartOptions = _AS_IT_IS) -> Iterator[Running]:
    """Start what the profile says is to be started, and stop it afterwards.

    Refuses production before anything is sent. Raises `StackError` where something does not start,
    `TargetUnreachable` where nothing answers in the end, and `TargetError` where a defect is asked
    of a target that has none.
    """
    file = source.file.started_by(how.command) if how.command else source.file
    profile = file.profile
    if how.production_host is None:
        refuse_production(Aimed(profile), os.environ)
    elif profile.target.stack or profile.target.start:
        raise TargetError(
            f"{profile.target.name} is started here, and is no production",
            hint="Leave --i-know-this-is-production out.",
        )
    if how.defects and not profile.target.stack:
        raise TargetError(
            f"{profile.target.name} makes no mistakes on purpose: only the reference has defects",
            hint="Leave --defect out, or break your own target by gauntlet --target-command.",
        )
    if how.processes > 1 and not profile.target.stack:
        raise TargetError(
            f"{profile.target.name} has as many processes as it has",
            hint="Leave --target-processes out: only the reference is started in several.",
        )
    with contextlib.ExitStack() as undo:
        if profile.target.stack:
            options = StackOptions(
                seed=seed,
                database=how.database,
                workers=how.processes,
                defects=how.defects,
                billing_env=how.environment,
                events=asked_events(profile),
            )
            stack = undo.enter_context(Stack(options))
            up = Running(stack.environment(), stack.dead)
        elif profile.target.start:
            beside = undo.enter_context(companion(file, dict(os.environ), seed))
            up = Running(beside.variables, beside.dead)
        else:
            up = Running()
        environment = {**os.environ, **up.variables}
        resolved, _ = file.resolve(environment)
        aimed = Aimed(resolved, allowed_host=how.production_host)
        refuse_production(aimed, environment)
        reach(resolved)
        refuse_production(aimed, environment, ask=True)
        yield up


def asked_events(profile: Profile) -> tuple[str, ...]:
    """Give the types of event that the target's endpoint asks Stripe for; `*` for all.

    What a service has no use for costs it time all the same: under load, most of its latency.
    """
    return tuple(profile.webhooks.events) if profile.webhooks else ("*",)


def reach(profile: Profile) -> None:
    """Raise `TargetUnreachable` unless something at the target's address speaks HTTP."""
    base_url, timeout_s = profile.target.base_url, profile.target.timeout_s
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

    Raises `TargetError` where the target turns the harness's keys away or is not understood; any
    other refusal is for the suites to judge. A target that cannot make customers is let through.
    """
    mapped = ground.target.operations
    if "create_customer" not in mapped:
        return
    session = ground.session("preflight")
    email = session.names.email()
    outcome = session.perform("create_customer", email=email, name="Preflight", source="direct")
    _let_in(session, "create_customer", outcome)
    if outcome.kind == "unknown":
        base_url = ground.target.profile.target.base_url
        raise TargetError(
            f"the first operation on {base_url} is not understood: create_customer was {outcome}",
            hint="Check base_url and [operations.create_customer] in the profile.",
        )
    own = next((name for name in _OWN_READS if name in mapped), None)
    if own and session.customers:
        _let_in(session, own, session.perform(own, customer=session.customers[0]))


def _let_in(session: Session, operation: str, outcome: Outcome) -> None:
    """Raise `TargetError` where the target did not accept who asked."""
    exchanges = session.records[-1].exchanges
    status = getattr(exchanges[-1].reply, "status", None) if exchanges else None
    if outcome.kind != "refused" or status not in _WRONG_KEY:
        return
    profile = session.target.profile
    mapping = profile.operations.get(operation)
    section = profile.auth_role(mapping.role if mapping else None, "customer")
    raise TargetError(
        f"{profile.target.base_url} turns the harness away:"
        f" {operation} was {outcome}, HTTP {status}",
        hint=f"Check [auth.{section}] in the profile, and the variables of the environment that"
        " it names.",
    )


def died(up: Running) -> str | None:
    """Say which processes of the stack ended in the middle of a run, if any did."""
    dead = up.dead()
    return "; ".join(f"{child.name} ended with status {child.status}" for child in dead) or None
