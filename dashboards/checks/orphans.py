"""Holds observables and metric catalogue together: nothing shown nowhere, nothing unproven."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dashboards.checks import Finding
from dashboards.ci_catalogue import CI_CATALOGUE
from dashboards.observables import CRITICAL
from dashboards.observables.model import metrics_in
from dashboards.sources import SOURCES
from harness.audit.telling import AUDIT_METRICS
from harness.metrics import CATALOGUE
from harness.metrics.catalogue import BUILD_INFO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dashboards.observables.model import DashboardPlan, Observable
    from harness.metrics import Metric

SERIES_MAX = 150
_MARKED = frozenset({BUILD_INFO})
"""What is shown on every panel of a dashboard, as marks."""
_SELECTOR = re.compile(r"([a-z][a-z0-9_]*)\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
_SCRAPED = frozenset({"job", "instance", "repository", "branch_class", "target", "le"})
_SUFFIX = re.compile(r"_(bucket|sum|count)$")
ALL_METRICS: Mapping[str, Metric] = {**CATALOGUE, **CI_CATALOGUE, **AUDIT_METRICS}


def check_orphans(
    plans: Sequence[DashboardPlan], metrics: Mapping[str, Metric] = ALL_METRICS
) -> list[Finding]:
    """Find metrics shown nowhere, panels of metrics that nobody emits, and what has no proof."""
    found = [
        *_unshown(plans, metrics),
        *_unproven(plans),
        *_unwoken(plans),
        *_beyond_cap(metrics),
        *_doubled(plans),
    ]
    for where, expr in expressions(plans):
        found += _selectors(where, expr, metrics)
    return sorted(set(found))


def expressions(plans: Iterable[DashboardPlan]) -> Iterator[tuple[str, str]]:
    """Give every query and every alert's expression, with where it stands."""
    for plan in plans:
        for each in plan.observables:
            yield from ((f"{plan.name}/{each.key}", query.expr) for query in each.queries)
            yield from ((alert.name, alert.expr) for alert in each.alerts)


def _unshown(plans: Iterable[DashboardPlan], metrics: Mapping[str, Metric]) -> Iterator[Finding]:
    shown = {name for plan in plans for each in plan.observables for name in each.metrics}
    for name in metrics:
        if name not in shown | _MARKED:
            yield Finding("orphan", name, "it is emitted and shown on no panel")
    for where, expr in expressions(plans):
        for name in metrics_in(expr):
            if name not in metrics:
                yield Finding("orphan", where, f"{name} is shown and emitted by nobody")


def _unproven(plans: Iterable[DashboardPlan]) -> Iterator[Finding]:
    known = {source.event for source in SOURCES} | {"report", "audit"}
    for plan in plans:
        for each in plan.observables:
            where = f"{plan.name}/{each.key}"
            if not each.queries:
                yield Finding("oracle", where, "it has no query")
            for query in each.queries:
                if odd := set(query.oracle.reads) - known:
                    told = ", ".join(sorted(odd))
                    yield Finding("oracle", where, f"nothing says where {told} is read from")
                if not query.oracle.meaning:
                    yield Finding("oracle", where, "its oracle does not say what it is")


def _unwoken(plans: Iterable[DashboardPlan]) -> Iterator[Finding]:
    for plan in plans:
        for each in plan.observables:
            where = f"{plan.name}/{each.key}"
            if bool(each.alerts) == bool(each.no_alert):
                yield Finding("alert", where, "say an alert, or why there is none, and not both")
            for name in ("meaning", "next_step", "title"):
                if not getattr(each, name).strip():
                    yield Finding("definition", where, f"it has no {name.replace('_', ' ')}")
            yield from _cases(each)
    names = {each.key for plan in plans for each in plan.observables if each.is_critical}
    for name in sorted(set(CRITICAL) - names):
        yield Finding("critical", name, "a critical panel is missing")


def _cases(each: Observable) -> Iterator[Finding]:
    for alert in each.alerts:
        if not any(case.fires for case in alert.cases):
            yield Finding("alert", alert.name, "it has no case that fires")
        if all(case.fires for case in alert.cases):
            yield Finding("alert", alert.name, "it has no case that is silent")


def _beyond_cap(metrics: Mapping[str, Metric]) -> Iterator[Finding]:
    for metric in metrics.values():
        if metric.series_max > SERIES_MAX:
            told = f"it can have {metric.series_max} series; {SERIES_MAX} is the most"
            yield Finding("series", metric.name, told)


def _doubled(plans: Iterable[DashboardPlan]) -> Iterator[Finding]:
    for plan in plans:
        keys = [each.key for each in plan.observables]
        for key in sorted({key for key in keys if keys.count(key) > 1}):
            yield Finding("definition", f"{plan.name}/{key}", "two panels have this key")


def _selectors(where: str, expr: str, metrics: Mapping[str, Metric]) -> Iterator[Finding]:
    """Find labels that a metric does not have, and values that a label never takes."""
    for series, inside in _SELECTOR.findall(expr):
        metric = metrics.get(series) or metrics.get(_SUFFIX.sub("", series))
        for label, operator, value in _MATCHER.findall(inside) if metric else ():
            if label in _SCRAPED or "$" in value or metric is None:
                continue
            if label not in metric.labels:
                yield Finding("label", where, f"{metric.name} has no label {label}")
            elif values := metric.labels[label]:
                wanted = value.split("|") if "~" in operator else [value]
                for odd in sorted(set(wanted) - {*values, ".+", ".*"}):
                    yield Finding("label", where, f"{label} of {metric.name} is never {odd!r}")
