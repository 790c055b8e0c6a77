"""Every gate can fail: each is given what it must not let through."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from ci.commands import app
from ci.gates import Gate, gate_file, kill_gate, read_gates, run_gate, security_gate
from ci.merge import MergeOptions, merge
from tests.ci.making import ALL, SECURITY, made, make_parts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("code", "status", "value"),
    [
        ("print('All checks passed!')", "passed", 0),
        ("print('Found 3 errors in 2 files'); raise SystemExit(1)", "missed", 3),
        ("raise SystemExit(99)", "missed", 1),
    ],
)
def test_a_command_decides_a_gate(code: str, status: str, value: int, tmp_path: Path) -> None:
    """Its exit status is the gate's; what a linter found is counted."""
    gate, exit_status = run_gate("lint", [sys.executable, "-c", code], tmp_path)
    assert (gate.status, gate.value) == (status, value)
    assert (exit_status == 0) == (status == "passed")


def test_a_command_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    """A gate whose program is missing never passes."""
    gate, exit_status = run_gate("lint", [str(tmp_path / "none")], tmp_path)
    assert (gate.status, exit_status) == ("unknown", 2)


def test_the_command_line_leaves_word_of_a_gate(tmp_path: Path) -> None:
    """`ci gate` runs what follows --, leaves a file that a merge reads, and refuses odd names."""
    runner = CliRunner()
    failing = [sys.executable, "-c", "raise SystemExit(1)"]
    runner.invoke(app, ["gate", "migrations-sqlite", "--out", str(tmp_path), "--", *failing])
    (gate,) = read_gates([tmp_path], ["migrations-sqlite"])
    assert (gate.name, gate.status) == ("migrations-sqlite", "missed")
    odd = runner.invoke(app, ["gate", "../x", "--out", str(tmp_path), "--", *failing])
    assert "cannot be called" in str(odd.exception)


@pytest.mark.parametrize(
    ("written", "status"),
    [
        (Gate("canary", "passed", "exit status 0").to_json(), "passed"),
        (Gate("canary", "missed", "exit status 99").to_json(), "missed"),
        (Gate("lint", "passed", "exit status 0").to_json(), "unknown"),
        ({"name": "canary", "status": "green", "reason": ""}, "unknown"),
        ("torn", "unknown"),
        (None, "unknown"),
    ],
)
@pytest.mark.parametrize("name", ["canary"])
def test_a_gate_that_left_no_good_word_does_not_pass(
    written: Any, status: str, name: str, tmp_path: Path
) -> None:
    """Missed gates end with 99, those of which nothing is known with 2; only a pass passes."""
    make_parts(tmp_path / "parts")
    if written is not None:
        file = gate_file(tmp_path / "parts", name)
        file.write_text(written if isinstance(written, str) else json.dumps(written))
    options = MergeOptions(coverage_min=0, coverage_webhooks_min=0, gates=(name,))
    found = merge([tmp_path / "parts"], tmp_path / "out", options)
    assert [gate.status for gate in found.gates if gate.name == name] == [status]
    assert found.exit_status == {"passed": 0, "missed": 99, "unknown": 2}[status]


def test_the_worst_word_of_a_gate_counts(tmp_path: Path) -> None:
    """Two jobs tell of one gate, and one of them missed it."""
    for place, status in (("a", "passed"), ("b", "missed"), ("c", "unknown")):
        (tmp_path / place).mkdir()
        told = {"name": "lint", "status": status, "reason": ""}
        gate_file(tmp_path / place, "lint").write_text(json.dumps(told))
    (gate,) = read_gates([tmp_path], [])
    assert gate.status == "missed"


@pytest.mark.parametrize(
    ("result", "status"),
    [("passed", "passed"), ("failed", "missed"), ("unknown", "unknown"), ("skipped", "unknown")],
)
def test_the_security_gate_asks_for_tests_that_passed(result: str, status: str) -> None:
    """One failure misses it; nothing that passed, or a doubt, is unknown."""
    gate = security_gate([made(SECURITY[0], result=result)])
    assert gate is not None
    assert gate.status == status
    assert security_gate([made(ALL[0])]) is None


@pytest.mark.parametrize(
    ("matrix", "status"),
    [
        ({"score": 0.9, "complete": True, "false_alarms": []}, "passed"),
        ({"score": 0.7, "complete": True, "false_alarms": []}, "missed"),
        ({"score": 0.9, "complete": False, "false_alarms": []}, "unknown"),
        ({"score": 0.9, "complete": True, "false_alarms": ["x"]}, "missed"),
        ({"score": "many"}, "unknown"),
        (None, "unknown"),
    ],
)
def test_the_kill_score_is_held_against_its_least(matrix: Any, status: str, tmp_path: Path) -> None:
    """Too few kills or a false alarm miss it; a partial or damaged matrix is unknown."""
    file = tmp_path / "matrix.json"
    if matrix is not None:
        file.write_text(json.dumps(matrix))
    assert kill_gate(file, 0.8).status == status
