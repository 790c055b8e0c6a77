"""How a load is led over several workers, and what becomes of one that dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]  # it declares no types
import pytest

from harness.stack.process import direct
from suites.load.generator.conducting import Conductor
from suites.load.measuring.gathering import Ending, Worker, conclude, gather, hopeless
from suites.load.measuring.recording import Recorder
from suites.load.measuring.result import Result
from suites.load.parent.launcher import LoadProcess, Spread, launch
from suites.load.plan import Plan
from suites.load.schedule import Stage
from tests.load.process import DEADLINE_S, freezing_server, plan_of, run, until

if TYPE_CHECKING:
    from pathlib import Path


def _plan(folder: str = "/nowhere", **others: Any) -> Plan:
    return Plan("x", (Stage(10, 10),), folder, {"url": "http://x"}, 1, **others)


def _books(scheduled: int, latencies_ms: list[float], errors: int = 0) -> dict[str, Any]:
    """Give the books of a worker that has done so many, the first of them errors."""
    recorder = Recorder(scheduled, 0.0, 1.0)
    for k, latency_ms in enumerate(latencies_ms):
        recorder.begin(0.0, 0.0, 0.0)
        reason = "HTTP 500" if k < errors else None
        recorder.end(k, 0.0, 0.0, latency_ms / 1000, reason, answered=True)
    books = recorder.snapshot(whole=True)
    books["cpu"] = 0.1
    return books


def _worker(index: int, books: dict[str, Any], state: str = "done") -> Worker:
    worker = Worker(index, state)
    worker.take(books)
    return worker


def _concluded(plan: Plan, workers: list[Worker], **ending: Any) -> Result:
    result = gather(plan, plan.scheduled(), workers, (0.0, 0.0))
    return conclude(result, plan, workers, Ending(**{"complete": True, **ending}))


def test_two_shares_make_the_whole() -> None:
    """Counts, errors, reasons and percentiles of two workers are those of one that did it all."""
    slow, fast = [100.0] * 50, [10.0] * 50
    split = _concluded(
        _plan(), [_worker(0, _books(50, slow, errors=3)), _worker(1, _books(50, fast))]
    )
    whole = _concluded(_plan(), [_worker(0, _books(100, slow + fast, errors=3))])
    assert split.verdict == whole.verdict == "valid"
    assert split.error_reasons == whole.error_reasons == {"HTTP 500": 3}
    for name in ("sent", "completed", "errors", "latency_ms", "spectrum", "series"):
        assert getattr(split, name) == getattr(whole, name), name


def test_a_lost_workers_share_is_a_shortfall_and_unknown() -> None:
    """What a dead worker had left is told as not begun, and the run is unknown."""
    workers = [_worker(0, _books(50, [1.0] * 50)), _worker(1, _books(50, [1.0] * 20), "lost")]
    result = _concluded(_plan(), workers)
    assert (result.scheduled, result.sent, result.not_begun) == (100, 70, 30)
    assert result.verdict == "unknown"
    assert result.exit_status == 2
    assert any("worker 1 was lost" in reason for reason in result.unknown_reasons)
    assert any("30 of 100" in reason for reason in result.unknown_reasons)


def test_an_arrival_that_nobody_accounts_for_is_unknown_though_all_workers_are_done() -> None:
    """Sent and dropped must come to what was scheduled, whatever the workers say."""
    result = _concluded(_plan(), [_worker(0, _books(99, [1.0] * 99))])
    assert result.verdict == "unknown"
    assert result.not_begun == 1


def test_an_overloaded_generator_makes_the_run_void() -> None:
    """Where the generator's own processor was full, no figure says anything of the target."""
    books = _books(100, [900.0] * 100)
    books["cpu"] = 0.97
    result = _concluded(_plan(thresholds=("latency_ms.p99<200",)), [_worker(0, books)])
    assert result.verdict == "void"
    assert result.missed == []
    assert result.exit_status == 2


def test_a_missed_threshold_ends_with_99() -> None:
    """A run whose facts are whole and whose objective is missed is valid, and ends with 99."""
    result = _concluded(
        _plan(thresholds=("latency_ms.p95<50",)), [_worker(0, _books(100, [100.0] * 100))]
    )
    assert (result.verdict, result.exit_status) == ("valid", 99)
    assert result.missed == ["latency_ms.p95<50"]


def test_wrong_money_comes_before_everything() -> None:
    """Money that is wrong is invalid, also in a run that is void or misses a threshold."""
    result = _concluded(_plan(), [_worker(0, _books(100, [1.0] * 100))])
    result.void_reasons = ["the generator was busy"]
    result.money = {"verdict": "invalid"}
    assert (result.verdict, result.exit_status) == ("invalid", 1)


@pytest.mark.parametrize(
    ("slow", "errors", "expected"),
    [(1, 0, None), (2, 0, "latency_ms.p99<200"), (0, 6, "errors.ratio<0.05"), (0, 5, None)],
)
def test_a_run_is_given_up_only_when_nothing_can_save_it(
    slow: int, errors: int, expected: str | None
) -> None:
    """Of 100 arrivals one may be slow and five errors; one more of either, and it is hopeless."""
    plan = _plan(abort_on=("latency_ms.p99<200", "errors.ratio<0.05"), thresholds=("sent.count>9",))
    books = _books(100, [1.0] * 10 + [300.0] * slow, errors=errors)
    assert hopeless(plan, 100, [_worker(0, books)]) == expected


def test_a_result_survives_its_file(tmp_path: Path) -> None:
    """What is written is read again as it was, with the same verdict."""
    result = _concluded(_plan(), [_worker(0, _books(100, [5.0] * 100))])
    result.write(tmp_path / "load.json")
    assert Result.read(tmp_path / "load.json") == result
    assert result.to_data()["verdict"] == "valid"


class Wire:
    """Locust's messages, as a conductor sends them."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, kind: str, data: dict[str, Any], worker: str) -> None:
        self.sent.append((kind, worker, data))


def test_all_workers_are_ready_before_any_begins(tmp_path: Path) -> None:
    """Each is told its share; the start is told to all once the last one is ready."""
    wire = Wire()
    conductor = Conductor(_plan(str(tmp_path)), {"webhook": "whsec_1"}, machine="m", send=wire)
    conductor.assemble(["a", "b"])
    shares = [(data["index"], data["count"]) for kind, _, data in wire.sent if kind == "load_plan"]
    assert shares == [(0, 2), (1, 2)]
    conductor.ready("a")
    assert "load_begin" not in [kind for kind, _, _ in wire.sent]
    conductor.ready("b")
    starts = [data for kind, _, data in wire.sent if kind == "load_begin"]
    assert len(starts) == 2
    assert starts[0] == starts[1]


def test_a_worker_that_cannot_get_ready_ends_the_run(tmp_path: Path) -> None:
    """Nobody waits for it: the reason is told, and the run is unknown."""
    conductor = Conductor(_plan(str(tmp_path)), {}, machine="m", send=Wire())
    conductor.assemble(["a", "b"])
    conductor.fail("a", "TargetError: there is no target 'x'")
    assert conductor.look({"a", "b"})
    conductor.finish()
    assert conductor.result is not None
    assert conductor.result.verdict == "unknown"
    assert any("there is no target" in reason for reason in conductor.result.unknown_reasons)


def test_the_run_goes_on_until_the_last_worker_is_done(tmp_path: Path) -> None:
    """One that is done does not end it; the last one does, and its result is complete."""
    conductor = Conductor(_plan(str(tmp_path)), {}, machine="m", send=Wire())
    conductor.assemble(["a", "b"])
    conductor.ready("a")
    conductor.ready("b")
    conductor.take("a", _books(50, [1.0] * 50), done=True)
    assert not conductor.look({"a", "b"})
    conductor.take("b", _books(50, [1.0] * 50), done=True)
    assert conductor.look({"a", "b"})
    conductor.finish()
    assert conductor.result is not None
    assert conductor.result.verdict == "valid"


def test_a_hopeless_threshold_ends_the_run_with_99(tmp_path: Path) -> None:
    """Nothing more is begun, the rest is told as not begun, and the threshold counts as missed."""
    wire = Wire()
    plan = _plan(str(tmp_path), thresholds=("latency_ms.p50<9",), abort_on=("latency_ms.p50<9",))
    conductor = Conductor(plan, {}, machine="m", send=wire)
    conductor.assemble(["a"])
    conductor.ready("a")
    conductor.take("a", _books(100, [5.0] * 60 + [50.0] * 20), done=False)
    conductor.give_up_if_hopeless()
    assert "load_end" not in [kind for kind, _, _ in wire.sent]
    conductor.take("a", _books(100, [5.0] * 20 + [50.0] * 51), done=False)
    conductor.give_up_if_hopeless()
    assert "load_end" in [kind for kind, _, _ in wire.sent]
    conductor.take("a", _books(100, [5.0] * 20 + [50.0] * 51), done=True)
    conductor.finish()
    result = conductor.result
    assert result is not None
    assert (result.aborted, result.not_begun) == ("latency_ms.p50<9", 29)
    assert (result.verdict, result.exit_status, result.missed) == ("valid", 99, [result.aborted])


def test_a_target_that_vanishes_ends_the_run(tmp_path: Path, monkeypatch: Any) -> None:
    """Once arrivals only end without an answer, nothing more is begun: partial and unknown."""
    monkeypatch.setattr("suites.load.generator.conducting.SILENT_S", -5.0)
    wire = Wire()
    plan = _plan(str(tmp_path), thresholds=("errors.ratio<0.01",))
    conductor = Conductor(plan, {}, machine="m", send=wire)
    conductor.assemble(["a"])
    conductor.ready("a")
    conductor.take("a", _books(100, [1.0] * 20), done=False)
    conductor.give_up_if_hopeless()
    assert "load_end" not in [kind for kind, _, _ in wire.sent]
    lost = _books(100, [1.0] * 30, errors=10)
    lost["completed"] = 20
    conductor.take("a", lost, done=False)
    conductor.give_up_if_hopeless()
    assert "load_end" in [kind for kind, _, _ in wire.sent]
    conductor.take("a", lost, done=True)
    conductor.finish()
    assert conductor.result is not None
    assert (conductor.result.verdict, conductor.result.partial) == ("unknown", True)
    assert conductor.result.exit_status == 2
    assert any("stopped answering" in reason for reason in conductor.result.unknown_reasons)


def _workers_of(load: LoadProcess) -> list[psutil.Process]:
    """Give the processes that work: those that the leash's child, the master, has forked."""
    (master,) = psutil.Process(load.pid).children()
    return sorted(master.children(), key=lambda process: process.pid)


@pytest.mark.nightly
def test_a_killed_worker_leaves_a_shortfall_and_unknown(tmp_path: Path) -> None:
    """One of two processes is killed in the middle: what it left undone is told, nothing hidden."""
    with freezing_server(tmp_path, every_s=1000, freeze_s=0) as server:
        patient = {"lateness_ms_max": 60_000.0, "cpu_max": 9.0}  # a busy machine's load is void
        plan = plan_of(tmp_path, server.url, Stage(6, 20), connections=4, **patient)
        load = launch(plan, Spread(processes=2))
        try:
            until(load, lambda result: all(told.get("sent") for told in result.workers))
            os.kill(_workers_of(load)[0].pid, signal.SIGKILL)
            assert load.wait(90)
            result = load.finish()
        finally:
            load.kill()
    assert sorted(told["state"] for told in result.workers) == ["done", "lost"]
    assert result.scheduled == 120 == result.sent + result.dropped + result.not_begun
    assert result.not_begun > 0
    assert (result.verdict, result.exit_status) == ("unknown", 2)
    assert result.sent <= len(server.requests) < 120


@pytest.mark.nightly
def test_three_processes_send_what_one_sends(tmp_path: Path) -> None:
    """The same arrivals reach the server, by one worker and by three."""
    seen = []
    for processes in (0, 3):
        folder = tmp_path / str(processes)
        folder.mkdir()
        with freezing_server(folder, every_s=1000, freeze_s=0) as server:
            result = run(
                plan_of(folder, server.url, Stage(4, 40), poisson=True), Spread(processes=processes)
            )
        assert result.verdict in {"valid", "void"}
        seen.append(sorted(server.requests))
    assert seen[0] == seen[1] == list(range(len(seen[0])))


@pytest.mark.nightly
def test_a_run_that_is_stopped_writes_what_it_has(tmp_path: Path) -> None:
    """Told to stop in the middle, it ends soon, marked partial and unknown, and adds up."""
    with freezing_server(tmp_path, every_s=1000, freeze_s=0) as server:
        load = launch(plan_of(tmp_path, server.url, Stage(60, 20)), Spread(processes=2))
        try:
            until(load, lambda result: result.sent > 10)
            load.stop()
            assert load.wait(30)
            result = load.finish()
        finally:
            load.kill()
    assert result.partial
    assert result.verdict == "unknown"
    assert result.scheduled == 1200 == result.sent + result.dropped + result.not_begun
    assert 10 < result.sent == len(server.requests)


@pytest.mark.nightly
def test_a_server_that_dies_ends_the_load(tmp_path: Path) -> None:
    """A target that is gone in the middle is not shot at for a minute: partial, and unknown."""
    with freezing_server(tmp_path, every_s=1000, freeze_s=0) as server:
        load = launch(plan_of(tmp_path, server.url, Stage(60, 20), thresholds=("errors.ratio<1",)))
        try:
            until(load, lambda result: result.sent > 20)
        except BaseException:
            load.kill()
            raise
    try:
        assert load.wait(DEADLINE_S)
        result = load.finish()
    finally:
        load.kill()
    assert (result.verdict, result.partial, result.exit_status) == ("unknown", True, 2)
    assert result.completed == len(server.requests)
    assert result.not_begun > 0
    assert result.scheduled == 1200 == result.sent + result.dropped + result.not_begun


@pytest.mark.nightly
def test_locusts_page_shows_the_load(tmp_path: Path) -> None:
    """Locust's own statistics count what was sent, and the page stays after the load has ended."""
    with freezing_server(tmp_path, every_s=1000, freeze_s=0) as server:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        plan = plan_of(tmp_path, server.url, Stage(2, 20))
        load = launch(plan, Spread(processes=2, web_port=port))
        try:
            until(load, lambda result: not result.partial)
            stats: dict[str, int] = {}
            ends_at = time.monotonic() + 30  # workers report once a second
            while stats.get("Aggregated") != 40 and time.monotonic() < ends_at:
                with direct.open(f"http://127.0.0.1:{port}/stats/requests", timeout=10) as reply:
                    told = json.load(reply)["stats"]
                stats = {entry["name"]: entry["num_requests"] for entry in told}
                time.sleep(0.2)
            assert load.running()
            load.stop()
            assert load.wait(60)
            result = load.finish()
        finally:
            load.kill()
    assert stats == {"ask": 40, "Aggregated": 40}
    assert (result.sent, result.partial) == (40, False)


@pytest.mark.nightly
def test_a_generator_that_cannot_keep_up_is_void(tmp_path: Path) -> None:
    """A scenario that needs more processor than there is makes the run void."""
    with freezing_server(tmp_path, every_s=1000, freeze_s=0) as server:
        plan = plan_of(tmp_path, server.url, Stage(2, 100), scenario="tests.load.asking:Pondering")
        result = run(plan)
    assert result.verdict == "void"
    assert result.scheduled == result.sent + result.dropped + result.not_begun
