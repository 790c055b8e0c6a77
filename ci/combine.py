"""Makes one run's results of the partitions': what it says is computed anew, from all tests."""

from __future__ import annotations

import heapq
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ci.part import HISTORY
from harness.operations import OPERATIONS
from harness.report.results import Coverage, RunResults, TestResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ci.part import Part
    from harness.checks.sometimes import Sometimes
    from harness.checks.verdict import CheckVerdict, Finding

_WORST = ("invalid", "unknown", "valid", "skipped")


def combined(
    parts: Sequence[Part], tests: Sequence[TestResult], doubts: Sequence[str]
) -> RunResults:
    """Give the results of all partitions as one run's; `doubts` are why they prove nothing."""
    reports = [part.report for part in parts]
    return RunResults(
        target=reports[0].target if reports else "nothing",
        seed=reports[0].seed if reports else 0,
        run_id="+".join(sorted({report.run_id for report in reports})),
        started_at=min((report.started_at for report in reports), default=0.0),
        duration_s=max((r.started_at + r.duration_s for r in reports), default=0.0)
        - min((report.started_at for report in reports), default=0.0),
        tests=tuple(tests),
        checks=_checks(parts),
        coverage=_coverage(parts),
        customers=sum(report.customers for report in reports),
        performed=sum(report.performed for report in reports),
        sometimes=_sometimes(parts),
        reproductions=tuple(way for report in reports for way in report.reproductions),
        trouble=(
            *doubts,
            *(f"{part.name}: {reason}" for part in parts for reason in part.report.trouble),
        ),
        files={"history": HISTORY, "junit": "junit.xml", "json": "report.json"},
    )


def _sometimes(parts: Sequence[Part]) -> tuple[Sometimes, ...]:
    """Add up how often each situation was come across."""
    found: dict[str, Sometimes] = {}
    for part in parts:
        for seen in part.report.sometimes:
            before = found[seen.name].count if seen.name in found else 0
            found[seen.name] = replace(seen, count=before + seen.count)
    return tuple(found.values())


def all_tests(parts: Sequence[Part]) -> list[TestResult]:
    """Give every test once, in the order in which they were collected; calls named by partition."""
    selection = [test for part in parts for test in part.report.partition.selection]
    places = {test: place for place, test in enumerate(dict.fromkeys(selection))}
    found: dict[str, TestResult] = {}
    for part in parts:
        for test in part.report.tests:
            found.setdefault(test.id, _named(test, part))
    return sorted(found.values(), key=lambda test: places.get(test.id, len(places)))


def _prefix(part: Part) -> str:
    return f"p{part.report.partition.index}-"


def _named(test: TestResult, part: Part) -> TestResult:
    """Name a test's calls by their partition: each counts its own from 1."""
    prefix = _prefix(part)
    return replace(
        test,
        findings=tuple({**f, "call": f["call"] and prefix + f["call"]} for f in test.findings),
        exchanges=tuple({**e, "call_id": prefix + e["call_id"]} for e in test.exchanges),
    )


def _checks(parts: Sequence[Part]) -> tuple[CheckVerdict, ...]:
    by_name: dict[str, list[CheckVerdict]] = {}
    for part in parts:
        for check in part.report.checks:
            findings = tuple(_called(finding, _prefix(part)) for finding in check.findings)
            by_name.setdefault(check.check, []).append(replace(check, findings=findings))
    return tuple(_check(verdicts) for verdicts in by_name.values())


def _called(finding: Finding, prefix: str) -> Finding:
    return replace(finding, call=prefix + finding.call) if finding.call else finding


def _check(verdicts: Sequence[CheckVerdict]) -> CheckVerdict:
    """Give the worst of what one check said in each partition, with all that it found."""
    worst = min(verdicts, key=lambda verdict: _WORST.index(verdict.kind))
    return replace(
        worst,
        examined=sum(verdict.examined for verdict in verdicts),
        facts=sum(verdict.facts for verdict in verdicts),
        findings=tuple(finding for verdict in verdicts for finding in verdict.findings),
    )


def _coverage(parts: Sequence[Part]) -> Coverage:
    covered = [part.report.coverage for part in parts]
    mapped = {name for each in covered for name in each.operations.mapped}
    seen = {name for each in covered for name in each.operations.tried}
    tried = {name for each in covered for name in each.requirements.tried}
    skipped = {name for each in covered for name in each.requirements.skipped}
    return Coverage(
        mapped=tuple(name for name in OPERATIONS if name in mapped),
        tried=tuple(name for name in OPERATIONS if name in seen),
        requirements_tried=tuple(sorted(tried)),
        requirements_skipped=tuple(sorted(skipped - tried)),
    )


def write_history(parts: Sequence[Part], path: Path) -> None:
    """Write the histories of all partitions as one, in the order of time, without holding them.

    A file that is missing or damaged is left out: `wholeness.gaps` has said so.
    """
    with path.open("w", encoding="utf-8") as file:
        for _, _, line in heapq.merge(*(_lines(part) for part in parts)):
            file.write(line + "\n")


def _lines(part: Part) -> Iterator[tuple[float, str, str]]:
    path = part.folder / HISTORY
    if not path.is_file():
        return
    moment = 0.0
    with path.open(encoding="utf-8", errors="replace") as file:
        for text in file:
            try:
                fields: dict[str, Any] = json.loads(text)
                # A line of a run has no time: it stays before what it speaks of.
                moment = max(moment, float(fields.get("ended_at") or fields.get("began_at") or 0))
            except (ValueError, TypeError, AttributeError):
                continue
            if "id" in fields:
                fields["id"] = f"{_prefix(part)}{fields['id']}"
            yield moment, _prefix(part), json.dumps(fields, separators=(",", ":"))
