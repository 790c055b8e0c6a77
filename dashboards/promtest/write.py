"""Writes the tests that promtool runs: what each panel must show, when each alert must fire."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from dashboards.observables.alerts import selector
from dashboards.promtest import audited
from dashboards.promtest.run import pushed
from dashboards.promtest.story import INTERVAL_S, MOMENT, SAMPLES, STEP_S, facts, series
from dashboards.rules import OURS, Pager, alert_annotations, alert_labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dashboards.observables.model import Alert, Case, DashboardPlan, Query
    from dashboards.oracles import Labels

_ROUND = 1e-6
_TEMPLATE = re.compile(r"\{\{ \$(labels\.(\w+)|value)[^}]*\}\}")
_BUILT_IN = {
    "__rate_interval": f"{MOMENT.rate_s:g}s",
    "__range": f"{MOMENT.range_s:g}s",
    "__interval": f"{STEP_S}s",
}
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


def fill(expr: str, chosen: Mapping[str, str] | None = None) -> str:
    """Put values in for Grafana's variables; what is not chosen matches everything.

    >>> fill('rate(x{plan=~"$plan"}[$__rate_interval])', {"plan": "pro"})
    'rate(x{plan=~"pro"}[1200s])'
    """
    values = {**_BUILT_IN, **(chosen or {})}
    return _VARIABLE.sub(lambda match: values.get(match[1], ".*"), expr)


def panel_tests(plan: DashboardPlan) -> dict[str, Any]:
    """Give the test file of a dashboard's panels: each query on the story."""
    if plan.name == "billing":
        told = series()
    else:
        told = audited.told(SAMPLES) if plan.name == "audit" else pushed(SAMPLES)
    group = {
        "name": "panels",
        "interval": f"{INTERVAL_S}s",
        "input_series": [{"series": each.name, "values": each.values} for each in told],
        "promql_expr_test": [_shows(query) for each in plan.observables for query in each.queries],
    }
    return {"tests": [group]}


def alert_tests(plan: DashboardPlan, rule_file: str, pager: Pager = OURS) -> dict[str, Any]:
    """Give the test file of a dashboard's alerts: each on a case that fires and on one that not."""
    tests = [_alert_test(alert, case, pager) for alert in plan.alerts for case in alert.cases]
    return {"rule_files": [rule_file], "evaluation_interval": "5m", "tests": tests}


def _shows(query: Query) -> dict[str, Any]:
    """Expect of a query what its oracle says; of a quantile, that its bucket holds it."""
    truth = query.oracle.truth(facts(), MOMENT)
    edges = query.oracle.tolerance.edges
    expr = fill(query.expr)
    if not truth:
        raise ValueError(f"the story has nothing for {query.expr}")
    if edges:
        (value,) = truth.values()
        low = max((edge for edge in edges if edge < value), default=0.0)
        high = min(edge for edge in edges if edge >= value)
        expr = f"{low:g} < bool ({expr}) and ({expr}) <= {high:g}"
        truth = dict.fromkeys(truth, 1.0)
    elif len(truth) > 1 and any(truth.values()):
        # Of several series, one at 0 and one that is not there are the same.
        expr = f"({expr}) != 0"
        truth = {labels: value for labels, value in truth.items() if value}
    return {
        "expr": f"round({expr}, {_ROUND})",
        "eval_time": f"{MOMENT.end_s:g}s",
        "exp_samples": [
            {"labels": selector("", labels), "value": _rounded(value)}
            for labels, value in sorted(truth.items())
        ],
    }


def _rounded(value: float) -> float:
    """Round as PromQL's `round` does, to the last bit."""
    inverse = 1.0 / _ROUND
    return math.floor(value * inverse + 0.5) / inverse


def _alert_test(alert: Alert, case: Case, pager: Pager) -> dict[str, Any]:
    return {
        "name": f"{alert.name} {'fires' if case.fires else 'is silent'}",
        "interval": f"{INTERVAL_S}s",
        "input_series": [{"series": each.name, "values": each.values} for each in case.series],
        "alert_rule_test": [
            {
                "eval_time": case.eval_time,
                "alertname": alert.name,
                "exp_alerts": list(_expected(alert, case, pager)),
            }
        ],
    }


def _expected(alert: Alert, case: Case, pager: Pager) -> Iterator[dict[str, Any]]:
    for labels, value in case.fires:
        words = alert_annotations(alert, pager)
        yield {
            "exp_labels": {**dict(labels), **alert_labels(alert, pager)},
            "exp_annotations": {key: _told(text, labels, value) for key, text in words.items()},
        }


def _told(text: str, labels: Labels, value: str) -> str:
    """Fill an alert's words in as Prometheus would."""
    return _TEMPLATE.sub(lambda m: dict(labels).get(m[2], "") if m[2] else value, text)
