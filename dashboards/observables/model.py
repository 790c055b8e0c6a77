"""What an observable is: metrics, panel, alert, next step and oracle in one frozen definition."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashboards.facts import Facts, Moment
    from dashboards.oracles import Oracle

PanelKind = Literal["timeseries", "stat", "gauge", "bargauge", "piechart", "table"]
DashboardName = Literal["billing", "ci", "load", "audit"]
Severity = Literal["critical", "warning"]

_NAME = re.compile(r"(?<![:\w])(?:billing|ci|audit)_[a-z0-9_]+(?![:\w])")
_STRING = re.compile(r'"[^"]*"')
_SUFFIX = re.compile(r"_(bucket|sum|count)$")


def metrics_in(expr: str) -> tuple[str, ...]:
    """Give the metrics that a query reads, histograms by their own name.

    >>> metrics_in('rate(billing_x_seconds_bucket{a="billing_b"}[5m]) / ci_tests')
    ('billing_x_seconds', 'ci_tests')
    """
    found = _NAME.findall(_STRING.sub('""', expr))
    return tuple(dict.fromkeys(_SUFFIX.sub("", name) for name in found))


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel: PromQL with Grafana's variables, what it is called, its truth."""

    expr: str
    legend: str
    oracle: Oracle


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which value on a colour holds; the first has no value."""

    colour: str
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """How an observable is drawn; `width` is of 24 columns, a unit is Grafana's name of it."""

    kind: PanelKind
    unit: str
    width: Literal[8, 12, 24] = 12
    thresholds: tuple[Threshold, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    decimals: int | None = None
    no_value: str = "no data"


@dataclass(frozen=True, slots=True)
class Series:
    """A series of a promtool test: its selector and its values in promtool's notation."""

    name: str
    values: str


@dataclass(frozen=True, slots=True)
class Case:
    """What an alert must do: for these series, at this time, it fires once for each `fires`.

    A `fires` gives the labels that tell one firing alert, and the value that its words name.
    """

    series: tuple[Series, ...]
    eval_time: str
    fires: tuple[tuple[tuple[tuple[str, str], ...], str], ...] = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """When somebody is woken, why, and what they do first.

    `truth` says over facts whether it must fire. The cases are run by promtool: in some it fires,
    and in some it does not, though it comes near.
    """

    name: str
    expr: str
    hold: str
    severity: Severity
    summary: str
    description: str
    next_step: str
    truth: Callable[[Facts, Moment], bool]
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Observable:
    """One metric-to-panel-to-alert-to-proof definition.

    Either `alerts` or `no_alert`, the reason why nobody is woken.
    """

    key: str
    title: str
    meaning: str
    panel: Panel
    queries: tuple[Query, ...]
    next_step: str
    alerts: tuple[Alert, ...] = ()
    no_alert: str = ""
    is_critical: bool = False

    @property
    def metrics(self) -> tuple[str, ...]:
        """Give every metric that the panel's queries read."""
        found = (name for query in self.queries for name in metrics_in(query.expr))
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Section:
    """Panels that stand under one heading."""

    title: str
    observables: tuple[Observable, ...]


@dataclass(frozen=True, slots=True)
class DashboardPlan:
    """A whole dashboard: what it is called, and its sections from top to bottom."""

    name: DashboardName
    title: str
    description: str
    tags: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def observables(self) -> tuple[Observable, ...]:
        """Give every observable, in the order of the panels."""
        return tuple(each for section in self.sections for each in section.observables)

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """Give every alert, in the order of the panels."""
        return tuple(alert for each in self.observables for alert in each.alerts)
