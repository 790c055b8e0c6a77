"""Loads on a real service: what holds, and what is told where something does not."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.target.wire import Call
from suites.load.parent.loading import Silent
from suites.load.parent.running import standing
from suites.load.parent.wish import Wish
from suites.load.scenarios.base import Base
from tests.cli.command import PROGRAM, Command
from tests.load.commanding import LOOSE, PATIENT, loaded, staging
from tests.proxy import Manners
from tests.stack.processes import eventually, marked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from suites.load.generator.client import Client


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["rate-limit", "usage", "webhooks", "signup"])
@pytest.mark.parametrize("where", ["here", "staging"])
def test_full_size_passes_on_the_reference(command: Command, name: str, where: str) -> None:
    """Every arrival is answered and the money right; objectives hold where the machine has time."""
    with contextlib.ExitStack() as undo:
        how: dict[str, Any] = {}
        arguments: tuple[str | Path, ...] = (name,)
        if where == "staging":
            own = undo.enter_context(staging(command))
            arguments, how = (name, "--target", own["target"]), {"env": own["env"]}
        done, data = loaded(command, *arguments, **how)
        if data["void_reasons"] or done.status == 99:
            # A machine that is busy otherwise proves nothing about time; it must about the rest.
            done, data = loaded(command, *arguments, *LOOSE, **how)
    assert done.status == 0, (done.out, data["error_reasons"])
    assert data["completed"] == data["scheduled"]
    assert data["errors"] == data["dropped"] == 0
    assert data["money"]["verdict"] == "valid"


@pytest.mark.nightly
def test_a_double_charge_under_load_is_invalid(command: Command) -> None:
    """Who is out how much by which call is told, although every latency is fine."""
    own = ("--with", "repeats=0.3", "--with", "charges=0.6", "--with", "summaries=0.1")
    done, data = loaded(
        command,
        *("usage", "--defect", "usage-told-twice-counts-twice", "--rate", "15", "--duration", "4"),
        *own,
        *LOOSE,
        *("--threshold", "latency_ms.p99<60000"),
    )
    assert done.status == 1
    assert data["verdict"] == "invalid"
    assert all(told["passed"] for told in data["thresholds"])
    found = [f for f in data["money"]["findings"] if f["check"] == "charges_are_explained"]
    assert found
    assert all(f["amount_minor"] == 2900 and f["customer"] and f["call"] for f in found)
    assert "charged again for usage" in done.out
    assert "29.00" in done.out


@pytest.mark.nightly
def test_a_slow_service_ends_with_99(command: Command) -> None:
    """Each answer takes its time: the objectives are missed, and nothing is wrong otherwise."""
    with staging(command, Manners(delay_s=0.3)) as own:
        done, data = loaded(
            *(command, "usage", "--target", own["target"], "--rate", "5", "--duration", "5"),
            *("--with", "charges=0", *PATIENT),
            env=own["env"],
        )
    assert done.status == 99, done.out
    assert data["verdict"] == "valid"
    assert data["money"]["verdict"] == "valid"
    assert data["service_ms"]["p50"] >= 300


@pytest.mark.nightly
def test_an_overloaded_generator_is_void(command: Command) -> None:
    """A scenario that thinks longer than there is time for proves nothing, and says so."""
    with answering() as url:
        asked = Wish(
            scenario="tests.load.test_on_a_service:Heavy",
            target="none",
            url=url,
            rate=200.0,
            duration_s=3.0,
            folder=command.folder / "results",
            money=False,
        )
        with standing(asked, Silent()) as run:
            data = run(asked)
    assert (data["verdict"], data["exit_status"]) == ("void", 2), data["headline"]
    assert data["void_reasons"]
    assert data["scheduled"] == data["sent"] + data["dropped"] + data["not_begun"]


@contextlib.contextmanager
def answering() -> Iterator[str]:
    """Serve 204 for whatever is asked; give the address."""

    class Page(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Heavy(Base):
    """Works on the generator's own processor before it asks for each number."""

    def arrive(self, k: int, client: Client) -> None:
        """Keep the processor busy for some 20 ms, and ask."""
        sum(range(500_000))
        client.post(client.connection.write(Call("GET", f"/{k}")), "ask", expect=(204,))


@pytest.mark.nightly
def test_a_killed_worker_leaves_it_unknown(command: Command) -> None:
    """One of two workers dies: its share is missing, nobody takes it over, and that is told."""
    out = command.folder / "out.json"
    arguments = ("load", "usage", "--rate", "10", "--duration", "20", "--processes", "2")
    with command.start(*arguments, *LOOSE, "--json", out) as running:
        running.until("answered")
        workers = _workers(command.mark)
        assert workers
        os.kill(workers[0], signal.SIGKILL)
        done = running.finish()
    data = json.loads(out.read_text())
    assert (done.status, data["verdict"]) == (2, "unknown"), done.out
    assert {worker["state"] for worker in data["workers"]} == {"done", "lost"}


def _workers(mark: str) -> list[int]:
    """Give the workers of a load: generators whose parent is one, too."""
    own = {
        pid: line
        for pid, line in marked(mark, "-m suites.load.generator").items()
        if "leash.py" not in line
    }
    return [pid for pid in own if _parent(pid) in own]


def _parent(pid: int) -> int:
    """Give a process's parent (proc(5))."""
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])


@pytest.mark.nightly
def test_a_target_that_vanishes_leaves_what_was_seen(command: Command) -> None:
    """The service dies in the middle: results so far, marked partial, and unknown."""
    out = command.folder / "out.json"
    arguments = ("load", "usage", "--rate", "10", "--duration", "60", "--json", out)
    with command.start(*arguments, *PATIENT) as running:
        running.until("answered")
        for pid in marked(command.mark, "simulators.billing", "serve"):
            os.kill(pid, signal.SIGKILL)
        done = running.finish()
    data = json.loads(out.read_text())
    assert (done.status, data["verdict"], data["partial"]) == (2, "unknown", True), done.out
    assert data["completed"] > 0
    assert "vanished" in " ".join(data["unknown_reasons"])
    assert data["money"]["verdict"] == "unknown"


@pytest.mark.nightly
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_keeps_what_was_seen(command: Command, presses: int) -> None:
    """Pressed once, it ends and its money is looked at; twice, it ends at once; both write."""
    out = command.folder / "out.json"
    arguments = ("load", "usage", "--rate", "10", "--duration", "60", "--json", out)
    with command.start(*arguments, *LOOSE) as running:
        running.until("answered")
        running.interrupt()
        running.until("ending the load")
        if presses > 1:
            running.interrupt()
        done = running.finish()
    data = json.loads(out.read_text())
    assert (done.status, data["verdict"], data["partial"]) == (130, "unknown", True), done.out
    assert data["completed"] > 0
    assert (command.folder / "results" / "usage" / "report.html").is_file()
    if presses == 1:
        assert data["money"]["verdict"] == "valid"
    assert command.nothing_left()


@pytest.mark.nightly
def test_a_full_disk_leaves_what_was_seen(command: Command) -> None:
    """Histories fill a disk of a few megabytes: the results are written all the same, partial."""
    place = command.folder / "tiny"
    place.mkdir()
    unshare, mount = shutil.which("unshare"), shutil.which("mount")
    tiny = f"mount -t tmpfs -o size=3m none {place}"
    if (
        not (unshare and mount)
        or subprocess.run(
            [unshare, "-Urm", "sh", "-c", tiny], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("this machine lets nobody mount a small disk")
    kept = command.folder / "kept.json"
    script = f'{tiny} && "$0" "$@"; status=$?; cp {place}/*/load.json {kept}; exit $status'
    program = (unshare, "-Urm", "sh", "-c", script, PROGRAM)
    arguments = ("load", "usage", "--rate", "60", "--duration", "20", "--results", place)
    with command.start(*arguments, *LOOSE, program=program) as running:
        done = running.finish()
    data = json.loads(kept.read_text())
    assert (done.status, data["verdict"], data["partial"]) == (2, "unknown", True), done.out
    assert data["completed"] > 0
    assert eventually(lambda: not command.left())
