"""A run that is stopped in the middle keeps what it has, and leaves no process behind."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import REPORT_FILES, history_of, report_of, secrets_in
from tests.cli.targets import serving
from tests.stack.processes import eventually, linux_only

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.command import Command, Running

pytestmark = linux_only
WHILE_IT_RUNS = " of "
STOPS: dict[str, Callable[[Running], object]] = {
    "ctrl-c": lambda running: running.interrupt(),
    "sigint": lambda running: running.popen.send_signal(signal.SIGINT),
    "sigterm": lambda running: running.popen.terminate(),
}


@pytest.mark.nightly
@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("stop", ["ctrl-c", "sigint", "sigterm"])
def test_a_stopped_run_reports_what_had_run(
    command: Command, tmp_path: Path, stop: str, workers: str
) -> None:
    """Status 130, a report of what had run, judged, with its history; nothing is left."""
    folder = tmp_path / "report"
    with command.start("run", "-n", workers, "--report", folder) as running:
        running.until(WHILE_IT_RUNS)
        STOPS[stop](running)
        finished = running.finish()
    assert finished.status == 130, finished
    assert "Traceback" not in finished.err
    assert "the run was interrupted" in finished.out
    facts = report_of(folder)
    assert facts["interrupted"] is True
    assert facts["verdict"] == "unknown", finished
    (of,) = set(re.findall(r"of (\d+) tests", finished.err))
    assert 0 < sum(counts["passed"] for counts in facts["suites"].values()) < int(of)
    assert facts["customers"] > 0
    kinds = {check["kind"] for check in facts["checks"]}
    assert kinds <= {"valid", "skipped"}  # which facts there are depends on where it was stopped
    assert "valid" in kinds
    assert {file.name for file in folder.iterdir()} == REPORT_FILES
    assert {line["line"] for line in history_of(folder)} == {"run", "begin", "end"}
    assert secrets_in(folder) == []
    assert command.nothing_left()


@pytest.mark.nightly
@pytest.mark.parametrize(
    "workers", ["2", pytest.param("0", marks=pytest.mark.nightly)], ids=["workers", "alone"]
)
def test_a_killed_run_leaves_its_history_and_no_process(
    command: Command, tmp_path: Path, workers: str
) -> None:
    """After kill -9 of the command the stack and the workers end by themselves."""
    folder = tmp_path / "report"
    with command.start("run", "-n", workers, "--report", folder) as running:
        running.until(WHILE_IT_RUNS)
        running.popen.kill()
        assert running.finish().status == -9
    assert command.nothing_left()
    kept = "".join(part.read_text("utf-8") for part in folder.glob("history-*.jsonl"))
    assert '"record_usage"' in kept or '"receive_webhook"' in kept
    assert {file.name for file in folder.iterdir()} & REPORT_FILES == set()
    assert secrets_in(folder) == []


def test_ctrl_c_while_it_starts_ends_at_once(command: Command, tmp_path: Path) -> None:
    """Interrupted before any test, it says so, and leaves neither report nor old facts."""
    facts = tmp_path / "out.json"
    facts.write_text('{"verdict": "valid"}', "utf-8")
    arguments = ("run", "--report", tmp_path / "report", "--json", facts)
    with command.start(*arguments) as running:
        running.until("starting reference")
        running.interrupt()
        finished = running.finish()
    assert (finished.status, finished.out) == (130, "")
    assert finished.err.endswith("interrupted\n")
    assert not facts.exists()
    assert not (tmp_path / "report" / "report.json").exists()


def test_a_second_ctrl_c_ends_the_judging(command: Command, tmp_path: Path) -> None:
    """Whoever presses Ctrl-C again while it judges a target that hangs waits no longer."""
    folder = tmp_path / "report"
    with serving("hang", after=7) as odd:
        profile = odd.profile(tmp_path, timeout_s=600)
        arguments = ("run", "--target", profile, "--report", folder)
        with command.start(*arguments, env={"ODD_KEY": "key-of-the-operator"}) as running:
            assert eventually(lambda: len(odd.requests) > 7)
            running.interrupt()
            assert eventually(lambda: len(odd.requests) > 8)
            assert "judging" in running.said
            running.interrupt()
            finished = running.finish()
    assert finished.status == 130
    assert "Traceback" not in finished.err
    assert {file.name for file in folder.iterdir()} == {"history.jsonl"}


def test_ctrl_c_while_it_judges_still_gives_the_report(command: Command, tmp_path: Path) -> None:
    """Interrupted for the first time while it judges, it writes what had run, unjudged."""
    folder = tmp_path / "report"
    with serving("hang", after=5) as odd:  # what comes before the tests, which are all skipped
        profile = odd.profile(tmp_path, timeout_s=600)
        arguments = ("run", "--target", profile, "--report", folder, "--suite", "security")
        with command.start(*arguments, env={"ODD_KEY": "key-of-the-operator"}) as running:
            assert eventually(lambda: len(odd.requests) == 6)
            assert "judging" in running.said
            running.interrupt()
            finished = running.finish()
    assert finished.status == 130, finished
    assert "the run was interrupted" in finished.out
    assert report_of(folder)["checks"] == []
    assert {file.name for file in folder.iterdir()} == REPORT_FILES


@pytest.mark.nightly
def test_a_worker_that_dies_makes_the_verdict_unknown(command: Command, tmp_path: Path) -> None:
    """A worker that is killed in a test takes that test's answer along: never valid."""
    folder = tmp_path / "report"
    with command.start("run", "-n", "2", "--suite", "e2e", "--report", folder) as running:
        running.until(WHILE_IT_RUNS)
        worker = next(pid for pid, line in command.left().items() if "exec(eval(" in line)
        os.kill(worker, signal.SIGKILL)
        finished = running.finish()
    assert finished.status == 2, finished
    facts = report_of(folder)
    assert facts["verdict"] == "unknown"
    assert any("died" in doubt for doubt in facts["doubts"]), facts["doubts"]
    assert "Traceback" not in finished.err
