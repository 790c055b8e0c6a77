"""One worker of a load: its share of the schedule, its slots, its books."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import urlsplit

import gevent  # type: ignore[import-untyped]  # it declares no types

from harness.guard import Aimed, refuse_production
from harness.history import History
from harness.naming import Names
from harness.redact import Redactor
from harness.target.load import find_target
from suites.load.generator.client import Client, Surroundings
from suites.load.generator.pacing import ClosedPool, OpenPool, Pool
from suites.load.generator.posting import Connection
from suites.load.measuring.recording import Recorder
from suites.load.scenarios import find_scenario
from suites.load.schedule import offsets, share

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.target.protocol import Target
    from suites.load.plan import Plan

_PROBE_S = 0.05
_PIECE = 256 * 1024
_US = 1_000_000


class Crew:
    """A worker that has been told its plan. `index` is its place among `count` workers.

    `scheduled` is the whole schedule's count, None in the closed model. `environment` is where the
    profile's variables are looked up. `guarded` looks for production from here, too, as a worker
    does whose master is elsewhere.
    """

    def __init__(
        self,
        plan: Plan,
        index: int,
        count: int,
        scheduled: int | None,
        *,
        secrets: Mapping[str, str],
        environment: Mapping[str, str],
        guarded: bool = False,
    ) -> None:
        self.plan = plan
        self.index, self.count = index, count
        self.done = False
        self._scenario = find_scenario(plan.scenario)
        redactor = Redactor(frozenset(secrets.values()))
        target, self._base_url = _target(plan, environment, redactor)
        if guarded:
            aimed = Aimed(target.profile if target else None, plan.target.get("url"))
            refuse_production(aimed, environment, ask=True)
        mine = None if scheduled is None else len(range(index, scheduled, count))
        self.recorder = Recorder(mine, 0.0, plan.interval_s, self._file("trace", "csv"))
        facts = {"seed": plan.seed, "run_id": plan.run_id, "scenario": plan.scenario}
        self._history = self._file("history-load", "jsonl") if target else None
        history = History(
            self._history,
            redactor,
            worker=f"load{index}",
            facts=facts,
            remember=False,
        )
        names = Names(plan.seed, plan.run_id, f"load-{index}")
        self._around = Surroundings(
            plan, target, history, redactor, names, secrets, self.recorder, count
        )
        self._pool = self._make_pool()
        self._slots = self._expected = self._working = 0
        self._scenario.ready(plan)

    def begin(self, began: float, slots: int) -> None:
        """Set the intended start, by this machine's monotonic clock, and the number of slots."""
        self.recorder.began = self.recorder.ended_at = began
        self._working = self._expected = slots
        gevent.spawn(self._watch)

    def work(self) -> None:
        """Be one slot until there is nothing more to begin."""
        slot, self._slots = self._slots, self._slots + 1
        self._working += slot >= self._expected
        connection = Connection(self._base_url, self.plan.timeout_s)
        client = Client(self._around, connection, gevent.sleep)

        def act(k: int, intended: float) -> tuple[str | None, bool]:
            client.begin(intended)
            try:
                self._scenario.arrive(k, client)
            except Exception as error:  # noqa: BLE001 - a scenario may be anybody's; it is counted
                client.fail(f"the scenario raised {type(error).__name__}: {error}"[:200])
            return client.end()

        try:
            self._pool.work(slot, act)
        finally:
            connection.close()
            self._working -= 1
            self.done = self._working == 0

    def stop(self) -> None:
        """Begin nothing more; `done` comes when what is under way has ended."""
        self._pool.stop()

    def history(self) -> Iterator[str]:
        """Give what this worker has recorded of operations, in pieces that a message can carry."""
        if self._history is None:
            return
        with Path(self._history.name).open(encoding="utf-8") as file:
            while piece := file.read(_PIECE):
                yield piece

    def snapshot(self, *, whole: bool = False) -> dict[str, Any]:
        """Give the books so far."""
        return self.recorder.snapshot(whole=whole, breathe=gevent.sleep)

    def _make_pool(self) -> Pool:
        plan = self.plan
        if plan.model == "closed":
            return ClosedPool(
                plan.stages,
                self.recorder,
                worker=self.index,
                workers=self.count,
                think_s=plan.think_s,
                clock=time.monotonic,
                sleep=gevent.sleep,
            )
        return OpenPool(
            share(offsets(plan.stages, poisson_seed=plan.poisson_seed), self.index, self.count),
            self.recorder,
            lateness_s_max=plan.lateness_s_max,
            clock=time.monotonic,
            sleep=gevent.sleep,
        )

    def _watch(self) -> None:
        """Measure how late this process wakes up, however busy its slots are."""
        while (wait_s := self.recorder.began - time.monotonic()) > 0:
            gevent.sleep(wait_s)
        self.recorder.count_cpu()
        while not self.done:
            due = time.monotonic() + _PROBE_S
            gevent.sleep(_PROBE_S)
            self.recorder.lag.record(max(0, int((time.monotonic() - due) * _US)))

    def _file(self, name: str, suffix: str) -> TextIO | None:
        if name == "trace" and not self.plan.trace:
            return None
        path = Path(self.plan.folder) / f"{name}-{self.index}.{suffix}"
        return path.open("w", encoding="utf-8")  # open until the process ends


def _target(
    plan: Plan, environment: Mapping[str, str], redactor: Redactor
) -> tuple[Target | None, str]:
    """Find the target that a plan names, and the address that paths are relative to.

    Without a profile there is an address alone, and a scenario knows the path.
    """
    if "url" in plan.target:
        parts = urlsplit(plan.target["url"])
        return None, f"{parts.scheme}://{parts.netloc}"
    source = find_target(plan.target["spec"])
    profile, secrets = source.file.resolve(environment)
    for secret in secrets:
        redactor.add(secret)
    return source.build(profile), profile.target.base_url
