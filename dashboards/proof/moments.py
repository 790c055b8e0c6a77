"""The proof in virtual time: every query at every mark, in a Prometheus that holds snapshots."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dashboards.facts import DAY_S, Facts, Moment
from dashboards.levels import LEVELS
from dashboards.naming import OURS, Naming
from dashboards.proof.clockwork import BEFORE_MARK_S
from dashboards.proof.judging import Shown, When, judge_alert, judge_query
from dashboards.proof.prometheus import Prometheus, backfill, prometheus
from dashboards.proof.reading import Bounds
from dashboards.proof.timeline import open_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dashboards.observables.model import DashboardPlan, Observable, Query
    from dashboards.proof.clockwork import Snapshot

RATE_S = 1200
SEGMENT = "marketplace"
"""Of the customers' segments, the one that is asked for alone."""
_SEGMENT, _METRIC = '"$segment"', re.compile(r"billing_\w+")


@contextlib.contextmanager
def virtual(
    folder: Path, snapshots: Sequence[Snapshot], naming: Naming = OURS
) -> Iterator[Prometheus]:
    """Start a Prometheus that holds the snapshots as a stretch of virtual time."""
    page = folder / "virtual.om"
    with page.open("w", encoding="utf-8") as file:
        file.writelines(open_metrics(snapshots, naming))
    backfill(page, folder / "virtual")
    with prometheus(folder, "virtual", naming=naming) as there:
        yield there


def judge_moments(
    plan: DashboardPlan, bounds: Bounds, snapshots: Sequence[Snapshot], there: Prometheus
) -> list[Shown]:
    """Ask every query and alert at every mark; at the first, what is read from the books alone.

    Before the first there is nothing, so no window can be filled. Each that can be asked of one
    segment of the customers is asked so, too.
    """
    found: list[Shown] = []
    segment = _of_segment(bounds)
    queries = [(each, query) for each in plan.observables for query in each.queries]
    # The first comes last, for what is told of all comes in the order of the first answers.
    for snapshot in (*snapshots[1:], replace(snapshots[0], knows="books")):
        when, known = when_of(snapshot), Bounds(Facts(), Facts())
        if snapshot.knows != "nothing":
            known = bounds
        for each, query in queries:
            if _can_be_true(query.expr, snapshot):
                found.append(ask_query(there, plan.name, each, query, known, when))
            if _SEGMENT in query.expr and snapshot.knows == "all":
                name = f"{when.name}, {SEGMENT} alone"
                chosen = replace(when, name=name, chosen=(("segment", SEGMENT),))
                found.append(ask_query(there, plan.name, each, query, segment, chosen))
        alerts = (alert for alert in plan.alerts if _can_be_true(alert.expr, snapshot))
        found += (ask_alert(there, plan.name, alert, known, when) for alert in alerts)
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


def ask_query(  # noqa: PLR0913, PLR0917 - what a comparison is made of
    there: Prometheus, name: str, each: Observable, query: Query, bounds: Bounds, when: When
) -> Shown:
    """Ask a query of a Prometheus, and compare."""
    shown = judge_query(name, each, query, bounds, when, lambda e: there.ask(e, when.asked_s))
    return replace(shown, expr=there.naming.expr(shown.expr))


def ask_alert(there: Prometheus, name: str, alert: Any, bounds: Bounds, when: When) -> Shown:
    """Ask whether an alert's condition holds, and compare with whether it must."""
    shown = judge_alert(name, alert, bounds, when, lambda e: there.ask(e, when.asked_s))
    return replace(shown, expr=there.naming.expr(shown.expr))
