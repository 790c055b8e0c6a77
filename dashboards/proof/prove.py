"""Proves every panel and alert: plays the scenario, asks Prometheus, compares with the truth."""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashboards.facts import DAY_S, Facts, Moment
from dashboards.levels import LEVELS
from dashboards.observables import plans
from dashboards.proof.clockwork import BEFORE_MARK_S
from dashboards.proof.judging import Shown, When, judge_alert, judge_query
from dashboards.proof.pipeline import FAILED, SLOW, push_run, pushgateway
from dashboards.proof.prometheus import Prometheus, backfill, need, prometheus
from dashboards.proof.reading import Bounds, read_facts
from dashboards.proof.timeline import JOB, open_metrics
from dashboards.proof.world import Wanted, World, understood, watch, world
from harness.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dashboards.objectives import Objectives
    from dashboards.observables.model import DashboardPlan, Observable, Query
    from dashboards.proof.clockwork import Snapshot

RATE_S = 1200
SEGMENT = "marketplace"
"""Of the customers' segments, the one that is asked for alone."""
_SEGMENT, _METRIC = '"$segment"', re.compile(r"billing_\w+")
_PUSHED = ("ci", "load")
LIVE = "as it was scraped"
STRETCHED_SHARE = 0.05
"""What Prometheus may stretch a live window by, and scrapes may miss of their own requests."""
_FIXED = re.compile(r"\[\d+[smhd]\]|job:")
_SCRAPED_S = 20.0
_PICTURED_S = 2 * DAY_S
_PICTURE_STEP_S = 3600.0


@dataclass(frozen=True, slots=True)
class Course:
    """How a panel's query went over the last days, for its picture."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """All that was shown and whether it was true; times in seconds."""

    seed: int
    began_s: float
    took_s: float
    shown: tuple[Shown, ...]
    courses: dict[str, tuple[Course, ...]] = field(default_factory=dict)

    @property
    def different(self) -> tuple[Shown, ...]:
        """Give what differs."""
        return tuple(each for each in self.shown if not each.is_equal)


def prove(objectives: Objectives, wanted: Wanted, tell: Callable[[str], None]) -> Proof:
    """Prove all three dashboards. Raises `StackError` where it cannot be run."""
    began_s, began = time.time(), time.monotonic()
    for program in ("prometheus", "promtool", "prometheus-pushgateway"):
        need(program)
    made = plans(objectives)
    with tempfile.TemporaryDirectory(prefix="proof-") as name:
        folder = Path(name)
        snapshots, bounds, shown = _live(folder, wanted, made, tell)
        tell("virtual time goes into Prometheus")
        with virtual(folder, snapshots) as there:
            shown = judge_moments(made[0], bounds, snapshots, there) + shown
            courses = _courses(made[0], snapshots, there)
    return Proof(wanted.seed, began_s, time.monotonic() - began, tuple(shown), courses)


def prove_virtual(
    objectives: Objectives, wanted: Wanted, tell: Callable[[str], None]
) -> list[Shown]:
    """Prove the billing dashboard in virtual time alone: the quick half. Raises `StackError`."""
    with tempfile.TemporaryDirectory(prefix="proof-") as name:
        folder = Path(name)
        snapshots, bounds = watch(wanted, folder, tell)
        with virtual(folder, snapshots) as prom:
            return judge_moments(plans(objectives)[0], bounds, snapshots, prom)


@contextlib.contextmanager
def virtual(folder: Path, snapshots: Sequence[Snapshot]) -> Iterator[Prometheus]:
    """Start a Prometheus that holds the snapshots as a stretch of virtual time."""
    page = folder / "virtual.om"
    with page.open("w", encoding="utf-8") as file:
        file.writelines(open_metrics(snapshots))
    backfill(page, folder / "virtual")
    with prometheus(folder, "virtual") as there:
        yield there


def judge_moments(
    plan: DashboardPlan, bounds: Bounds, snapshots: Sequence[Snapshot], there: Prometheus
) -> list[Shown]:
    """Ask every query and alert at every mark but the first, before which there is nothing.

    Each that can be asked of one segment of the customers is asked so, too.
    """
    found: list[Shown] = []
    segment = _of_segment(bounds)
    queries = [(each, query) for each in plan.observables for query in each.queries]
    for snapshot in snapshots[1:]:
        when, known = when_of(snapshot), Bounds(Facts(), Facts())
        if snapshot.knows != "nothing":
            known = bounds
        for each, query in queries:
            if _can_be_true(query.expr, snapshot):
                found.append(_ask(there, plan.name, each, query, known, when))
            if _SEGMENT in query.expr and snapshot.knows == "all":
                name = f"{when.name}, {SEGMENT} alone"
                chosen = replace(when, name=name, chosen=(("segment", SEGMENT),))
                found.append(_ask(there, plan.name, each, query, segment, chosen))
        alerts = (alert for alert in plan.alerts if _can_be_true(alert.expr, snapshot))
        found += (_alert(there, plan.name, alert, known, when) for alert in alerts)
    return found


def _can_be_true(expr: str, snapshot: Snapshot) -> bool:
    """Whether the truth of a query can be known then: of the books, only what is read from them."""
    asked = set(_METRIC.findall(expr))
    if snapshot.knows == "nothing":
        return asked == {"billing_database_up"}
    return snapshot.knows == "all" or asked <= LEVELS.keys()


def _of_segment(bounds: Bounds) -> Bounds:
    def kept(facts: Facts) -> Facts:
        own = (f for f in facts.events if f.fields.get("customer_segment") == SEGMENT)
        return Facts(tuple(own))

    return Bounds(kept(bounds.least), kept(bounds.most))


def when_of(snapshot: Snapshot) -> When:
    """Give the moment of a snapshot; a truth is as old as the snapshot is."""
    moment = Moment(snapshot.mark_s - BEFORE_MARK_S, DAY_S, RATE_S)
    return When(snapshot.name, moment, snapshot.mark_s)


def _ask(  # noqa: PLR0913, PLR0917 - what a comparison is made of
    there: Prometheus, name: str, each: Observable, query: Query, bounds: Bounds, when: When
) -> Shown:
    return judge_query(name, each, query, bounds, when, lambda e: there.ask(e, when.asked_s))


def _alert(there: Prometheus, name: str, alert: Any, bounds: Bounds, when: When) -> Shown:
    return judge_alert(name, alert, bounds, when, lambda e: there.ask(e, when.asked_s))


def _live(
    folder: Path, wanted: Wanted, made: Sequence[DashboardPlan], tell: Callable[[str], None]
) -> tuple[Sequence[Snapshot], Bounds, list[Shown]]:
    """Play the scenario while a Prometheus scrapes it, and judge what it then shows."""
    with contextlib.ExitStack() as undo:
        undo.enter_context(understood())
        tell("the stack starts")
        there = undo.enter_context(world(wanted, folder))
        tell("a pipeline is merged and pushed")
        gateway = undo.enter_context(pushgateway(folder))
        facts = push_run(FAILED, folder, gateway)
        scrapes = _scrapes(folder, there, gateway)
        watching = undo.enter_context(prometheus(folder, "live", scrapes))
        _scraped_since(watching, 0.0)
        there.scenario.play(tell)
        seen = there.seen()
        tell("Prometheus is asked")
        at_s = _scraped_since(watching, time.time())
        shown = _judge_live(made[0], read_facts(seen), seen.snapshots, watching, at_s)
        shown += _judge_pushed(made, _PUSHED, facts, watching, (at_s, FAILED.title))
        facts = push_run(SLOW, folder, gateway)
        at_s = _scraped_since(watching, time.time())
        shown += _judge_pushed(made, _PUSHED, facts, watching, (at_s, SLOW.title))
        there.scenario.play_past_the_service(tell)
        seen = there.seen()
        return seen.snapshots, read_facts(seen), shown


def _scrapes(folder: Path, there: World, gateway: str) -> list[dict[str, Any]]:
    token = folder / "token"
    token.touch(0o600)
    token.write_text(there.stack.addresses.metrics_token, encoding="utf-8")
    service = there.stack.addresses.billing_url.removeprefix("http://")
    return [
        {
            "job_name": JOB,
            "authorization": {"credentials_file": str(token)},
            "static_configs": [{"targets": [service]}],
        },
        {
            "job_name": "pushgateway",
            "honor_labels": True,
            "static_configs": [{"targets": [gateway.removeprefix("http://")]}],
        },
    ]


def _scraped_since(there: Prometheus, since_s: float) -> float:
    """Wait for a scrape of both that began after a moment; give when the service's was.

    At the very moment of a scrape no window is stretched at its end.
    """
    ends_at = time.monotonic() + _SCRAPED_S
    while time.monotonic() < ends_at:
        now_s = time.time()
        found = [
            there.ask(f"timestamp({metric})", now_s).values
            for metric in ("billing_database_up", "ci_run_success")
        ]
        if all(found) and min(min(each.values()) for each in found) > since_s:
            return max(found[0].values())
        time.sleep(0.1)  # between two looks, bounded by the deadline
    raise StackError(
        f"Prometheus scraped nothing for {_SCRAPED_S:g} s",
        hint="Is the machine overrun? Run the proof again on its own.",
    )


def _judge_live(
    plan: DashboardPlan,
    bounds: Bounds,
    snapshots: Sequence[Snapshot],
    there: Prometheus,
    at_s: float,
) -> list[Shown]:
    """Ask for the whole run, whose virtual length every window has.

    A query whose own window is shorter cannot be asked so: virtual time shows it.
    """
    length_s = snapshots[-1].mark_s - snapshots[0].begins_s + DAY_S
    moment = Moment(snapshots[-1].mark_s, length_s, length_s)
    when = When(LIVE, moment, at_s, STRETCHED_SHARE)
    found = [
        _ask(there, plan.name, each, query, bounds, when)
        for each in plan.observables
        for query in each.queries
        if not _FIXED.search(query.expr)
    ]
    alerts = (alert for alert in plan.alerts if not _FIXED.search(alert.expr))
    return found + [_alert(there, plan.name, alert, bounds, when) for alert in alerts]


def _judge_pushed(
    made: Sequence[DashboardPlan],
    names: Sequence[str],
    facts: Facts,
    there: Prometheus,
    seen: tuple[float, str],
) -> list[Shown]:
    at_s, title = seen
    when, bounds = When(f"as it was pushed: {title}", Moment(at_s), at_s), Bounds(facts, facts)
    found: list[Shown] = []
    for plan in (each for each in made if each.name in names):
        found += (
            _ask(there, plan.name, each, query, bounds, when)
            for each in plan.observables
            for query in each.queries
        )
        found += (_alert(there, plan.name, alert, bounds, when) for alert in plan.alerts)
    return found


def _courses(
    plan: DashboardPlan, snapshots: Sequence[Snapshot], there: Prometheus
) -> dict[str, tuple[Course, ...]]:
    from dashboards.proof.judging import filled

    ends_s = snapshots[-1].mark_s // 3600 * 3600
    moment = Moment(ends_s, DAY_S, RATE_S)
    return {
        each.key: tuple(
            Course(name or query.legend, tuple(points))
            for query in each.queries
            for name, points in there.course(
                filled(query.expr, moment), ends_s - _PICTURED_S, ends_s, _PICTURE_STEP_S
            )
        )
        for each in plan.observables
    }
