"""A bad test is run again, alone, on the same stack: real runs over suites made for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import CHECKOUT, Command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUITE = '''
"""Tests that change their mind: each fails the first time that it is tried."""
from pathlib import Path
import pytest

def first_time(name):
    mark = Path(__file__).with_name(name)
    if mark.exists():
        return False
    mark.touch()
    return True

@pytest.mark.requirement("BH-9")
def test_fails_at_first(billing):
    """Fail once."""
    billing.perform("create_customer", email=billing.names.email(), name="A", source="direct")
    assert not first_time("plain"), "5 units, not 4"

@pytest.mark.requirement("BH-3")
def test_money_fails_at_first(billing):
    """Fail once, about money."""
    assert not first_time("money"), "2900 too much"

@pytest.mark.requirement("BH-9")
def test_fails_always(billing):
    """Fail whenever it is asked."""
    assert not billing, "never"

@pytest.mark.requirement("BH-9")
def test_passes(billing):
    """Pass."""
'''


@pytest.fixture
def suites(tmp_path: Path) -> Path:
    """Give a folder whose suites a run finds before the real ones."""
    (tmp_path / "suites" / "e2e").mkdir(parents=True)
    for folder in (tmp_path / "suites", tmp_path / "suites" / "e2e"):
        (folder / "__init__.py").touch()
    (tmp_path / "suites" / "e2e" / "test_mind.py").write_text(SUITE)
    return tmp_path


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """Give the command line; fail the test if a process of it outlives the test."""
    made = Command(tmp_path, f"again-{tmp_path.name}")
    yield made
    assert made.nothing_left(), f"left behind: {made.left()}"


@pytest.mark.nightly
def test_a_bad_test_is_tried_again_alone(suites: Path, command: Command) -> None:
    """Who passes then is flaky and unknown; about money it stays failed; all is in one history."""
    report = suites / "report"
    ended = command.run(
        *("run", "--partition", "1/1", "--report", report),
        env={"PYTHONPATH": f"{suites}:{CHECKOUT}", "BILLING_HARNESS_TESTS": ""},
    )
    told = json.loads((report / "report.json").read_text())
    tests = {test["id"].rpartition("::")[2]: test for test in told["tests"]}
    assert {name: (test["result"], test["flaky"]) for name, test in tests.items()} == {
        "test_fails_at_first": ("unknown", True),
        "test_money_fails_at_first": ("failed", True),
        "test_fails_always": ("failed", False),
        "test_passes": ("passed", False),
    }
    assert "running 3 bad tests again, alone" in ended.err
    assert (ended.status, told["verdict"]) == (1, "invalid")
    lines = [json.loads(line) for line in (report / "history.jsonl").read_text().splitlines()]
    ids = {line["id"].partition("-")[0] for line in lines if line["line"] == "end"}
    assert ids == {"preflight", "main", "again"}
    outputs = [line["outcome"]["outputs"] for line in lines if line["line"] == "end"]
    made = [each["customer"] for each in outputs if each.get("credential")]
    assert len(set(made)) == len(made) == 3, "a second try met the first one's customer"
    assert told["performed"] == sum(line["line"] == "end" for line in lines)
