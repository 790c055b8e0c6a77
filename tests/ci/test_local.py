"""The whole matrix on this machine: real partitions, each with a stack of its own, merged."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from ci.coverage import Counted, Measured
from ci.local import differing
from tests.cli.command import CHECKOUT, Command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FEW = ("--test", "test_trial", "--test", "test_paid")


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """Give the command line; fail the test if a process of it outlives the test."""
    made = Command(tmp_path, f"local-{tmp_path.name}")
    yield made
    assert made.nothing_left(), f"left behind: {made.left()}"


def test_lines_that_one_of_both_did_not_execute_are_named() -> None:
    """What is missing in both is no difference; a file that only one has shows in whole."""
    whole = Measured({"a.py": Counted(9, 7, (3, 5)), "b.py": Counted(2, 2)})
    parted = Measured({"a.py": Counted(9, 7, (5, 8)), "b.py": Counted(2, 2)})
    assert differing(whole, parted) == ["a.py:3,8"]
    assert differing(whole, whole) == []


@pytest.mark.nightly
def test_partitions_miss_nothing_that_the_whole_has(command: Command, tmp_path: Path) -> None:
    """The union is every test, none twice; coverage is the whole's; a cut partition is red."""
    out, facts = tmp_path / "ci", tmp_path / "facts.json"
    told = ("--out", out, "--json", facts, "--coverage-min", "0", "--coverage-webhooks-min", "0")
    how: dict[str, Any] = {"cwd": CHECKOUT, "env": {"BILLING_HARNESS_TESTS": ""}}
    ended = command.run("ci", "local", "--partitions", "2", "--whole", *FEW, *told, **how)
    assert ended.status == 0, ended
    data = json.loads(facts.read_text())
    local = data["local"]
    assert (data["verdict"], local["serial_verdict"]) == ("valid", "valid")
    assert local["collected"] == local["in_a_partition"] == len(data["tests"]) > 10
    assert local["twice"] == 0
    assert abs(local["coverage_difference"]) <= 0.001
    named = {"partition-1-of-2", "partition-2-of-2"}
    assert named <= set(data["code_coverage"]["contexts"])
    assert all(len(part["seeded"]) >= 8 for part in data["partitions"])
    assert {wrong for p in data["partitions"] for w in p["seeded"].values() for wrong in w} == set()
    assert len((out / "record.jsonl").read_text().splitlines()) == 1
    shutil.rmtree(out / "parts" / "2-of-2")
    merged = command.run("ci", "merge", out / "parts", "--out", out / "again", **how)
    assert merged.status == 2
    assert "partition 2 of 2 is missing" in merged.out
