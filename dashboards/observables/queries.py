"""Writes selectors with the dashboards' variables, so that no query can forget one."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from dashboards.ci_catalogue import CI_CATALOGUE
from harness.audit.telling import AUDIT_METRICS
from harness.metrics import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.metrics import Metric

_SUFFIX = re.compile(r"_(bucket|sum|count)$")
BILLING_VARIABLES: Mapping[str, str] = MappingProxyType(
    {"plan": "plan", "customer_segment": "segment", "customer": "customer"}
)
"""Which variable of the billing dashboard chooses the values of which label."""
CI_VARIABLES: Mapping[str, str] = MappingProxyType(
    {"job": "job", "repository": "repository", "branch_class": "branch"}
)
"""The labels under which a pipeline's metrics are pushed, and the variables that choose them."""
RATE = "$__rate_interval"
RANGE = "$__range"


def metric_of(series: str) -> Metric:
    """Give the metric of a series; a bucket, sum or count belongs to its histogram."""
    known = {**CATALOGUE, **CI_CATALOGUE, **AUDIT_METRICS}
    return known[series] if series in known else known[_SUFFIX.sub("", series)]


def select(series: str, **matchers: str) -> str:
    """Write the selector of a series with every variable that its labels know.

    A matcher's value stands for equality, or with a leading `~` or `!` for a pattern or inequality.

    >>> select("billing_credits_consumed_total")
    'billing_credits_consumed_total{job=~"$job",instance=~"$instance",plan=~"$plan"}'
    """
    metric = metric_of(series)
    if metric.name.startswith("ci_"):
        chosen = [f'{label}=~"${variable}"' for label, variable in CI_VARIABLES.items()]
    elif metric.name.startswith("audit_"):
        chosen = ['job=~"$job"', 'target=~"$target"']
    else:
        chosen = ['job=~"$job"', 'instance=~"$instance"']
        chosen += [
            f'{label}=~"${variable}"'
            for label, variable in BILLING_VARIABLES.items()
            if label in metric.labels and label not in matchers
        ]
    return f"{series}{{{','.join([*chosen, *map(_matcher, matchers.items())])}}}"


def _matcher(pair: tuple[str, str]) -> str:
    name, value = pair
    if value.startswith("~"):
        return f'{name}=~"{value[1:]}"'
    return f'{name}!="{value[1:]}"' if value.startswith("!") else f'{name}="{value}"'


def rate(series: str, by: str = "", **matchers: str) -> str:
    """Write a rate per second, added up over what is not in `by`."""
    return f"sum{_by(by)} (rate({select(series, **matchers)}[{RATE}]))"


def increase(series: str, by: str = "", window: str = RANGE, **matchers: str) -> str:
    """Write an increase over a window, added up over what is not in `by`."""
    return f"sum{_by(by)} (increase({select(series, **matchers)}[{window}]))"


def reading(gauge: str, by: str = "", **matchers: str) -> str:
    """Write a gauge that every instance reads from one database: once for each job."""
    labels = ", ".join(dict.fromkeys(["job", *metric_of(gauge).labels]))
    return f"sum{_by(by)} (max by ({labels}) ({select(gauge, **matchers)}))"


def quantile_of(rank: float, histogram: str, **matchers: str) -> str:
    """Write a quantile over the rate's interval."""
    return f"histogram_quantile({rank:g}, {rate(f'{histogram}_bucket', 'le', **matchers)})"


def share_within(histogram: str, edge: float, **matchers: str) -> str:
    """Write the share of observations up to an edge of the histogram, where there are any."""
    metric = metric_of(histogram)
    if edge not in metric.buckets:
        raise ValueError(f"{edge} is no edge of {histogram}")
    part = increase(f"{histogram}_bucket", **matchers, le=f"{edge}")
    return f"{part} / ({increase(f'{histogram}_count', **matchers)} > 0)"


def _by(names: str) -> str:
    return f" by ({names})" if names else ""
