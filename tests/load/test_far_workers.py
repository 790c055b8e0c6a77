"""Workers of other machines: what they did comes home, and they look for production themselves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from harness.errors import ProductionRefused
from harness.history import read_histories
from harness.stack.ports import reserve
from suites.load.generator.conducting import Conductor
from suites.load.generator.crew import Crew
from suites.load.parent.launcher import Spread, _environment
from suites.load.parent.loading import awaiting
from suites.load.plan import Plan
from suites.load.schedule import Stage
from tests.cli.command import CHECKOUT
from tests.load.commanding import LOOSE, loaded, staging

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Command

_STAGES = (Stage(1, 1),)


def _conductor(folder: Path) -> Conductor:
    plan = Plan("x", _STAGES, str(folder), {"url": "http://x"}, 1)
    conductor = Conductor(plan, {}, machine="m", send=lambda *_: None)
    conductor.assemble(["near", "far"])
    return conductor


def test_what_a_far_worker_recorded_is_kept_in_order(tmp_path: Path) -> None:
    """Pieces of a history make one file; a strange worker's are not taken."""
    conductor = _conductor(tmp_path)
    for worker, text in (("far", "one\n"), ("nobody", "x"), ("far", "two\n")):
        conductor.keep(worker, text)
    assert (tmp_path / "history-load-1.jsonl").read_text() == "one\ntwo\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_shared_folder_has_each_record_once(tmp_path: Path) -> None:
    """Where the worker's own file lies here already, what it sends is not added to it."""
    shared = tmp_path / "history-load-1.jsonl"
    shared.write_text("one\n")
    _conductor(tmp_path).keep("far", "one\n")
    assert shared.read_text() == "one\n"


def test_a_far_worker_refuses_production_by_what_it_sees() -> None:
    """A master that saw no sign of it does not make a worker load what its own machine tells of."""
    plan = Plan("webhooks", _STAGES, "/nowhere", {"url": "http://127.0.0.1:9/hook"}, 1)
    secrets, environment = {"webhook": "whsec_x"}, {"APP_ENV": "production"}
    Crew(plan, 0, 1, 1, secrets=secrets, environment=environment)
    with pytest.raises(ProductionRefused):
        Crew(plan, 0, 1, 1, secrets=secrets, environment=environment, guarded=True)


def test_nothing_but_its_command_line_tells_locust_what_to_do() -> None:
    """Variables that Locust reads are taken away; it is told where workers come from."""
    told = _environment({"LOCUST_USERS": "1", "LOCUST_HEADLESS": "x", "HOME": "h"}, {"A": "b"})
    assert {name for name in told if name.startswith("LOCUST_")} == {
        "LOCUST_WAIT_FOR_WORKERS_REPORT_AFTER_RAMP_UP"
    }
    assert (told["HOME"], told["A"]) == ("h", "b")
    assert Spread(master=True).placed().bind_port > 0


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])  # noqa: S104 - nothing listens there
def test_who_listens_everywhere_is_told_of_by_name(everywhere: str) -> None:
    """The command for another machine names this one, for its own 0.0.0.0 is itself."""
    spread = Spread(master=True, bind_host=everywhere, bind_port=5557)
    assert f"--master-host {socket.gethostname()} --master-port 5557" in awaiting(spread)
    named = Spread(master=True, bind_host="192.0.2.7", bind_port=5557)
    assert "--master-host 192.0.2.7 " in awaiting(named)


@pytest.mark.nightly
def test_a_far_workers_records_come_home(command: Command, tmp_path: Path) -> None:
    """A worker that shares no folder with its master sends what it did, and the money is judged."""
    with staging(command) as own:
        results = command.folder / "results"
        with reserve(0, "a master") as free:
            port = free.getsockname()[1]
        far = [*("-m", "harness.cli", "load", "worker"), "--master-host", "127.0.0.1"]
        env = {**os.environ, **own["env"], "PYTHONPATH": str(CHECKOUT)}
        worker = subprocess.Popen(
            [sys.executable, *far, "--master-port", str(port)], env=env, cwd=tmp_path
        )
        try:
            spread = ("--master", "--bind", f"127.0.0.1:{port}", "--results", results)
            figures = ("--rate", "5", "--duration", "3", *LOOSE)
            arguments = ("usage", "--target", own["target"], *figures, *spread)
            done, data = loaded(command, *arguments, env=own["env"])
            assert worker.wait(30) == 0
        finally:
            worker.kill()
            worker.wait()
    assert done.status == 0, (done.out, done.err)
    assert f"load worker --master-host 127.0.0.1 --master-port {port}" in done.err
    assert data["money"]["verdict"] == "valid"
    assert len(read_histories([results / "usage" / "history-load-0.jsonl"])) >= data["sent"]
