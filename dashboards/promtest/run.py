"""A pipeline's last run as `ci merge` reports it, and the series that its exporter makes of it.

`SAMPLES` are written by hand; a test finds them equal to what `ci.metrics` makes of `REPORT`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboards.observables.alerts import PIPELINE, selector
from dashboards.observables.model import Series

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dashboards.oracles import Labels

_SLOW = "suites/security/test_limits.py::test_slow"
_RACE = "suites/e2e/test_pay.py::test_race"
_PAID = "suites/e2e/test_pay.py::test_paid"


def _test(name: str, suite: str, result: str, duration_s: float, **more: Any) -> dict[str, Any]:
    return {"id": name, "suite": suite, "result": result, "duration_s": duration_s,
            "flaky": False, **more}  # fmt: skip


REPORT: Mapping[str, Any] = {
    "exit_status": 1,
    "started_at": 80_000.0,
    "duration_s": 130.0,
    "expected": 4,
    "collected": 3,
    "newly_slow": [_PAID],
    "success_rate_30d": 0.875,
    "partitions": [{"index": 1, "duration_s": 90.0}, {"index": 2, "duration_s": 30.0}],
    "suites": {
        "e2e": {"passed": 1, "failed": 0, "unknown": 1, "skipped": 0},
        "security": {"passed": 0, "failed": 1, "unknown": 0, "skipped": 2},
    },
    "tests": [
        _test(_PAID, "e2e", "passed", 2.0),
        _test(_RACE, "e2e", "unknown", 1.5, flaky=True),
        _test(_SLOW, "security", "failed", 7.25),
    ],
    "flaky": [{"test": _RACE, "first_seen": "abc123", "rate": 0.25}],
    "code_coverage": {"all": 0.91, "webhooks": 1.0},
    "gates": [
        {"name": "lint", "status": "missed", "value": 3},
        {"name": "types", "status": "passed", "value": 0},
        {"name": "migrations-sqlite", "status": "passed", "value": None},
        {"name": "migrations-postgres", "status": "missed", "value": None},
    ],
}
MATRIX: Mapping[str, Any] = {
    "defects": [
        {"group": "money", "status": "killed"},
        {"group": "money", "status": "survived"},
        {"group": "webhooks", "status": "killed"},
    ]
}
LOAD: Mapping[str, Any] = {
    "rate": 120.5,
    "scenarios": {
        "steady": {
            "quantiles_s": {"0.5": 0.011, "0.95": 0.04, "0.99": 0.21},
            "error_ratio": 0.002,
            "dropped": 0,
        },
        "spike": {
            "quantiles_s": {"0.5": 0.02, "0.95": 0.13, "0.99": 0.9},
            "error_ratio": 0.01,
            "dropped": 7,
        },
    },
}


def _by(name: str, names: str, values: Mapping[str, float]) -> list[tuple[str, Labels, float]]:
    labels = names.split()
    return [
        (name, tuple(zip(labels, key.split(), strict=True)), value) for key, value in values.items()
    ]


SAMPLES: tuple[tuple[str, Labels, float], ...] = (
    ("ci_run_success", (), 0.0),
    ("ci_run_timestamp_seconds", (), 80_130.0),
    ("ci_run_success_ratio", (), 0.875),
    ("ci_run_duration_seconds", (), 130.0),
    ("ci_tests_expected", (), 4.0),
    ("ci_tests_collected", (), 3.0),
    ("ci_newly_slow_tests", (), 1.0),
    ("ci_load_rate", (), 120.5),
    *_by("ci_tests", "suite result", {
        "e2e passed": 1, "e2e failed": 0, "e2e unknown": 1, "e2e skipped": 0,
        "security passed": 0, "security failed": 1, "security unknown": 0, "security skipped": 2,
    }),
    *_by("ci_suite_duration_seconds", "suite", {"e2e": 3.5, "security": 7.25}),
    *_by("ci_partition_duration_seconds", "partition", {"1": 90.0, "2": 30.0}),
    *_by("ci_coverage_ratio", "scope", {"all": 0.91, "webhooks": 1.0}),
    *_by("ci_flaky_tests", "suite", {"e2e": 1, "security": 0}),
    *_by("ci_flaky_test_info", "test first_seen", {f"{_RACE} abc123": 0.25}),
    *_by("ci_slowest_test_seconds", "rank test", {
        f"1 {_SLOW}": 7.25, f"2 {_PAID}": 2.0, f"3 {_RACE}": 1.5,
    }),
    *_by("ci_migration_ok", "database", {"sqlite": 1, "postgres": 0}),
    *_by("ci_lint_findings", "tool", {"ruff": 3, "mypy": 0}),
    *_by("ci_security_failures", "group", {"limits": 1}),
    *_by("ci_gate_ok", "gate", {
        "lint": 0, "types": 1, "migrations-sqlite": 1, "migrations-postgres": 0,
    }),
    *_by("ci_kill_ratio", "group", {"money": 0.5, "webhooks": 1.0}),
    *_by("ci_load_latency_seconds", "scenario quantile", {
        "steady 0.5": 0.011, "steady 0.95": 0.04, "steady 0.99": 0.21,
        "spike 0.5": 0.02, "spike 0.95": 0.13, "spike 0.99": 0.9,
    }),
    *_by("ci_load_error_ratio", "scenario", {"steady": 0.002, "spike": 0.01}),
    *_by("ci_load_dropped", "scenario", {"steady": 0, "spike": 7}),
)  # fmt: skip


def pushed(steps: int) -> tuple[Series, ...]:
    """Give the samples as series that stay, as a Pushgateway shows them."""
    return tuple(
        Series(selector(name, (*PIPELINE, *labels)), f"{value:.15g}+0x{steps}")
        for name, labels, value in SAMPLES
    )
