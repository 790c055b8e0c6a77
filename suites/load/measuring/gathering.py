"""Puts the books of all workers together, and holds what was sent against what was scheduled."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from suites.load.measuring.latency import Histogram, Moment, Track
from suites.load.measuring.result import Result
from suites.load.measuring.thresholds import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from suites.load.measuring.thresholds import Threshold
    from suites.load.plan import Plan

_INTERVALS_A_BREATH = 10

Books = dict[str, Any]
Breathe = Callable[[], object]


@dataclass(slots=True)
class Worker:
    """What is known of one worker: its books as they last came, and how it ended.

    `state` is `running`, `done` (its share is at its end) or `lost`.
    """

    index: int
    state: str = "running"
    books: Books = field(default_factory=dict)
    moments: dict[int, list[Any]] = field(default_factory=dict)

    def take(self, books: Mapping[str, Any]) -> None:
        """Take a snapshot in the place of the last one; intervals not told stay as they were."""
        self.books = dict(books)
        for index, figures in books["moments"]:
            self.moments[index] = figures


@dataclass(slots=True)
class Ending:
    """How a run ended, beside what its workers tell; `aborted` by which threshold, if by one."""

    complete: bool = False
    aborted: str | None = None
    vanished: bool = False
    unknown_reasons: list[str] = field(default_factory=list)


def gather(
    plan: Plan,
    scheduled: int | None,
    workers: list[Worker],
    started: tuple[float, float],
    breathe: Breathe = lambda: None,
) -> Result:
    """Add up what workers told, without a verdict on it: figures so far.

    `scheduled` is the whole schedule's count, None in the closed model. `started` is the intended
    start by the wall clock and by the monotonic one. `breathe` is called between steps of about a
    millisecond, for a process that does other things too.
    """
    result = Result(
        scenario=plan.scenario,
        model=plan.model,
        seed=plan.seed,
        run_id=plan.run_id,
        started_at=started[0],
        started_monotonic=started[1],
        requested_rate=round(plan.rate, 6),
        requested_rate_max=plan.rate_max,
        connections=plan.connections,
        interval_s=plan.interval_s,
    )
    told = [worker.books for worker in workers if worker.books]
    for name in ("sent", "completed", "dropped", "waited"):
        setattr(result, name, sum(books[name] for books in told))
    result.unfinished = result.sent - sum(books["ended"] for books in told)
    result.scheduled = sum(books["scheduled"] for books in told) if scheduled is None else scheduled
    result.not_begun = result.scheduled - result.sent - result.dropped
    result.duration_s = round(max((books["ended_after_s"] for books in told), default=0.0), 3)
    for books in told:
        _add(result.error_reasons, books["reasons"])
        _add(result.counters, books["counters"])
    _measure(result, told, breathe)
    result.series = _series(plan, workers, breathe)
    result.workers = [_line(worker) for worker in workers]
    return result


def conclude(result: Result, plan: Plan, workers: list[Worker], ending: Ending) -> Result:
    """Say what the figures are worth, and hold them against the thresholds."""
    result.partial = not ending.complete
    result.aborted = ending.aborted
    thresholds = parse(plan.thresholds)
    doubts = _doubts(result, workers, ending, thresholds)
    result.unknown_reasons = [*ending.unknown_reasons, *doubts]
    result.void_reasons = _overload(result, plan)
    result.thresholds = [held.judge(result) for held in thresholds]
    for told in result.thresholds:
        if told["expression"] == ending.aborted:
            told["passed"] = False
        if ending.vanished:  # what nobody answered says nothing of how fast or right answers are
            told["passed"] = None
        elif told["passed"] is None:
            result.unknown_reasons.append(f"nothing was measured for {told['expression']}")
    return result


def hopeless(plan: Plan, scheduled: int | None, workers: list[Worker]) -> str | None:
    """Name a threshold to abort on that cannot hold any more, whatever comes; None: there is none.

    In the closed model nobody knows what is still to come.
    """
    if scheduled is None:
        return None
    told = [worker.books for worker in workers if worker.books]
    for held in parse(plan.abort_on):
        allowed = held.allowed(scheduled)
        if allowed is None:
            continue
        series = held.section.removesuffix("_ms")
        if held.section in {"errors", "dropped"}:
            wrong = sum(
                books["arrivals"]["errors"] if series == "errors" else books["dropped"]
                for books in told
            )
        else:
            wrong = _merged(books["arrivals"][series] for books in told).above(held.limit * 1000)
        if wrong > allowed:
            return held.expression
    return None


def counted(workers: list[Worker], name: str) -> int:
    """Add up one count of all workers' books."""
    return sum(worker.books[name] for worker in workers if worker.books)


def _doubts(
    result: Result, workers: list[Worker], ending: Ending, thresholds: list[Threshold]
) -> list[str]:
    found = [f"worker {worker.index} was lost" for worker in workers if worker.state == "lost"]
    if ending.vanished:
        found.append("the target stopped answering, and the run was ended")
    elif not ending.complete:
        found.append("the run ended before its schedule did")
    elif result.not_begun and not ending.aborted:
        found.append(
            f"{result.not_begun} of {result.scheduled} scheduled arrivals were neither sent nor "
            "dropped"
        )
    if result.dropped and not any(held.section == "dropped" for held in thresholds):
        found.append(
            f"the schedule was not kept: {result.dropped} of {result.scheduled} arrivals waited"
            " longer than --max-lateness and were never sent; say a lower --rate, more"
            " --connections, or how many may be: --threshold 'dropped.ratio<0.01'"
        )
    if result.unfinished:
        found.append(f"{result.unfinished} arrivals were sent and never ended")
    if not result.sent:
        found.append("nothing was sent")
    return found


def _overload(result: Result, plan: Plan) -> list[str]:
    """Say where the generator, not the target, was the bottleneck."""
    found = []
    cpu = result.generator["cpu"]
    if cpu > plan.cpu_max:
        found.append(f"the generator used {cpu:.0%} of its core, more than {plan.cpu_max:.0%}")
    for name, what in (("start_lateness_ms_p99", "starts"), ("loop_lag_ms_p99", "wakes up")):
        late = result.generator[name]
        if late > plan.lateness_ms_max:
            found.append(
                f"the generator {what} {late:.1f} ms late at p99, "
                f"more than {plan.lateness_ms_max:g} ms"
            )
    return found


def _measure(result: Result, told: list[Books], breathe: Breathe) -> None:
    arrivals = Track()
    kinds: defaultdict[str, Track] = defaultdict(Track)
    for books in told:
        arrivals.add(books["arrivals"])
        for name, data in books["kinds"].items():
            breathe()
            kinds[name].add(data)
    result.errors = arrivals.errors
    result.error_ratio = round(result.errors / result.sent, 6) if result.sent else 0.0
    result.latency_ms = arrivals.latency.summary_ms()
    breathe()
    result.service_ms = arrivals.service.summary_ms()
    result.spectrum = arrivals.latency.spectrum()
    for name in sorted(kinds):
        breathe()
        result.kinds[name] = kinds[name].tell()
    lateness = _merged(books["lateness"] for books in told).summary_ms()
    lag = _merged(books["lag"] for books in told).summary_ms()
    result.generator = {
        "workers": float(len(told)),
        "cpu": round(max((books["cpu"] for books in told), default=0.0), 4),
        "start_lateness_ms_p50": lateness["p50"],
        "start_lateness_ms_p99": lateness["p99"],
        "start_lateness_ms_max": lateness["max"],
        "loop_lag_ms_p99": lag["p99"],
        "loop_lag_ms_max": lag["max"],
    }


def _merged(encoded: Any) -> Histogram:
    whole = Histogram()
    for data in encoded:
        whole.add(data)
    return whole


def _series(plan: Plan, workers: list[Worker], breathe: Breathe) -> list[dict[str, float]]:
    moments: defaultdict[int, Moment] = defaultdict(Moment)
    for worker in workers:
        for index, figures in worker.moments.items():
            moments[index].add(figures)
    told = []
    for index in sorted(moments):
        if index % _INTERVALS_A_BREATH == 0:
            breathe()
        told.append(moments[index].tell(index * plan.interval_s))
    return told


def _line(worker: Worker) -> dict[str, Any]:
    books = worker.books
    counts = {name: books.get(name, 0) for name in ("scheduled", "sent", "completed", "dropped")}
    lateness = _merged([books["lateness"]] if books else [])
    return {
        "index": worker.index,
        "state": worker.state,
        **counts,
        "not_begun": counts["scheduled"] - counts["sent"] - counts["dropped"],
        "cpu": round(books.get("cpu", 0.0), 4),
        "start_lateness_ms_p99": lateness.percentile_ms(99),
    }


def _add(into: dict[str, int], counts: Mapping[str, int]) -> None:
    into.update(Counter(into) + Counter(counts))
