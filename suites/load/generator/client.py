"""What a scenario does one arrival with: operations of the target, or requests written out already.

There is a client for each slot. It never sends anything again: what was lost was lost, and under
load a repetition would hide it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.driving import complete, drive, ended
from harness.history import Record
from harness.session import Customer
from harness.target.wire import NoReply, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from harness.history import History
    from harness.naming import Names
    from harness.redact import Redactor
    from harness.target.protocol import Outcome, Role, Target
    from harness.target.wire import Call
    from suites.load.generator.posting import Connection
    from suites.load.measuring.recording import Recorder
    from suites.load.plan import Plan

_US = 1_000_000
_DONE = ("ok", "accepted")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the slots of one worker, of so many, share; no target where there is only an address."""

    plan: Plan
    target: Target | None
    history: History
    redactor: Redactor
    names: Names
    secrets: Mapping[str, str]
    recorder: Recorder
    workers: int = 1


class Client:
    """One slot's way to the target."""

    def __init__(
        self, around: Surroundings, connection: Connection, wait: Callable[[float], object]
    ) -> None:
        self.plan = around.plan
        self.data, self.options = around.plan.data, around.plan.options
        self.secrets, self.names = around.secrets, around.names
        self.workers = around.workers
        self.last_reply: Reply | NoReply | None = None
        self.connection = connection
        self._around = around
        self._recorder = around.recorder
        self._wait = wait
        self._intended: float | None = None
        self._reason: str | None = None
        self._answered = True

    def begin(self, intended: float) -> None:
        """Begin an arrival: its first request's latency counts from when it was due."""
        self._intended = intended
        self._reason = None
        self._answered = True

    def end(self) -> tuple[str | None, bool]:
        """End the arrival: why it is an error (None: it is none), and whether it was answered."""
        return self._reason, self._answered

    def fail(self, reason: str) -> None:
        """Have this arrival be an error; the first reason counts."""
        self._reason = self._reason or reason

    def count(self, name: str, times: int = 1) -> None:
        """Count something of the scenario's own."""
        self._recorder.counters[name] += times

    def wait(self, seconds: float) -> None:
        """Wait, while other slots go on."""
        self._wait(seconds)

    def customer(self, customer_id: str, provider_customer: str | None = None) -> Customer:
        """Give a customer that `prepare` made; its credential is a secret under its id."""
        return Customer(customer_id, self.secrets.get(customer_id), provider_customer)

    def post(
        self, request: bytes, kind: str, *, expect: Collection[int] = (200,)
    ) -> Reply | NoReply:
        """Send a request that is written out; any status but the expected ones is an error."""
        started = time.monotonic()
        reply = self.connection.exchange(request)
        bad = isinstance(reply, NoReply) or reply.status not in expect
        self._measure(kind, started, bad=bad)
        self.last_reply = reply
        if bad:
            self._explain(kind, reply)
        return reply

    def perform(
        self,
        operation: str,
        /,
        *,
        customer: Customer | None = None,
        kind: str | None = None,
        role: Role = "customer",
        expect: Collection[str] = _DONE,
        **inputs: Any,
    ) -> Outcome:
        """Perform an operation once and record it; an outcome not expected is an error.

        `expect` names kinds of outcome. `customer` gives id and credential, as in a session.
        """
        around = self._around
        if around.target is None:
            raise RuntimeError("a load without a profile has no operations")
        credential = complete(operation, inputs, customer, self.names, around.redactor)
        performance = around.target.perform(operation, role=role, credential=credential, **inputs)
        record = Record(
            id=around.history.next_id(),
            test=f"load/{self.plan.scenario}",
            operation=operation,
            role=role,
            customer=inputs.get("customer"),
            inputs=inputs,
            began_at=time.time(),
        )
        around.history.begin(record)
        kind = kind or operation
        started = time.monotonic()
        outcome, exchanges = drive(performance, self._send, self._wait)
        self._measure(kind, started, bad=outcome.kind not in expect)
        around.history.end(ended(record, outcome, exchanges, around.redactor))
        if outcome.kind not in expect:
            self.fail(f"{kind}: {_said(outcome, self.last_reply)}")
        return outcome

    def _send(self, call: Call) -> Reply | NoReply:
        reply = self.last_reply = self.connection.send(call)
        self._answered = self._answered and isinstance(reply, Reply)
        return reply

    def _measure(self, kind: str, started: float, *, bad: bool) -> None:
        ended = time.monotonic()
        intended = started if self._intended is None else self._intended
        self._intended = None
        track = self._recorder.kinds[kind]
        track.record(int((ended - intended) * _US), int((ended - started) * _US))
        track.errors += bad

    def _explain(self, kind: str, reply: Reply | NoReply) -> None:
        if isinstance(reply, NoReply):
            self._answered = False
            self.fail(f"{kind}: unknown ({reply.reason})")
        else:
            self.fail(f"{kind}: HTTP {reply.status}")


def _said(outcome: Outcome, reply: Reply | NoReply | None) -> str:
    """Say what came of it in words of which there are few, as they are counted."""
    if outcome.kind == "refused":
        return f"refused ({outcome.code})"
    if isinstance(reply, NoReply):
        return f"{outcome.kind} ({reply.reason})"
    return f"{outcome.kind} (HTTP {reply.status})" if reply else outcome.kind
