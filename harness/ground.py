"""What the tests of one process stand on: a target that runs, a history, a seed."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from harness.errors import ProductionRefused
from harness.history import History
from harness.judge import Judge
from harness.naming import Names
from harness.provider import Provider, provider_of
from harness.redact import Redactor
from harness.session import Session
from harness.target.load import find_target
from harness.target.wire import Call, NoReply, Reply
from harness.timeline import end_subscriptions
from harness.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.session import Customer
    from harness.target.protocol import Target

SILENT_MAX = 5
SILENT_S = 2.0
PROBE_S = 2.0
CAUGHT_DEADLINE_S = 2.0
_REFUSED_FROM = 400
_SAFE_METHODS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Plan:
    """What every process of a run must agree on; plain data, handed to workers in memory.

    `variables` are those of a stack that the controlling process started: they hold its keys, so
    a plan is never written to disk. `attempt` sets a second try's history apart from the first's.
    `shared` says that other processes use the same target meanwhile, `only_reads` that it is
    production, to which nothing is sent that may write.
    """

    spec: str
    seed: int
    run_id: str
    folder: str
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    attempt: str = "main"
    shared: bool = False
    only_reads: bool = False

    def to_data(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self)


class Ground:
    """One process's hold on the target. `worker` names the process in its history.

    A `redactor` that is given learns this target's secrets, too.

    Once a breach has outlasted the whole deadline (`caught`), later judgements wait less: the
    verdict stands, and a broken target should not make a run slow.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        worker: str = "main",
        file: TextIO | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        environment = {**os.environ, **plan.variables}
        source = find_target(plan.spec)
        profile, secrets = source.file.resolve(environment)
        self.plan = plan
        self.redactor = redactor or Redactor()
        for secret in secrets:
            self.redactor.add(secret)
        self.target: Target = source.build(profile)
        # Of production nothing is judged, and its live key is none to read a journal by.
        self.provider: Provider | None = (
            None if plan.only_reads else provider_of(profile.payment_provider)
        )
        self.webhook_secret = (
            environment.get(profile.webhooks.secret_env) if profile.webhooks else None
        )
        previous_env = profile.webhooks.previous_secret_env if profile.webhooks else None
        self.previous_webhook_secret = environment.get(previous_env) if previous_env else None
        database_url_env = profile.evidence.database_url_env
        self.database_url = environment.get(database_url_env) if database_url_env else None
        facts = {"seed": plan.seed, "run_id": plan.run_id, "target": profile.target.name}
        self.history = History(file, self.redactor, worker=worker, facts=facts)
        self._file = file
        self._transport = Transport(profile.target.base_url, profile.target.timeout_s)
        self._silent = 0
        self._answered_at = time.monotonic()
        self._probed_at = 0.0
        self.last_accepted = "none"
        self.own_customer: Customer | None = None
        self.caught = False

    @classmethod
    def open(cls, plan: Plan, worker: str) -> Ground:
        """Stand on the target, with a history of this worker's own in the plan's folder."""
        path = Path(plan.folder) / f"history-{worker}.jsonl"
        return cls(plan, worker=worker, file=path.open("w", encoding="utf-8"))

    @property
    def silent(self) -> bool:
        """Whether the target has stopped answering: so many calls in a row, for so long."""
        return self._silent >= SILENT_MAX and time.monotonic() - self._answered_at > SILENT_S

    def answers(self) -> bool:
        """Whether it does, or does again: a silent one is asked now and then."""
        if self.silent:
            self._send(self._transport, Call("GET", "/"))
        return not self.silent

    def session(self, test: str) -> Session:
        """Give a test its session."""
        return self._session(test, self.history)

    @contextlib.contextmanager
    def visit(self, test: str, address: str) -> Iterator[Session]:
        """Give a test a session that comes from another address of this machine's."""
        target = self.target.profile.target
        with Transport(target.base_url, target.timeout_s, source_address=address) as transport:
            session = self._session(test, self.history, transport)
            session.patient = False  # how a stranger is held off is what such a test is about
            yield session
            end_subscriptions(session)

    def aside(self, test: str) -> Session:
        """Give a session whose doings are no part of the run's history."""
        return self._session(test, History(None, self.redactor))

    def judge(self) -> Judge:
        """Give a judge; what it reads is no part of the history."""
        reading = self.aside("judge")
        reading.patient = False  # a key that spent its allowance is not the only one that reads
        deadline_s = self.target.profile.settle_deadline_s
        if self.caught:
            deadline_s = min(deadline_s, CAUGHT_DEADLINE_S)
        return Judge(reading, self.provider, deadline_s)

    def close(self) -> None:
        """Close connections and the history."""
        self._transport.close()
        if self._file:
            self._file.close()

    def _session(self, test: str, history: History, transport: Transport | None = None) -> Session:
        names = Names(self.plan.seed, self.plan.run_id, test)
        send = partial(self._send, transport or self._transport)
        return Session(self.target, send, history, self.redactor, names=names, test=test)

    def _send(self, transport: Transport, call: Call) -> Reply | NoReply:
        """Send a call, unless the target is silent: a run must end soon, not a timeout per call.

        Raises `ProductionRefused` for what writes where only reading was allowed.
        """
        if self.plan.only_reads and call.method not in _SAFE_METHODS:
            raise ProductionRefused(
                f"production_environment: {call.method} {call.path} was not sent: it may write",
                hint="Only tests that read are marked as safe for production.",
            )
        now = time.monotonic()
        if self.silent and now - self._probed_at < PROBE_S:
            return NoReply("unreachable", sent=False, detail="the target has stopped answering")
        self._probed_at = now
        reply = transport.send(call)
        if isinstance(reply, NoReply):
            self._silent += 1
            return reply
        self._silent, self._answered_at = 0, time.monotonic()
        if reply.status < _REFUSED_FROM:
            self.last_accepted = f"{call.method} {call.path}"
        return reply
