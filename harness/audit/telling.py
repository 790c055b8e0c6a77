"""Metrics of an audit, as Prometheus text: for node_exporter's collector, or a Pushgateway.

`audit_success_timestamp_seconds` is told only where everything could be read: it grows old when
audits stop, or can no longer look.
"""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from harness.audit.facts import KINDS
from harness.metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from harness.audit.facts import Audited

JOB = "billing-audit"
SUCCESS = "audit_success_timestamp_seconds"
_NOTHING: Mapping[str, tuple[str, ...]] = MappingProxyType({})
_KIND: Mapping[str, tuple[str, ...]] = MappingProxyType({"kind": KINDS})
_MONEY: Mapping[str, tuple[str, ...]] = MappingProxyType({"kind": KINDS, "currency": ()})
AUDIT_METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        name: Metric(name, "gauge", meaning, labels)
        for name, meaning, labels in (
            ("audit_findings", "Differences that the last audit found", _KIND),
            ("audit_difference_cents", "What they are about, in minor units, all added up", _MONEY),
            ("audit_unread", "Parts that the last audit could not read", _NOTHING),
            ("audit_timestamp_seconds", "When the last audit ended, in Unix time", _NOTHING),
            (SUCCESS, "When an audit could last read everything, in Unix time", _NOTHING),
        )
    }
)
"""Every metric of an audit; each also has the label `target`."""

Sample = tuple[str, "dict[str, str]", float]


def samples_of(audited: Audited, now: float, succeeded_at: float | None = None) -> Iterator[Sample]:
    """Give every sample; `succeeded_at` is kept where this audit could not read everything."""
    target = {"target": audited.target}
    findings: Counter[str] = Counter()
    for (kind, _), count in audited.counts.items():
        findings[kind] += count
    for kind in KINDS:
        yield "audit_findings", {**target, "kind": kind}, findings[kind]
    # At 0 where nothing differs, or a gateway would keep showing what an earlier audit found.
    amounts = {(kind, audited.currency): 0 for kind in KINDS} | audited.amounts
    for (kind, currency), amount_minor in sorted(amounts.items()):
        labels = {**target, "kind": kind, "currency": currency or "unknown"}
        yield "audit_difference_cents", labels, amount_minor
    yield "audit_unread", target, len(audited.gaps)
    yield "audit_timestamp_seconds", target, now
    if audited.verdict != "unknown" and not audited.gaps:
        yield SUCCESS, target, now
    elif succeeded_at is not None:
        yield SUCCESS, target, succeeded_at


def registry_of(
    audited: Audited, now: float, succeeded_at: float | None = None
) -> CollectorRegistry:
    """Put the samples into a registry; a metric without one is left out."""
    registry = CollectorRegistry()
    gauges: dict[str, Gauge] = {}
    for name, labels, value in samples_of(audited, now, succeeded_at):
        if name not in gauges:
            metric = AUDIT_METRICS[name]
            names = ("target", *metric.labels)
            gauges[name] = Gauge(name, metric.help, names, registry=registry)
        gauges[name].labels(**labels).set(value)
    return registry


def succeeded_before(file: Path) -> float | None:
    """Read when an audit last succeeded from what an earlier one has written, if any has."""
    try:
        families = list(text_string_to_metric_families(file.read_text("utf-8")))
    except (OSError, ValueError):
        return None
    told = [each.value for family in families for each in family.samples if each.name == SUCCESS]
    return max(told, default=None)
