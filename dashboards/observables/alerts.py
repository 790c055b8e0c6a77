"""Builds alerts whose cases are alike: a gauge that crosses a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.observables.model import Alert, Case, Series

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashboards.facts import Facts, Moment
    from dashboards.observables.model import Severity
    from dashboards.oracles import Labels

BILLING = (("job", "billing"),)
AUDITED = (("job", "billing-audit"), ("target", "acme-production"))
PIPELINE = (("branch_class", "main"), ("job", "billing-harness"), ("repository", "acme/billing"))
_PUSHED = (("ci_", PIPELINE), ("audit_", AUDITED))


def selector(name: str, labels: Labels) -> str:
    """Write a series' name as promtool reads it.

    >>> selector("up", (("job", "x"),))
    'up{job="x"}'
    """
    return f"{name}{{{','.join(f'{key}={quoted(value)}' for key, value in labels)}}}"


def quoted(text: str) -> str:
    """Put a label's value in quotes, as PromQL reads it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def on_gauge(  # noqa: PLR0913 - an alert is of so many facts
    name: str,
    metric: str,
    expr: str,
    *,
    bad: str,
    good: str,
    hold: str,
    severity: Severity,
    summary: str,
    description: str,
    next_step: str,
    truth: Callable[[Facts, Moment], bool],
    own: Labels = (),
    shown: Labels | None = None,
    told: str | None = None,
    eval_time: str = "1h",
) -> Alert:
    """Make an alert on one gauge: `bad` and `good` are values to either side of the line.

    `own` are the labels of its series, `shown` those that the firing alert keeps, `told` the value
    in its words.
    """
    whose = next((each for begin, each in _PUSHED if metric.startswith(begin)), None)
    base = whose or (*BILLING, ("instance", "a:8000"))
    kept = (*(whose or BILLING), *own) if shown is None else shown
    series = selector(metric, (*base, *own))
    return Alert(
        *(name, expr, hold, severity, summary, description, next_step, truth),
        cases=(
            Case((Series(series, bad),), eval_time, ((tuple(sorted(kept)), told or _last(bad)),)),
            Case((Series(series, good),), eval_time),
        ),
    )


def _last(values: str) -> str:
    return values.partition("+")[0]
