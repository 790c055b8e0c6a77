"""What load runs leave is taken up by the merge, and told to Prometheus."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import generate_latest

from ci.loads import LOAD_FILE, read_loads
from ci.merge import MergeOptions, merge
from ci.metrics import METRICS, read_registry
from suites.load.report import exports
from tests.ci.making import make_parts

if TYPE_CHECKING:
    from pathlib import Path


def left(folder: Path, **scenarios: int) -> Path:
    """Leave a summary as a load command does; scenarios by their exit status."""
    told = {
        "rate": 20.0,
        "scenarios": {
            name: {
                "quantiles_s": {"0.95": 0.2, "0.99": 0.4},
                "error_ratio": 0.01,
                "dropped": 2,
                "verdict": {1: "invalid", 2: "void", 130: "unknown"}.get(status, "valid"),
                "exit_status": status,
            }
            for name, status in scenarios.items()
        },
    }
    folder.mkdir(parents=True)
    (folder / LOAD_FILE).write_text(json.dumps(told))
    return folder


@pytest.mark.parametrize(
    ("statuses", "gate", "exit_status"),
    [
        ({"usage": 0, "signup": 0}, "passed", 2),
        ({"usage": 0, "signup": 99}, "missed", 99),
        ({"usage": 1, "signup": 2}, "invalid", 1),
        ({"usage": 1, "signup": 99}, "invalid", 1),
        ({"usage": 0, "signup": 130}, "unknown", 2),
        ({"usage": 0, "signup": 2}, "unknown", 2),
    ],
)
def test_loads_are_a_gate_of_the_merge(
    tmp_path: Path, statuses: dict[str, int], gate: str, exit_status: int
) -> None:
    """Wrong money is invalid, a missed threshold misses, what proves nothing leaves it unknown."""
    make_parts(tmp_path / "parts")
    left(tmp_path / "parts" / "load", **statuses)
    merged = merge([tmp_path / "parts"], tmp_path / "out", MergeOptions())
    (own,) = [each for each in merged.gates if each.name == "load"]
    assert own.status == gate
    assert all(name in own.reason for name in statuses)
    assert merged.exit_status == exit_status  # the coverage's own gate is unknown here
    facts = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(facts["load"]["scenarios"]) == set(statuses)
    text = generate_latest(read_registry(tmp_path / "out", None, None)).decode()
    assert 'ci_load_latency_seconds{quantile="0.99",scenario="usage"} 0.4' in text
    assert "ci_load_rate 20.0" in text


def test_without_loads_there_is_no_gate(tmp_path: Path) -> None:
    """A pipeline that loads nothing is not asked about it."""
    make_parts(tmp_path / "parts")
    merged = merge([tmp_path / "parts"], tmp_path / "out", MergeOptions())
    assert "load" not in {gate.name for gate in merged.gates}
    assert merged.load is None


@pytest.mark.parametrize("text", ["{", "[]", '{"rate": 1, "scenarios": {}}', '{"rate": -1}'])
def test_a_damaged_summary_is_told(tmp_path: Path, text: str) -> None:
    """A cut or strange file makes the gate unknown, and never a green one."""
    left(tmp_path / "good", usage=0)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / LOAD_FILE).write_text(text)
    _, gate = read_loads([tmp_path])
    assert gate is not None
    assert gate.status == "unknown"
    assert str(tmp_path / "bad") in gate.reason


def test_of_two_jobs_of_one_scenario_the_worse_counts(tmp_path: Path) -> None:
    """A second job's good luck does not hide the first one's finding."""
    left(tmp_path / "a", usage=1)
    left(tmp_path / "b", usage=0)
    data, gate = read_loads([tmp_path])
    assert gate is not None
    assert data is not None
    assert gate.status == "invalid"
    assert data["scenarios"]["usage"]["verdict"] == "invalid"


def test_a_load_and_the_merge_speak_of_the_same_file_and_metrics() -> None:
    """The load suite writes the file that the merge looks for, and metrics that are declared."""
    document: dict[str, Any] = {
        "scenario": "usage",
        "scheduled": 10,
        "sent": 10,
        "duration_s": 2.0,
        "latency_ms": {"p95": 20.0, "p99": 30.0},
        "error_ratio": 0.0,
        "dropped": 0,
        "requested_rate": 5.0,
        "verdict": "valid",
        "exit_status": 0,
        "run_id": "r1",
    }
    told = exports.summary([document])
    assert exports.SUMMARY_FILE == LOAD_FILE
    assert told["rate"] == 5.0
    text = exports.prometheus_text(told)
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert names == {metric.name for metric in METRICS if metric.name.startswith("ci_load_")}
    assert 'ci_load_latency_seconds{quantile="0.95",scenario="usage"} 0.02' in text
