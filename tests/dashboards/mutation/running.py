"""Runs mutants against the proof: each broken service, each changed query, each known defect.

`python -m tests.dashboards.mutation` writes `docs/DASHBOARDS_PROOF.md` and the facts beside it.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dashboards.objectives import Objectives
from dashboards.observables import plans
from dashboards.observables.model import Section
from dashboards.promtest.write import fill, panel_tests
from dashboards.proof.moments import judge_moments, virtual
from dashboards.proof.prove import prove_virtual
from dashboards.proof.world import Wanted, watch
from dashboards.yaml import to_yaml
from harness.errors import HarnessError
from tests.dashboards.mutation.chosen import CODE, DRAWN_FROM
from tests.dashboards.mutation.drawing import Change, drawn, promql_changes, python_changes
from tests.dashboards.test_promtool import ALERTS, QUERIES, promtool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dashboards.observables.model import DashboardPlan, Observable, Query
    from dashboards.proof.clockwork import Snapshot
    from dashboards.proof.judging import Shown
    from dashboards.proof.prometheus import Prometheus
    from dashboards.proof.reading import Bounds

ROOT = Path(__file__).parents[3]
SEED = 41
CODE_DRAWN = 12
DEFECTS = (
    "failures-counted-as-unknown",
    "failed-effect-counted-as-processed",
    "revenue-metric-renamed",
    "errors-missing-from-the-latency",
    "double-charges-uncounted",
    "revenue-of-who-is-locked-out",
    "success-counted-before-the-commit",
)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant: `red` are the panels that showed it, `told` the first difference."""

    kind: str
    name: str
    status: str
    red: tuple[str, ...] = ()
    told: str = ""
    took_s: float = 0.0


def quiet(_: str) -> None:
    """Say nothing."""


def broken_service(kind: str, name: str, place: str, text: str) -> Result:
    """Run the service with one file of it changed."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        for package in ("harness", "simulators"):
            shutil.copytree(ROOT / package, Path(folder) / package,
                            ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
        shutil.copytree(ROOT / "fixtures", Path(folder) / "fixtures")
        (Path(folder) / place).write_text(text)
        return _proven(kind, name, Wanted(SEED, environment={"PYTHONPATH": folder}))


def defect(name: str) -> Result:
    """Run the service with one of its own defects."""
    return _proven("defect", name, Wanted(SEED, defects=(name,)))


def need_nothing_red() -> None:
    """Raise `AssertionError` where the right service already differs: then no kill says a thing."""
    right = _proven("control", "nothing is changed", Wanted(SEED))
    if right.status != "survived":
        raise AssertionError(f"the service as it is: {right.status}, {right.told}")


def _proven(kind: str, name: str, wanted: Wanted) -> Result:
    began = time.monotonic()
    try:
        found = [each for each in prove_virtual(Objectives(), wanted, quiet) if not each.is_equal]
    except HarnessError as error:
        told = str(error).splitlines()[0][:160]
        return Result(kind, name, "stopped", told=told, took_s=time.monotonic() - began)
    return replace(_judged(kind, name, found), took_s=round(time.monotonic() - began, 1))


def _judged(kind: str, name: str, different: list[Shown]) -> Result:
    if not different:
        return Result(kind, name, "survived")
    red = tuple(dict.fromkeys(each.key for each in different))
    return Result(kind, name, "killed", red, different[0].differs[0])


def code_mutants() -> Iterator[tuple[str, str, str, str]]:
    """Give kind, name, file and its changed text, of every mutant of metrics code."""
    for name, place, old, new in CODE:
        text = (ROOT / place).read_text()
        if text.count(old) != 1:
            raise ValueError(f"{name}: {old!r} stands {text.count(old)} times in {place}")
        yield "chosen code", name, place, text.replace(old, new)
    changes = [
        change
        for place in DRAWN_FROM
        for change in python_changes(place, (ROOT / place).read_text())
    ]
    for each in drawn(changes, CODE_DRAWN, SEED):
        old = " ".join(each.old.split())
        yield "drawn code", f"{each.place}:{each.line}: {old} → {each.new}", each.place, each.text


def query_mutants() -> list[Result]:
    """Ask changed queries and alerts of a right service, as many drawn as chosen."""
    (plan, *_) = plans(Objectives())
    by_key = {each.key: each for each in plan.observables}
    alerts = {alert.name: alert for alert in plan.alerts}
    changed = [
        Change(key, 0, old, new, query.expr.replace(old, new))
        for key, old, new in QUERIES
        if key in by_key
        for query in [next(q for q in by_key[key].queries if old in q.expr)]
    ]
    changed += [
        Change(key, 0, old, new, alerts[key].expr.replace(old, new))
        for key, old, new in ALERTS
        if key in alerts
    ]
    every = [
        change
        for each in plan.observables
        for query in each.queries[:1]
        for change in promql_changes(each.key, query.expr)
    ]
    count = len(changed) + len(CODE) - CODE_DRAWN
    told = [("chosen query", each) for each in changed]
    told += [("drawn query", each) for each in drawn(every, count, SEED)]
    found = []
    with _recorded() as recording:
        for kind, change in told:
            result = recording.asked(kind, change)
            if result.status == "survived" and _is_caught_by_story(plan, change):
                by = "promtool, on the made-up day of two instances"
                result = replace(result, status="killed by the story", told=by)
            found.append(result)
    return found


@dataclass(frozen=True, slots=True)
class _Recording:
    """A right service's virtual time in a Prometheus, of which changed queries can be asked."""

    plan: DashboardPlan
    snapshots: Sequence[Snapshot]
    bounds: Bounds
    prometheus: Prometheus

    def need_nothing_red(self) -> None:
        """Raise `AssertionError` where what is not changed differs already."""
        shown = judge_moments(self.plan, self.bounds, self.snapshots, self.prometheus)
        if odd := [word for each in shown for word in each.differs]:
            raise AssertionError(f"the queries as they are: {odd}")

    def asked(self, kind: str, change: Change) -> Result:
        """Ask a changed query at every moment."""
        plan = _with_one(self.plan, change)
        shown = judge_moments(plan, self.bounds, self.snapshots, self.prometheus)
        name = f"{change.place}: {change.old} → {change.new or 'nothing'}"
        return _judged(kind, name, [each for each in shown if not each.is_equal])


@contextlib.contextmanager
def _recorded() -> Iterator[_Recording]:
    with tempfile.TemporaryDirectory(prefix="queries-") as name:
        folder = Path(name)
        snapshots, bounds = watch(Wanted(SEED), folder, quiet)
        with virtual(folder, snapshots) as prom:
            found = _Recording(plans(Objectives())[0], snapshots, bounds, prom)
            found.need_nothing_red()
            yield found


def _with_one(plan: DashboardPlan, change: Change) -> DashboardPlan:
    """Give a plan of nothing but the changed query or alert."""
    holders = [each for each in plan.observables if change.place in {a.name for a in each.alerts}]
    if holders:
        alerts = [replace(a, expr=change.text) for a in plan.alerts if a.name == change.place]
        only = replace(holders[0], queries=(), alerts=tuple(alerts))
    else:
        each, query = _original(plan, change)
        only = replace(each, queries=(replace(query, expr=change.text),), alerts=())
    return replace(plan, sections=(Section("changed", (only,)),))


def _original(plan: DashboardPlan, change: Change) -> tuple[Observable, Query]:
    """Give the query that was changed."""
    each = next(each for each in plan.observables if each.key == change.place)
    end = change.line + len(change.old)
    for query in each.queries:
        drawn_here = query.expr[: change.line] + change.new + query.expr[end:]
        if change.text in {drawn_here, query.expr.replace(change.old, change.new)}:
            return each, query
    raise ValueError(f"nothing of {change.place} was {change.old}")


def _is_caught_by_story(plan: DashboardPlan, change: Change) -> bool:
    """Whether promtool finds it: of alerts in their cases, of panels on the made-up day."""
    if change.place.startswith("Billing"):
        return any((change.place, change.old, change.new) == each for each in ALERTS)
    _, query = _original(plan, change)
    whole = panel_tests(plan)
    (group,) = whole["tests"]
    queries = [q for each in plan.observables for q in each.queries]
    (test,) = [t for q, t in zip(queries, group["promql_expr_test"], strict=True) if q is query or q.expr == query.expr]  # noqa: E501  # fmt: skip  # one choice
    told = test["expr"].replace(fill(query.expr), fill(change.text))
    group = {**group, "promql_expr_test": [{**test, "expr": told}]}
    with tempfile.TemporaryDirectory(prefix="story-") as folder:
        (Path(folder) / "tests.yml").write_text(to_yaml({"tests": [group]}))
        return "FAILED" in promtool(Path(folder), "test", "rules", "tests.yml")
