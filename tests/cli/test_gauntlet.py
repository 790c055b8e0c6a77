"""The gauntlet as its user runs it: real services, broken on purpose, and the suites let loose."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.command import ACME, CHECKOUT
from tests.stack.processes import linux_only

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Command

pytestmark = linux_only
CANARY = ("gauntlet", "--defect", "canary", "--suite", "e2e")


def matrix_of(folder: Path) -> dict[str, Any]:
    """Read what a gauntlet left."""
    assert (folder / "matrix.html").read_text("utf-8").startswith("<!doctype html>")
    data: dict[str, Any] = json.loads((folder / "matrix.json").read_text("utf-8"))
    return data


@pytest.mark.nightly  # every CI run does the same by `make canary`
def test_the_canary_is_killed_and_the_clean_service_is_not(
    command: Command, tmp_path: Path
) -> None:
    """The suites find a cent too much at Stripe, by the check for it, and nothing on the clean."""
    finished = command.run(*CANARY, "--report", tmp_path)
    assert finished.status == 0, finished
    assert finished.out.startswith("KILLED 1 OF 1  1 defects: 1 killed; 0 false alarms")
    told = matrix_of(tmp_path)
    (row,) = told["defects"]
    assert row["killed_as_intended"] is True
    assert row["killed_by"]["check"] in row["found_by"]
    assert row["operations"] > 0
    assert (told["complete"], told["false_alarms"], told["survivors"]) == (True, [], [])


@pytest.mark.nightly
def test_ctrl_c_keeps_a_partial_matrix(command: Command, tmp_path: Path) -> None:
    """Status 130, a matrix marked partial, and nothing left running."""
    with command.start(*CANARY, "--report", tmp_path) as running:
        running.until("1 defects, then the clean target")
        running.interrupt()
        finished = running.finish()
    assert finished.status == 130, finished
    assert "Traceback" not in finished.err
    told = matrix_of(tmp_path)
    assert told["complete"] is False
    assert "the gauntlet was interrupted" in told["gaps"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--defect", "nope"), "there is no defect 'nope'"),
        (("--suite", "nope", "--defect", "canary"), "there is no suite 'nope'"),
        (("--target-command", "acme", "--defect", "a"), "does not say where the defect goes"),
        (("--defect", "canary", "--report", "/proc/none"), "the report cannot be written"),
    ],
)
def test_a_mistake_in_the_asking_is_told(
    command: Command, arguments: tuple[str, ...], said: str
) -> None:
    """Status 2, a sentence and the next step, before anything starts."""
    command.run("gauntlet", *arguments).refused(said)


@pytest.mark.nightly
def test_a_service_of_ones_own_is_broken_by_its_own_command(
    command: Command, tmp_path: Path
) -> None:
    """An adopter's mutant is found; one that does not start is told, and the matrix is partial."""
    acme = "python -m tests.targets.acme --port ${PORT} --bug {defect}"
    finished = command.run(
        *("gauntlet", "--target", ACME, "--target-command", acme, "--suite", "e2e"),
        *("--defect", "double-welcome", "--defect", "no-such-bug", "--report", tmp_path),
        cwd=CHECKOUT,
    )
    told = matrix_of(tmp_path)
    rows = {row["name"]: row for row in told["defects"]}
    assert rows["double-welcome"]["status"] == "killed", finished
    assert rows["no-such-bug"]["status"] == "unknown"
    assert "ended before it was ready" in rows["no-such-bug"]["reason"]
    assert (finished.status, told["complete"], told["false_alarms"]) == (2, False, [])


@pytest.mark.parametrize(
    ("target", "said"),
    [("acme", "only the reference has defects"), ("reference", "does not start its target")],
)
def test_a_run_refuses_a_defect_that_its_target_cannot_have(
    command: Command, target: str, said: str
) -> None:
    """Only the reference has defects by name, and only a target that is started has a command."""
    option = ("--defect", "canary") if target == "acme" else ("--target-command", "acme")
    spec = ACME if target == "acme" else target
    command.run("run", "--target", spec, *option, cwd=CHECKOUT).refused(said)
