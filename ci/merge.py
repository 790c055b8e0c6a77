"""Merges the partitions of a run into one truth, and judges it once: no hole may look green."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ci.combine import all_tests, combined, write_history
from ci.coverage import WEBHOOKS, Measured, coverage_gates, merge_coverage, read_coverage
from ci.excuses import check_excuses, read_excuses
from ci.gates import Gate, kill_gate, read_gates, security_gate
from ci.loads import read_loads
from ci.part import HISTORY, find_parts
from ci.reading import Unreadable
from ci.record import Ran, flakes, newly_slow, read_record, success_rate, write_record
from ci.wholeness import gaps
from harness.gauntlet.matrix import EXIT_MISSED
from harness.partition import Durations, read_durations
from harness.report.junit import junit
from harness.report.page import page
from harness.report.results import EXIT_INVALID, EXIT_UNKNOWN, EXIT_VALID
from harness.report.write import prepare_folder, write_ways, write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ci.part import Part
    from ci.record import Flake, Slower
    from harness.report.results import RunResults

_MONTH_S = 30 * 86_400
_DURATIONS_MAX = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeOptions:
    """What a merge is to hold the parts against. A ratio of 0 is no gate.

    `partitions` is how many there ought to be, where the pipeline knows. `coverage_file` is what a
    black-box target's owner supplies. `gates` names outcomes that must have been heard of.
    """

    partitions: int | None = None
    coverage_min: float = 0.8
    coverage_webhooks_min: float = 1.0
    webhook_files: tuple[str, ...] = WEBHOOKS
    coverage_file: Path | None = None
    excuses: Path | None = None
    record: Path | None = None
    durations: Path | None = None
    gates: tuple[str, ...] = ()
    matrix: Path | None = None
    kill_min: float = 0.8


@dataclass(frozen=True, slots=True)
class Merged:
    """All partitions as one. `notes` are told and change nothing."""

    results: RunResults
    parts: tuple[Part, ...]
    gates: tuple[Gate, ...]
    measured: Measured | str
    options: MergeOptions
    notes: tuple[str, ...] = ()
    flakes: tuple[Flake, ...] = ()
    slower: tuple[Slower, ...] = ()
    success_rate: float | None = None
    gaps: tuple[str, ...] = ()
    load: dict[str, Any] | None = None

    @property
    def exit_status(self) -> int:
        """1 invalid, before 99 a gate missed, before 2 unknown, before 0."""
        statuses = {gate.status for gate in self.gates}
        if self.results.verdict == "invalid" or "invalid" in statuses:
            return EXIT_INVALID
        if "missed" in statuses:
            return EXIT_MISSED
        doubtful = self.results.verdict == "unknown" or "unknown" in statuses
        return EXIT_UNKNOWN if doubtful else EXIT_VALID

    @property
    def outcome(self) -> str:
        """Say in a few words what the pipeline came to: a valid verdict alone is not enough."""
        bad = [f"{gate.name} {gate.status}" for gate in self.gates if gate.is_bad]
        return ", ".join([self.results.verdict, *bad])

    @property
    def commit(self) -> str | None:
        """Which commit this is of."""
        return self.parts[0].report.partition.commit if self.parts else None

    @property
    def branch(self) -> str | None:
        """Which branch this is of."""
        return self.parts[0].report.partition.branch if self.parts else None

    @property
    def slowest_to_mean(self) -> float | None:
        """How much longer the slowest share's tests took than the mean share's."""
        took = [part.tests_s for part in self.parts]
        return max(took) / (sum(took) / len(took)) if sum(took) else None

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data: a run's, and what only a merge knows."""
        expected = {t for part in self.parts for t in part.report.partition.selection}
        measured = self.measured
        return self.results.to_json() | {
            "exit_status": self.exit_status,
            "outcome": self.outcome,
            "commit": self.commit,
            "branch": self.branch,
            "gates": [gate.to_json() for gate in self.gates],
            "gaps": list(self.gaps),
            "notes": list(self.notes),
            "expected": len(expected),
            "collected": sum(len(part.report.partition.own) for part in self.parts),
            "partitions": [_told(part) for part in self.parts],
            "slowest_to_mean": self.slowest_to_mean,
            "code_coverage": None
            if isinstance(measured, str)
            else {
                "all": measured.ratio(),
                "webhooks": measured.ratio(self.options.webhook_files),
                "missing_webhooks": measured.missing(self.options.webhook_files),
                "contexts": sorted(measured.contexts),
            },
            "flaky": [flake.to_json() for flake in self.flakes],
            "newly_slow": [slower.to_json() for slower in self.slower],
            "success_rate_30d": self.success_rate,
            "load": self.load,
        }


def merge(folders: Sequence[Path], out: Path, options: MergeOptions) -> Merged:
    """Merge what lies in these folders, and write report, page, JUnit, history and coverage.

    Raises `SettingsError` for a mistake of the person who asked, and `ReportError` where nothing
    can be written; whatever is wrong with the parts is a doubt of the verdict.
    """
    excuses, durations = read_excuses(options.excuses), read_durations(options.durations)
    prepare_folder(out)
    parts, unreadable = find_parts(list(folders), out)
    reasons = [*unreadable, *gaps(parts, options.partitions)]
    as_seen = all_tests(parts)
    by_id = {test.id: test for test in as_seen}
    check_excuses(excuses, by_id, options.excuses)
    results = combined(parts, [excuses.excused(test) for test in as_seen], reasons)
    measured = _measure(parts, out, options, whole=not reasons)
    load, load_gate = read_loads(folders, out)
    gates = [*_gates(folders, results, measured, options), *([load_gate] if load_gate else [])]
    merged = Merged(
        results,
        tuple(parts),
        tuple(gates),
        measured,
        options,
        notes=(*excuses.expired, *excuses.strangers(by_id), *_about(durations, parts)),
        gaps=tuple(reasons),
        load=load,
    )
    merged = _remembered(merged, options)
    _write(merged, out)
    if not reasons and options.durations:
        _write_durations(options.durations, durations, merged)
    return merged


def _measure(
    parts: Sequence[Part], out: Path, options: MergeOptions, *, whole: bool
) -> Measured | str:
    """Give what was measured of the target, or why nothing is known."""
    try:
        if options.coverage_file:
            return read_coverage(options.coverage_file)
        if not parts or not all(part.report.partition.coverage for part in parts):
            return "nothing was measured: say run --coverage, or give --coverage-file"
        if not whole:
            return "the parts are no whole"
        return merge_coverage(parts, out)
    except Unreadable as error:
        return str(error)


def _gates(
    folders: Sequence[Path], results: RunResults, measured: Measured | str, options: MergeOptions
) -> list[Gate]:
    limits = options.coverage_min, options.coverage_webhooks_min
    found = coverage_gates(measured, *limits, options.webhook_files)
    security = security_gate(results.tests)
    found += [security] if security else []
    found += [kill_gate(options.matrix, options.kill_min)] if options.matrix else []
    return [*found, *read_gates(folders, options.gates)]


def _about(durations: Durations, parts: Sequence[Part]) -> list[str]:
    branch = parts[0].report.partition.branch if parts else None
    if durations.branch in {None, branch}:
        return []
    return [f"the durations by which the shares were cut are of the branch {durations.branch}"]


def _remembered(merged: Merged, options: MergeOptions) -> Merged:
    """Add this run to the record, if there is one, and say what the record shows."""
    earlier, damage = read_record(options.record) if options.record else ([], [])
    results = merged.results
    run = Ran(
        at=time.time(),
        commit=merged.commit,
        branch=merged.branch,
        verdict=results.verdict,
        exit_status=merged.exit_status,
        duration_s=round(results.duration_s, 3),
        tests={test.id: (test.result, round(test.duration_s, 3)) for test in results.tests},
        flaky=tuple(test.id for test in results.tests if test.flaky),
    )
    runs = [*earlier, run]
    if options.record:
        write_record(options.record, runs)
    return replace(
        merged,
        notes=(*merged.notes, *damage),
        flakes=tuple(flakes(runs)),
        slower=tuple(newly_slow(runs)),
        success_rate=success_rate(runs, time.time() - _MONTH_S),
    )


def _write(merged: Merged, out: Path) -> None:
    data = merged.to_json()
    text = json.dumps(data, indent=2, default=str)
    write_history(merged.parts, out / HISTORY)
    write_whole(out / "report.json", text + "\n")
    shown = json.loads(text)
    # Beside the verdict, where a reader looks first.
    shown["doubts"] += [f"{g.name} {g.status}: {g.reason}" for g in merged.gates if g.is_bad]
    write_whole(out / "report.html", page(shown))
    write_whole(out / "junit.xml", junit(data))
    write_ways(data, out)


def _write_durations(path: Path, before: Durations, merged: Merged) -> None:
    """Record what tests cost, half of it from before: one slow run must not turn shares over."""
    tests = dict(before.tests)
    for test in merged.results.tests:
        if test.result == "passed":
            tests[test.id] = (tests.get(test.id, test.duration_s) + test.duration_s) / 2
    kept = dict(sorted(tests.items())[:_DURATIONS_MAX])
    path.parent.mkdir(parents=True, exist_ok=True)
    told = Durations(kept, merged.branch, merged.commit).to_json()
    write_whole(path, json.dumps(told, indent=1) + "\n")


def _told(part: Part) -> dict[str, Any]:
    facts = part.report.partition
    return {
        "index": facts.index,
        "total": facts.total,
        "seed": part.report.seed,
        "run_id": part.report.run_id,
        "tests": len(facts.own),
        "tests_s": round(part.tests_s, 3),
        "duration_s": part.report.duration_s,
        "verdict": part.report.verdict,
        "seeded": facts.seeded,
    }
