"""Scenarios ask for what they say, and their verdicts tell of what is wrong with a target.

What needs a service under a load that lasts is for the night (`-m nightly`): a machine that runs
other tests beside it measures nothing, so figures of time are only held there where they prove one.
"""

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
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import SettingsError, TargetError
from harness.target.wire import Call, Reply
from suites.load.measuring.result import Result
from suites.load.parent.loading import Silent
from suites.load.parent.running import standing
from suites.load.parent.wish import Wish
from suites.load.scenarios import SCENARIOS, Options, find_scenario
from suites.load.scenarios.base import Base, draw
from suites.load.scenarios.breakpoint import search
from suites.load.scenarios.rate_limit import RateLimit
from suites.load.scenarios.soak import Soak, quarters
from suites.load.scenarios.usage import Usage
from suites.load.schedule import count, duration_s
from tests.cli.command import PROGRAM, Command
from tests.load.commanding import LOOSE, PATIENT, loaded, staging
from tests.proxy import Manners
from tests.stack.processes import eventually, marked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from suites.load.generator.client import Client

# what is asked for


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_keeps_to_its_options(name: str) -> None:
    """Rate and duration are the user's, in both models, and scaling shortens the load."""
    scenario: Any = find_scenario(name)
    scenario.limit = 500
    asked = scenario.shape(Options(rate=4.0, duration_s=30.0))
    assert duration_s(asked) == pytest.approx(30.0)
    assert max(max(stage.rate, stage.end) for stage in asked) == 4.0
    users = find_scenario(name).shape(Options("closed", duration_s=30.0, users=3))
    assert max(max(stage.rate, stage.end) for stage in users) in {1.0, 3.0}
    assert scenario.help
    with pytest.raises(SettingsError, match="no option"):
        find_scenario(name).shape(Options(extra={"nothing": 1}))


def test_signup_ramps_to_20_50_and_100_users() -> None:
    """Users come in three steps, stay, and go; in the open model each signs up every 5 s."""
    scenario = find_scenario("signup")
    users = [stage.end for stage in scenario.shape(Options("closed"))]
    assert users == [20, 20, 50, 50, 100, 100, 0]
    rates = [stage.end for stage in scenario.shape(Options())]
    assert rates == [each / 5 for each in users]


def test_the_rate_limit_is_passed_by_fifty() -> None:
    """However it is scaled, the limit and fifty more are sent, one after the other."""
    for scale in (1.0, 0.5, 0.1):
        scenario = RateLimit()
        scenario.limit = 500
        stages = scenario.resized(scenario.shape(Options()), scale)
        assert count(stages) == 550
    assert RateLimit.connections == 1


def test_shares_of_usage_are_kept() -> None:
    """Drawn by number, arrivals fall into their shares, the same in every worker."""
    drawn = [draw(k) for k in range(1000)]
    for share in (0.05, 0.2, 0.5):
        assert sum(place < share for place in drawn) == pytest.approx(1000 * share, abs=3)


def test_thresholds_are_of_what_is_sent() -> None:
    """A kind of which no arrival comes has no threshold that could never be judged."""
    usage = Usage()
    usage.shape(Options(extra={"summaries": 1.0, "charges": 0.0}))
    assert usage.thresholds() == ("kind:summary.latency_ms.p95<50", "errors.ratio<0.01")


@pytest.mark.parametrize("limit", [3.0, 10.0, 25.0, 47.0, 99.0, 2000.0])
def test_the_breaking_point_is_found_near(limit: float) -> None:
    """Doubling and halving come within the precision, below what breaks; or to the highest."""
    tried: list[float] = []

    def attempt(rate: float) -> bool:
        tried.append(rate)
        return rate <= limit

    held = search(4.0, 1000.0, 0.15, attempt)
    if limit < 4:
        assert held is None
    elif limit > 1000:
        assert held == 1000.0
    else:
        assert held is not None
        assert held <= limit <= held * 1.2
    assert len(tried) <= 14


def test_a_rate_that_cannot_be_told_ends_the_search() -> None:
    """A void or interrupted load is neither held nor broken: the last that held is the answer."""
    assert search(4.0, 1000.0, 0.1, lambda rate: True if rate < 16 else None) == 8.0


def test_a_soak_that_slows_down_is_told() -> None:
    """The last quarter's latency is held against the first's, as a threshold of its own."""
    soak = Soak()
    series = [{"t": float(t), "completed": 5, "p99": 10.0 + 10 * t} for t in range(40)]
    result = Result("soak", series=series, partial=False)
    assert quarters(series) == (55.0, 355.0)
    soak.review(None, result)  # type: ignore[arg-type]  # this scenario asks the ground nothing
    assert result.exit_status == 99
    steady = [{**interval, "p99": 10.0} for interval in series]
    result = Result("soak", series=steady, partial=False)
    soak.review(None, result)  # type: ignore[arg-type]  # the same
    assert result.exit_status == 0


def test_a_limit_that_is_not_said_cannot_be_tried() -> None:
    """Without [limits] the rate-limit scenario ends before anything is sent, with the reason."""
    unlimited = SimpleNamespace(profile=SimpleNamespace(limits={}))
    ground: Any = SimpleNamespace(target=unlimited)
    with pytest.raises(TargetError, match="states none"):
        RateLimit().meet(ground)


@pytest.mark.parametrize(
    ("counters", "words"),
    [
        ({"limit_passed": 510, "limit_refused": 40}, "where 500 may"),
        ({"limit_passed": 490, "limit_refused_early": 10, "limit_refused": 60}, "before the 500"),
        ({"limit_passed": 400}, "was not reached"),
    ],
)
def test_a_limit_elsewhere_is_found(counters: dict[str, int], words: str) -> None:
    """More or fewer than the limit's requests are a breach; too few tried, a doubt."""
    limit = RateLimit()
    limit.limit = 500

    session = SimpleNamespace(perform=lambda *_, **__: None, last_reply=None)
    ground: Any = SimpleNamespace(aside=lambda _: session)
    found = limit.review(ground, Result("rate-limit", counters=counters))
    assert any(words in each["what"] for each in found), found


class _Limited:
    """A client of a service that allows 8, and tells of so many more left than there are."""

    def __init__(self, wrong: int) -> None:
        self.data = {"limit": 8, "customers": [{"id": "c", "provider_customer": None}]}
        self.failed: list[str] = []
        self.last_reply: Reply | None = None
        self._heard, self._wrong = 0, wrong

    def customer(self, *_: object) -> None: ...

    def count(self, _: str) -> None: ...

    def fail(self, reason: str) -> None:
        self.failed.append(reason)

    def perform(self, *_: object, **__: object) -> None:
        self._heard += 1
        left = max(0, 8 - self._heard) + self._wrong
        headers = (("X-RateLimit-Limit", "8"), ("X-RateLimit-Remaining", str(left)))
        self.last_reply = Reply(200, headers)


@pytest.mark.parametrize(("wrong", "failed"), [(0, 0), (1, 6)])
def test_arrivals_that_were_dropped_are_no_wrong_headers(wrong: int, failed: int) -> None:
    """What remains is held against the requests that the service can have counted."""
    client: Any = _Limited(wrong)
    scenario = RateLimit()
    for k in (0, 1, 2, 5, 6, 7):
        scenario.arrive(k, client)
    assert len(client.failed) == failed


# on a service


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
            scenario="tests.load.test_scenarios:Heavy",
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
    """Give the workers of a load: Locust's own processes whose parent is one, too."""
    own = {pid: line for pid, line in marked(mark, "-m locust").items() if "leash.py" not in line}
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
