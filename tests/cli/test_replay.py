"""A breach comes back as a file that replays, as short as it can be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import report_of, secrets_in
from tests.stack.processes import linux_only

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Command

pytestmark = linux_only

DOUBLE = "usage-told-twice-counts-twice"
STORY = {
    "format": 1,
    "target": "reference",
    "check": "usage_takes_effect_once",
    "message": "one usage took two units",
    "steps": [
        {"operation": "create_customer", "inputs": {"email": "a-$RUN@test.example.com"}},
        {"operation": "record_usage", "customer": 0, "inputs": {"usage_id": "u-$RUN"}},
        {"operation": "record_usage", "customer": 0, "inputs": {"usage_id": "u-$RUN"}},
    ],
}


@pytest.fixture
def story(tmp_path: Path) -> Path:
    """Write a story of one usage told twice."""
    path = tmp_path / "replay-1.json"
    path.write_text(json.dumps(STORY))
    return path


def test_a_story_told_again_is_judged_again(command: Command, story: Path) -> None:
    """Where the breach still is, the verdict is invalid, and the requests can be printed."""
    finished = command.run("replay", story, "--defect", DOUBLE, "--as", "curl")
    assert finished.status == 1, finished
    assert finished.out.startswith("INVALID  3 steps, ")
    assert "the run had found: one usage took two units" in finished.out
    assert finished.out.count("/api/v1/billing/track_fix") == 2


def test_what_is_no_story_is_refused(command: Command, story: Path) -> None:
    """A person's mistake is a sentence with a next step."""
    command.run("replay", story.with_name("gone.json")).refused("gone.json cannot be read")
    command.run("replay", story, "--as", "poem").refused("nothing is written as 'poem'")
    command.run("replay", story, "--target", "nobody.toml").refused("nobody.toml")


@pytest.mark.nightly
def test_a_run_shortens_what_it_found(command: Command) -> None:
    """Of a story of eleven steps, those that the breach needs are left; a mended target passes."""
    folder = command.folder / "report"
    test = "test_a_charged_usage_told_again_is_not_charged_again"
    env = {"BILLING_HARNESS_TESTS": test, "BILLING_HARNESS_SHRINK": "1"}
    run = command.run("run", "--defect", DOUBLE, "--report", folder, env=env)
    assert run.status == 1, run
    assert "→ the shortest way there, seen again: " in run.out
    (way, *_) = report_of(folder)["reproductions"]
    assert way["replayed"]
    steps = json.loads((folder / "replay-1.json").read_text())["steps"]
    assert steps[0]["operation"] == "create_customer"
    assert len(steps) <= 5, steps
    assert secrets_in(folder) == []
    assert command.run("replay", folder / "replay-1.json", "--defect", DOUBLE).status == 1
    assert command.run("replay", folder / "replay-1.json").status == 0
