"""Proves every panel and alert: plays the scenario, asks Prometheus, compares with the truth."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dashboards.facts import DAY_S, Moment
from dashboards.naming import OURS, Naming
from dashboards.observables import plans
from dashboards.proof.judging import Shown, filled
from dashboards.proof.live import judge_live
from dashboards.proof.moments import RATE_S, judge_moments, virtual
from dashboards.proof.prometheus import Prometheus, need
from dashboards.proof.world import Wanted, watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dashboards.objectives import Objectives
    from dashboards.observables.model import DashboardPlan
    from dashboards.proof.clockwork import Snapshot

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


def prove(
    objectives: Objectives, wanted: Wanted, tell: Callable[[str], None], naming: Naming = OURS
) -> Proof:
    """Prove all dashboards, with a service's metrics as an owner names them.

    Raises `StackError` where it cannot be run.
    """
    began_s, began = time.time(), time.monotonic()
    for program in ("prometheus", "promtool", "prometheus-pushgateway"):
        need(program)
    made = plans(objectives)
    with tempfile.TemporaryDirectory(prefix="proof-") as name:
        folder = Path(name)
        snapshots, bounds, shown = judge_live(folder, wanted, made, naming, tell)
        tell("virtual time goes into Prometheus")
        with virtual(folder, snapshots, naming) as there:
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


def _courses(
    plan: DashboardPlan, snapshots: Sequence[Snapshot], there: Prometheus
) -> dict[str, tuple[Course, ...]]:
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
