"""Runs partitions on this machine, several at a time, each a run of its own.

Each has its own stack, ports, database and customers, its own report, and a leash: none outlives
the command.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ci.part import REPORT
from harness.partition import provenance
from harness.stack.process import Child, describe_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_POLL_S = 0.05
_GRACE_S = 10.0
_RUN = (sys.executable, "-P", "-m", "harness.cli", "run")
# A job's own share would be cut from each of ours.
_OF_A_JOB = ("CI_NODE_INDEX", "CI_NODE_TOTAL", "CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL")


@dataclass(frozen=True, slots=True)
class Matrix:
    """What to run: how many partitions, how many at a time, of what, with which seed, and where.

    `options` go to every run. `durations` cuts the shares. `deadline_s` bounds a partition's run,
    and as many times as there are partitions that of the whole.
    """

    partitions: int
    jobs: int
    seed: int
    folder: Path
    durations: Path
    options: tuple[str, ...] = ()
    deadline_s: float = 1800.0


@dataclass(frozen=True, slots=True)
class Job:
    """One run that took place: its folder, its seconds, and why it broke off, if it did."""

    name: str
    folder: Path
    duration_s: float
    trouble: str | None = None


@dataclass(slots=True)
class Runner:
    """Runs jobs, several at a time; `stop` ends those under way, from any thread."""

    matrix: Matrix
    stopped: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = provenance()
        named = {n: v for n, v in os.environ.items() if n not in _OF_A_JOB}
        # Asked once: a commit made meanwhile must not set the partitions apart.
        named["BILLING_HARNESS_COMMIT"] = known["commit"] or ""
        named["BILLING_HARNESS_BRANCH"] = known["branch"] or ""
        self.environment = named

    def stop(self) -> None:
        """End every run under way, and begin no more."""
        self.stopped = True

    def partitions(self) -> Iterator[Job]:
        """Run every partition; give each as it ends, in their order."""
        total = self.matrix.partitions
        with ThreadPoolExecutor(self.matrix.jobs) as pool:
            try:
                yield from pool.map(
                    lambda index: self._run(f"{index}-of-{total}", f"{index}/{total}"),
                    range(1, total + 1),
                )
            except KeyboardInterrupt:
                # Ending takes moments, is bounded, and must not be cut off.
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_IGN)
                raise
            finally:
                self.stop()

    def whole(self) -> Job:
        """Run everything in one piece, alone."""
        self.stopped = False
        deadline_s = self.matrix.deadline_s * self.matrix.partitions
        return replace(self._run("../whole-run/1-of-1", "1/1", deadline_s), name="whole")

    def _run(self, name: str, share: str, deadline_s: float | None = None) -> Job:
        folder = self.matrix.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        if self.stopped:
            return Job(name, folder, 0.0, "stopped before its turn")
        began = time.monotonic()
        child = Child(
            folder.name,
            [*_RUN, "--partition", share, *self._options(), "--report", str(folder)],
            env=dict(self.environment),
            log=folder / "run.log",
            grace_s=_GRACE_S,
        )
        try:
            trouble = self._wait(child, deadline_s or self.matrix.deadline_s)
        finally:
            child.stop()
        if trouble is None and not (folder / REPORT).is_file():
            trouble = f"it left no report: {child.log_tail(3)}"
        return Job(name, folder, time.monotonic() - began, trouble)

    def _options(self) -> tuple[str, ...]:
        matrix = self.matrix
        told = ("--seed", str(matrix.seed), "--durations", str(matrix.durations))
        return (*told, *matrix.options)

    def _wait(self, child: Child, deadline_s: float) -> str | None:
        ends_at = time.monotonic() + deadline_s
        while (status := child.status()) is None:
            if self.stopped:
                return "stopped"
            if time.monotonic() > ends_at:
                return f"not done within {deadline_s:g} s"
            time.sleep(_POLL_S)
        if status in {0, 1, 2}:
            return None
        return f"it broke off: {describe_status(status)}; {child.log_tail(3)}"
