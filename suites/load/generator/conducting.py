"""Leads a load over Locust's own messages: tells workers their share, and gathers their books.

Who leads is the master, or the single process of a load that is not spread. The order is: Locust
has spawned the users; each worker with users is told the plan, its index and the count; each says
that it is ready; all are told the start; each sends its books about every second (on Locust's own
stats reports) and once more when its share is at its end. A worker that Locust misses is lost, and
nobody takes over its share: the shortfall is what tells that the load was not what was asked for.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suites.load.measuring.gathering import Ending, Worker, conclude, counted, gather, hopeless
from suites.load.measuring.result import RESULT_FILE, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from suites.load.plan import Plan

    Send = Callable[[str, dict[str, Any], str], None]

READY_S = 60.0
SILENT_S = 3.0
SILENT_AT_END_S = 1.0
SILENT_MIN = 5
_SLACK_S = 10.0
_HEAL_S = 2.0
_log = logging.getLogger(__name__)


class Conductor:
    """Leads one load. `send(type, data, worker)` sends; `machine` names this one's clock."""

    def __init__(
        self,
        plan: Plan,
        secrets: Mapping[str, str],
        *,
        machine: str,
        send: Send,
        breathe: Callable[[], object] = lambda: None,
    ) -> None:
        self.plan = plan
        self.result: Result | None = None
        self._secrets = secrets
        self._machine = machine
        self._send = send
        self._breathe = breathe
        self._scheduled = plan.scheduled()
        self._workers: dict[str, Worker] = {}
        self._ready: set[str] = set()
        self._kept: set[int] = set()
        self._ending = Ending()
        self._started: tuple[float, float] | None = None
        self._deadline = 0.0
        self._lost_since: float | None = None
        self._answered = (0, 0, 0.0)
        self._interrupted = self._finished = False

    @property
    def begun(self) -> bool:
        """Whether workers have been told the plan."""
        return bool(self._workers)

    def assemble(self, ids: list[str]) -> None:
        """Tell each worker the plan and its share."""
        if not ids:
            self._ending.unknown_reasons.append("no worker had a user to work with")
        for index, worker in enumerate(ids):
            self._workers[worker] = Worker(index)
        self._deadline = time.monotonic() + READY_S
        for worker, known in self._workers.items():
            told = {
                "plan": self.plan.to_data(),
                "secrets": dict(self._secrets),
                "index": known.index,
                "count": len(ids),
                "scheduled": self._scheduled,
            }
            self._send("load_plan", told, worker)

    def ready(self, worker: str) -> None:
        """Hear that a worker is ready; once all are, tell them the start."""
        self._ready.add(worker)
        if self._started is None and self._ready >= set(self._workers):
            self._start()

    def fail(self, worker: str, reason: str) -> None:
        """Hear that a worker cannot get ready."""
        if worker in self._workers:
            self._workers[worker].state = "lost"
            self._ending.unknown_reasons.append(f"a worker could not get ready: {reason}")

    def keep(self, worker: str, text: str) -> None:
        """Keep a piece of a far worker's history, unless its own file lies here already."""
        known = self._workers.get(worker)
        if known is None:
            return
        path = Path(self.plan.folder) / f"history-load-{known.index}.jsonl"
        if known.index not in self._kept and path.exists():
            return
        self._kept.add(known.index)
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            told = f"the history of worker {known.index} cannot be written: {error.strerror}"
            self._ending.unknown_reasons.append(told)

    def take(self, worker: str, books: Mapping[str, Any], *, done: bool) -> None:
        """Take a worker's books. Those of a worker that nobody was told of are told aside."""
        known = self._workers.get(worker)
        if known is None:
            _log.warning("books of an unknown worker %s", worker)
            return
        if known.state == "done":
            return
        known.take(books)
        known.state = "done" if done else "running"

    def interrupt(self) -> None:
        """Hear that the run is told to end now, unless it has come to its end already."""
        self._interrupted = not self._finished

    def look(self, present: set[str]) -> bool:
        """Look where things stand, given the workers that Locust does not miss.

        True once the run has come to its end; then `finish` says what it came to.
        """
        now = time.monotonic()
        if self._interrupted:
            return False
        for worker, known in self._workers.items():
            if worker not in present and known.state == "running":
                known.state = "lost"
        states = {known.state for known in self._workers.values()}
        if self._started is None:
            if now > self._deadline:
                self._ending.unknown_reasons.append(f"workers were not ready in {READY_S:g} s")
            return now > self._deadline or not self._workers or "lost" in states
        if now > self._deadline:
            self._ending.unknown_reasons.append("workers did not end in time")
            return True
        if "running" not in states:
            return self._healed(now) or "lost" not in states
        self._lost_since = None
        return False

    def give_up_if_hopeless(self) -> None:
        """Have nothing more begun once a threshold cannot hold any more, or nobody answers."""
        if self._ending.aborted or self._ending.vanished or self._started is None:
            return
        broken = hopeless(self.plan, self._scheduled, list(self._workers.values()))
        self._ending.aborted = broken
        self._ending.vanished = broken is None and self._silent(SILENT_S)
        if broken or self._ending.vanished:
            for worker in self._workers:
                self._send("load_end", {}, worker)

    def _silent(self, silent_s: float) -> bool:
        """Whether arrivals have ended for so long, and none of them with an answer.

        What hangs after the schedule's end does not count: the others were answered.
        """
        began = self._started[1] if self._started else time.monotonic()
        workers, now = list(self._workers.values()), time.monotonic()
        due = min(now, began + self.plan.duration_s)
        answered, ended = counted(workers, "completed"), counted(workers, "ended")
        if answered > self._answered[0]:
            self._answered = (answered, ended, now)
        _, ended_then, then = self._answered
        return ended - ended_then >= SILENT_MIN and due - max(then, began) > silent_s

    def write(self) -> None:
        """Write the result so far; a full disk is logged, and told by who reads the result."""
        workers = list(self._workers.values())
        started = self._started or (0.0, 0.0)
        result = gather(self.plan, self._scheduled, workers, started, self._breathe)
        self.result = conclude(result, self.plan, workers, self._ending)
        try:
            self.result.write(Path(self.plan.folder) / RESULT_FILE)
        except OSError as error:
            _log.error("the result cannot be written: %s", error.strerror)

    def finish(self) -> None:
        """Write what the run came to; it is complete if no worker still runs."""
        states = {known.state for known in self._workers.values()}
        if self._started is not None and "running" not in states and not self._interrupted:
            self._ending.vanished |= self._silent(SILENT_AT_END_S)
            self._ending.complete = not self._ending.vanished
            self._finished = True
        self.write()

    def _start(self) -> None:
        delay_s = self.plan.start_delay_s
        monotonic = time.monotonic() + delay_s
        self._started = (time.time() + delay_s, monotonic)
        plan = self.plan
        self._deadline = (
            monotonic + plan.duration_s + plan.lateness_s_max + plan.timeout_s + _SLACK_S
        )
        told = {"machine": self._machine, "monotonic": monotonic, "in_s": delay_s}
        for worker in self._workers:
            self._send("load_begin", told, worker)

    def _healed(self, now: float) -> bool:
        """Whether a lost worker has had its time to come back, as one does that was only slow."""
        self._lost_since = self._lost_since or now
        return now - self._lost_since > _HEAL_S
