"""The record of a branch's runs, a line of JSON each: rates, first sights, slow-downs from it."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from ci.reading import Unreadable, read_bytes
from harness.report.write import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

RUNS_MAX = 200
BYTES_MAX = 256 * 1024 * 1024
_SLOWER_TIMES = 2.0
_SLOWER_S_MIN = 0.5
_RUNS_MIN = 3
_CHANGED = "-dirty"  # as git says of a tree with changes: two such need not be the same code


@dataclass(frozen=True, slots=True)
class Ran:
    """A run as it is remembered: each test's result and seconds, and which were flaky."""

    at: float
    commit: str | None
    branch: str | None
    verdict: str
    exit_status: int
    duration_s: float
    tests: dict[str, tuple[str, float]] = field(default_factory=dict)
    flaky: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Flake:
    """A flaky test: in how many of the runs that it was part of, and since which commit."""

    test: str
    rate: float
    runs: int
    first_seen: str | None

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Slower:
    """A test that takes twice as long as it used to (the median of earlier runs), or more."""

    test: str
    now_s: float
    before_s: float

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self)


def read_record(path: Path) -> tuple[list[Ran], list[str]]:
    """Read the runs until now, and say what of the record is damaged: it is passed over."""
    if not path.exists():
        return [], []
    adapter = TypeAdapter(Ran)
    runs: list[Ran] = []
    damaged = 0
    try:
        text = read_bytes(path, BYTES_MAX).decode("utf-8", "replace")
    except Unreadable as error:
        return [], [str(error)]
    for line in text.splitlines():
        try:
            runs.append(adapter.validate_json(line))
        except ValidationError:
            damaged += 1
    lost = [f"{damaged} lines of {path} are damaged, and were passed over"] if damaged else []
    return runs[-RUNS_MAX:], lost


def write_record(path: Path, runs: Sequence[Ran]) -> None:
    """Keep the last runs, the file whole or as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(asdict(run), separators=(",", ":")) for run in runs[-RUNS_MAX:])
    write_whole(path, "".join(f"{line}\n" for line in lines))


def flakes(runs: Sequence[Ran]) -> list[Flake]:
    """Give every test that was flaky in one of these runs, the worst first.

    Flaky is what passed on its second try, and what passed in one run of a commit and was bad in
    another of the same. Runs of that test alone count for its rate.
    """
    seen: dict[str, list[Ran]] = {}
    for run in runs:
        for test in run.flaky:
            seen.setdefault(test, []).append(run)
    for test, run in _of_two_minds(runs):
        if run not in seen.setdefault(test, []):
            seen[test].append(run)
    found = []
    for test, when in seen.items():
        count = sum(test in run.tests for run in runs)
        first = min(when, key=lambda run: run.at)
        found.append(Flake(test, len(when) / max(count, 1), count, first.commit))
    return sorted(found, key=lambda flake: (-flake.rate, flake.test))


def _of_two_minds(runs: Sequence[Ran]) -> list[tuple[str, Ran]]:
    """Give the bad runs of tests that passed in another run of the same commit."""
    passed = {
        (run.commit, test)
        for run in runs
        if run.commit and not run.commit.endswith(_CHANGED)
        for test, (result, _) in run.tests.items()
        if result == "passed"
    }
    return [
        (test, run)
        for run in runs
        for test, (result, _) in run.tests.items()
        if result in {"failed", "unknown"} and (run.commit, test) in passed
    ]


def newly_slow(runs: Sequence[Ran]) -> list[Slower]:
    """Give the tests of the last run that take much longer than before, the slowest first."""
    if not runs:
        return []
    *earlier, last = runs
    found = []
    for test, (result, now_s) in last.tests.items():
        before = [
            run.tests[test][1]
            for run in earlier
            if test in run.tests and run.tests[test][0] == "passed"
        ]
        if result != "passed" or len(before) < _RUNS_MIN:
            continue
        usual_s = statistics.median(before)
        if now_s > _SLOWER_TIMES * usual_s and now_s - usual_s > _SLOWER_S_MIN:
            found.append(Slower(test, now_s, usual_s))
    return sorted(found, key=lambda slower: -slower.now_s)


def success_rate(runs: Sequence[Ran], since: float) -> float | None:
    """Give the share of runs since then, in Unix seconds, that ended with 0; None without any."""
    recent = [run for run in runs if run.at >= since]
    return sum(run.exit_status == 0 for run in recent) / len(recent) if recent else None
