"""The metrics of a pipeline's last run, from its merged report: pushed once, or written to a file.

Every name is of shared use by dashboards and alerts; `docs/CI.md` lists them. A ratio is from 0 to
1, a time in seconds. Labels are bounded: of tests only the slowest and the flaky are named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Gauge

from ci.reading import Unreadable, read_json
from harness.errors import SettingsError
from harness.flaky import SECURITY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

FLAKY_MAX = 20
SLOWEST_MAX = 10
PARTITIONS_MAX = 64
_RESULTS = ("passed", "failed", "unknown", "skipped")
_TOOLS = {"lint": "ruff", "types": "mypy"}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name, what it says, and its labels."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()


METRICS = (
    Metric("ci_run_success", "1 where the run was valid and every gate passed, else 0"),
    Metric("ci_run_timestamp_seconds", "When the run ended, in Unix time"),
    Metric("ci_run_success_ratio", "Share of successful runs over 30 days"),
    Metric("ci_tests", "Tests by suite and result", ("suite", "result")),
    Metric("ci_tests_expected", "Tests that were collected"),
    Metric("ci_tests_collected", "Tests that some partition was given"),
    Metric("ci_suite_duration_seconds", "What the tests of a suite took together", ("suite",)),
    Metric("ci_run_duration_seconds", "From the first partition's start to the last one's end"),
    Metric("ci_partition_duration_seconds", "What a partition took", ("partition",)),
    Metric("ci_coverage_ratio", "Share of the target's code that was executed", ("scope",)),
    Metric("ci_flaky_tests", "Tests that were flaky in this run", ("suite",)),
    Metric("ci_flaky_test_info", "A flaky test's rate over its runs", ("test", "first_seen")),
    Metric("ci_slowest_test_seconds", "The slowest tests", ("rank", "test")),
    Metric("ci_newly_slow_tests", "Tests that take more than twice what they used to"),
    Metric("ci_migration_ok", "1 where migrations hold, 0 where not", ("database",)),
    Metric("ci_lint_findings", "What a linter or type checker found", ("tool",)),
    Metric("ci_security_failures", "Failed security tests, by group", ("group",)),
    Metric("ci_gate_ok", "1 where a gate passed, 0 where it missed or is unknown", ("gate",)),
    Metric("ci_load_rate", "Requests per second of the load, as they arrived"),
    Metric("ci_load_latency_seconds", "Latency from the intended start", ("scenario", "quantile")),
    Metric("ci_load_error_ratio", "Share of failed requests", ("scenario",)),
    Metric("ci_load_dropped", "Arrivals that no request was made for", ("scenario",)),
    Metric("ci_kill_ratio", "Share of defects found as intended", ("group",)),
)
Sample = tuple[str, dict[str, str], float]


def read_document(path: Path, keys: Iterable[str], what: str) -> dict[str, Any]:
    """Read a JSON document that has these keys. Raises `SettingsError` naming `what` it is not."""
    try:
        data = read_json(path)
    except Unreadable as error:
        raise SettingsError(str(error), hint=f"Give {what}.") from None
    if not isinstance(data, dict) or not set(keys) <= set(data):
        raise SettingsError(f"{path} holds something else", hint=f"Give {what}.")
    return data


def read_merged(place: Path) -> dict[str, Any]:
    """Read a merged report, from its file or folder. Raises `SettingsError`."""
    path = place / "report.json" if place.is_dir() else place
    return read_document(path, ("partitions", "tests", "gates"), "what `ci merge` has written")


def read_registry(report: Path, matrix: Path | None, load: Path | None) -> CollectorRegistry:
    """Read everything there is to tell. Raises `SettingsError`.

    Load results are the merge's, where it took some up and no others are given.
    """
    merged = read_merged(report)
    given = read_document(load, ("rate", "scenarios"), "the load's results") if load else None
    told = samples_of(
        merged,
        matrix=read_document(matrix, ("defects",), "the gauntlet's matrix") if matrix else None,
        load=given or merged.get("load"),
    )
    return registry_of(told)


def registry_of(samples: Iterable[Sample]) -> CollectorRegistry:
    """Put samples into a registry; every metric is there, also without a sample."""
    registry = CollectorRegistry()
    gauges = {m.name: Gauge(m.name, m.meaning, m.labels, registry=registry) for m in METRICS}
    seen = set()
    for name, labels, value in samples:
        seen.add(name)
        gauge = gauges[name].labels(**labels) if labels else gauges[name]
        gauge.set(value)
    for metric in METRICS:
        # One without labels would say 0 where nothing is known.
        if metric.name not in seen and not metric.labels:
            registry.unregister(gauges[metric.name])
    return registry


def samples_of(
    merged: Mapping[str, Any],
    *,
    matrix: Mapping[str, Any] | None = None,
    load: Mapping[str, Any] | None = None,
) -> list[Sample]:
    """Give every sample that a merged report holds, with a kill matrix and load results if any."""
    found = [*_run(merged), *_tests(merged), *_code(merged), *_gates(merged)]
    found += _kills(matrix) if matrix else []
    return found + (list(_load(load)) if load else [])


def _run(merged: Mapping[str, Any]) -> Iterable[Sample]:
    yield "ci_run_success", {}, float(merged["exit_status"] == 0)
    yield "ci_run_timestamp_seconds", {}, merged["started_at"] + merged["duration_s"]
    yield "ci_run_duration_seconds", {}, merged["duration_s"]
    yield "ci_tests_expected", {}, merged["expected"]
    yield "ci_tests_collected", {}, merged["collected"]
    yield "ci_newly_slow_tests", {}, len(merged["newly_slow"])
    if merged["success_rate_30d"] is not None:
        yield "ci_run_success_ratio", {}, merged["success_rate_30d"]
    for part in merged["partitions"][:PARTITIONS_MAX]:
        yield (
            "ci_partition_duration_seconds",
            {"partition": str(part["index"])},
            part["duration_s"],
        )


def _tests(merged: Mapping[str, Any]) -> Iterable[Sample]:
    tests: Sequence[Mapping[str, Any]] = merged["tests"]
    for suite, counts in merged["suites"].items():
        own = [test for test in tests if test["suite"] == suite]
        for result in _RESULTS:
            yield "ci_tests", {"suite": suite, "result": result}, counts[result]
        yield "ci_suite_duration_seconds", {"suite": suite}, sum(t["duration_s"] for t in own)
        yield "ci_flaky_tests", {"suite": suite}, sum(t["flaky"] for t in own)
    for flake in merged["flaky"][:FLAKY_MAX]:
        labels = {"test": flake["test"], "first_seen": flake["first_seen"] or "unknown"}
        yield "ci_flaky_test_info", labels, flake["rate"]
    slowest = sorted(tests, key=lambda test: -test["duration_s"])[:SLOWEST_MAX]
    for rank, test in enumerate(slowest, start=1):
        yield (
            "ci_slowest_test_seconds",
            {"rank": str(rank), "test": test["id"]},
            test["duration_s"],
        )
    yield from _security(tests)


def _security(tests: Sequence[Mapping[str, Any]]) -> Iterable[Sample]:
    """Count failures by the file of the security suite: test_limits is the group `limits`."""
    counts: dict[str, int] = {}
    for test in tests:
        if test["suite"] == SECURITY:
            file = test["id"].partition("::")[0].rpartition("/")[2]
            group = file.removeprefix("test_").removesuffix(".py")
            counts[group] = counts.get(group, 0) + (test["result"] == "failed")
    for group, count in sorted(counts.items()):
        yield "ci_security_failures", {"group": group}, count


def _code(merged: Mapping[str, Any]) -> Iterable[Sample]:
    for scope in ("all", "webhooks"):
        ratio = (merged["code_coverage"] or {}).get(scope)
        if ratio is not None:
            yield "ci_coverage_ratio", {"scope": scope}, ratio


def _gates(merged: Mapping[str, Any]) -> Iterable[Sample]:
    for gate in merged["gates"]:
        name, ok = gate["name"], float(gate["status"] == "passed")
        yield "ci_gate_ok", {"gate": name}, ok
        if name.startswith("migrations-"):
            yield "ci_migration_ok", {"database": name.removeprefix("migrations-")}, ok
        if name in _TOOLS and gate["value"] is not None:
            yield "ci_lint_findings", {"tool": _TOOLS[name]}, gate["value"]


def _kills(matrix: Mapping[str, Any]) -> list[Sample]:
    by_group: dict[str, list[bool]] = {}
    for defect in matrix["defects"]:
        by_group.setdefault(defect["group"], []).append(defect["status"] == "killed")
    return [
        ("ci_kill_ratio", {"group": group}, sum(killed) / len(killed))
        for group, killed in sorted(by_group.items())
    ]


def _load(load: Mapping[str, Any]) -> Iterable[Sample]:
    """Read `rate` and, of each of `scenarios`, `quantiles_s`, `error_ratio` and `dropped`."""
    yield "ci_load_rate", {}, load["rate"]
    for scenario, told in load["scenarios"].items():
        for quantile, seconds in told["quantiles_s"].items():
            labels = {"scenario": scenario, "quantile": quantile}
            yield "ci_load_latency_seconds", labels, seconds
        yield "ci_load_error_ratio", {"scenario": scenario}, told["error_ratio"]
        yield "ci_load_dropped", {"scenario": scenario}, told["dropped"]
