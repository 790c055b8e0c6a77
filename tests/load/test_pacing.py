from functools import partial

import pytest

from suites.load.generator.pacing import ClosedPool, OpenPool
from suites.load.measuring.gathering import Ending, Worker, conclude, gather
from suites.load.measuring.recording import Recorder
from suites.load.measuring.result import Result
from suites.load.plan import Plan
from suites.load.schedule import Stage, offsets, share
from tests.load.virtual import VirtualTime

BEGAN = 1000.0
SERVICE_S = 0.0005


def _plan(*stages: Stage, **others: object) -> Plan:
    return Plan("x", stages, "/nowhere", {"url": "http://x"}, 1, **others)  # type: ignore[arg-type]  # a test's few


class FrozenService:
    """Answers after half a millisecond, but freezes for the last 2 s of every 10."""

    def __init__(self, time: VirtualTime) -> None:
        self.time = time
        self.arrived: list[int] = []

    def __call__(self, k: int, intended: float) -> tuple[None, bool]:
        started = self.time.now
        assert started >= intended
        self.arrived.append(k)
        into = (started - BEGAN) % 10
        self.time.sleep((10 - into if into >= 8 else 0) + SERVICE_S)
        return None, True


def _run(plan: Plan, workers: int, stall: float = 0.0) -> tuple[Result, FrozenService]:
    """Run a plan over workers that share one virtual time, 20 slots in all."""
    time = VirtualTime()
    service = FrozenService(time)
    recorders, works = [], []
    for index in range(workers):
        mine = list(share(offsets(plan.stages), index, workers))
        recorder = Recorder(len(mine), BEGAN, plan.interval_s)
        pool = OpenPool(
            iter(mine),
            recorder,
            lateness_s_max=plan.lateness_s_max,
            clock=time.clock,
            sleep=lambda seconds: time.sleep(seconds + stall),
        )
        slots = len(range(index, plan.connections, workers))
        works += [partial(pool.work, slot, service) for slot in range(slots)]
        recorders.append(recorder)
    time.run(works)
    told = [Worker(index, state="done") for index in range(workers)]
    for worker, recorder in zip(told, recorders, strict=True):
        worker.take(recorder.snapshot(whole=True))
    result = gather(plan, plan.scheduled(), told, (0.0, BEGAN))
    for recorder in recorders:
        recorder.cpu()
    result.generator["cpu"] = 0.0  # virtual seconds take no real ones
    return conclude(result, plan, told, Ending(complete=True)), service


@pytest.mark.parametrize("workers", [1, 3])
def test_a_freeze_shows_in_the_latency_as_one_computes_it_by_hand(workers: int) -> None:
    """At 50/s, 2 s of every 10 frozen: p90 is 1.0 s, p95 1.5 s, p99 1.9 s, over 20 connections."""
    result, service = _run(_plan(Stage(20, 50)), workers)
    assert sorted(service.arrived) == list(range(1000))
    assert (result.sent, result.completed, result.dropped) == (1000, 1000, 0)
    found = result.latency_ms
    assert found["p50"] <= 10
    for name, by_hand_ms in (("p90", 1000), ("p95", 1500), ("p99", 1900)):
        assert found[name] == pytest.approx(by_hand_ms, rel=0.02), name


def test_service_time_alone_hides_the_freeze() -> None:
    """Only 40 of 1000 requests were in the frozen server's hands, so its p95 looks splendid."""
    result, _ = _run(_plan(Stage(20, 50)), 1)
    assert result.service_ms["p95"] < 1
    assert 160 <= result.waited <= 162  # all but the first 20 of each freeze


def test_what_waits_too_long_is_dropped_and_counted() -> None:
    """Beyond the allowed lateness an arrival is not sent, and proves nothing unless allowed."""
    result, service = _run(_plan(Stage(20, 50), lateness_s_max=1.0), 1)
    assert result.dropped > 0
    assert result.sent == len(service.arrived)
    assert result.sent + result.dropped == result.scheduled == 1000
    assert result.not_begun == 0
    assert sum(moment["dropped"] for moment in result.series) == result.dropped
    assert result.verdict == "unknown"
    assert "the schedule was not kept" in result.unknown_reasons[0]
    allowed = ("dropped.ratio<0.9",)
    result, _ = _run(_plan(Stage(20, 50), lateness_s_max=1.0, thresholds=allowed), 1)
    assert result.verdict == "valid"


def test_a_late_generator_is_told_apart_from_a_late_service() -> None:
    """Where timers fire 80 ms late, starts are late though connections are free: void."""
    result, _ = _run(_plan(Stage(2, 10)), 1, stall=0.08)
    assert result.generator["start_lateness_ms_p99"] == pytest.approx(80, rel=0.01)
    assert result.waited == 0
    assert result.verdict == "void"


def test_a_stopped_pool_begins_nothing_more() -> None:
    """What is under way ends, what is still to come is counted as not begun."""
    time = VirtualTime()
    recorder = Recorder(100, BEGAN, 1.0)
    pool = OpenPool(
        iter(share(offsets([Stage(10, 10)]), 0, 1)),
        recorder,
        lateness_s_max=30,
        clock=time.clock,
        sleep=time.sleep,
    )

    def stop() -> None:
        time.sleep(2.0)
        pool.stop()

    time.run([partial(pool.work, 0, FrozenService(time)), stop])
    assert 19 <= recorder.sent == recorder.ended <= 21
    assert recorder.scheduled == 100


def test_closed_users_come_and_go_with_the_stages() -> None:
    """In the closed model, users wait for their answers: a freeze holds all of them up."""
    time = VirtualTime()
    service = FrozenService(time)
    plan = _plan(Stage(10, 2), Stage(10, 4), model="closed")
    works, recorders = [], []
    for index in range(2):
        recorder = Recorder(None, BEGAN, 1.0)
        pool = ClosedPool(
            plan.stages,
            recorder,
            worker=index,
            workers=2,
            think_s=1.0 - SERVICE_S,
            clock=time.clock,
            sleep=time.sleep,
        )
        works += [partial(pool.work, slot, service) for slot in range(3)]
        recorders.append(recorder)
    time.run(works)
    sent = sum(recorder.sent for recorder in recorders)
    # one a second each, 0 to 8 and 10 to 18; whom the first freeze holds comes back at 11 only
    assert sent == 2 * 9 + 2 * 8 + 2 * 9
    assert len(set(service.arrived)) == sent
    assert all(recorder.scheduled == recorder.sent for recorder in recorders)
