"""Takes events and moves metrics; whatever is wrong with an event, nothing is raised."""

from __future__ import annotations

import math
import os
import re
from typing import TYPE_CHECKING, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from harness.metrics.catalogue import (
    BUILD_INFO,
    EFFECTS,
    SEGMENTS,
    UNKNOWN,
    Effect,
    Metric,
    catalogue,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.metrics_core import Metric as Family

Readings: TypeAlias = "Mapping[str, Iterable[tuple[Mapping[str, object], float]]]"

_ERRORS = "billing_telemetry_errors_total"
_CUSTOMER_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class BillingTelemetry:
    """Takes events and moves metrics; one for each process.

    `read_gauges` gives what only the database knows, as fields and value for each gauge's name, at
    the moment of a scrape. With PROMETHEUS_MULTIPROC_DIR set before prometheus-client is imported,
    a scrape of one worker shows all of them (and no exemplars, which come with one process only).
    `version` and `commit` tell what was deployed: dashboards mark each change of them.
    """

    def __init__(
        self,
        read_gauges: Callable[[], Readings] | None = None,
        *,
        segments: Sequence[str] = SEGMENTS,
        watched: Sequence[str] = (),
        version: str = UNKNOWN,
        commit: str = UNKNOWN,
    ) -> None:
        self.catalogue = catalogue(segments, watched, version=version, commit=commit)
        self._registry = CollectorRegistry()
        self._instruments = {
            metric.name: _instrument(metric, self._registry)
            for metric in self.catalogue.values()
            if metric.kind != "gauge"
        }
        self._gauges = _Gauges(self.catalogue, read_gauges) if read_gauges else None

    def record(self, event: str, /, **fields: object) -> None:
        """Tell that something happened; whatever is wrong with it, nothing is raised."""
        try:
            effects = EFFECTS.get(event)
            if effects is None:
                self._count_error(UNKNOWN)
                return
            for effect in effects:
                self._apply(event, effect, fields)
        except Exception:  # noqa: BLE001  # telemetry must never break what it watches
            return

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Give all metrics, in OpenMetrics if `accept` names it, and the content type."""
        wants_open = "application/openmetrics-text" in accept.lower()
        encode, content_type = choose_encoder(
            "application/openmetrics-text; version=1.0.0" if wants_open else ""
        )
        build = self.catalogue[BUILD_INFO]
        return encode(_Scrape(self._registry, build, self._gauges)), content_type

    def _count_error(self, event: str) -> None:
        errors = self._instruments[_ERRORS].labels(event)
        if isinstance(errors, Counter):
            errors.inc()

    def _apply(self, event: str, effect: Effect, fields: Mapping[str, object]) -> None:
        if effect.only is not None and fields.get(effect.only[0]) != effect.only[1]:
            return
        amount = 1.0
        if effect.amount is not None:
            given = fields.get(effect.amount)
            if given is None:
                return
            if (found := _amount(given)) is None:
                self._count_error(event)
                return
            amount = found
        metric = self.catalogue[effect.metric]
        instrument = self._instruments[effect.metric]
        tags = metric.tags({**fields, **dict(effect.fixed)})
        place = instrument.labels(*tags) if tags else instrument
        add = place.inc if isinstance(place, Counter) else place.observe
        add(amount * effect.scale, _exemplar(fields))


def _instrument(metric: Metric, registry: CollectorRegistry) -> Counter | Histogram:
    names = tuple(metric.labels)
    if metric.kind == "histogram":
        histogram = Histogram(
            metric.name, metric.help, names, registry=registry, buckets=metric.buckets
        )
        # A series that is born with its first observation hides it from every rate. Of what can
        # be known all are there at 0; what is `unknown` is a mistake, and may be seen later.
        for values in metric.combinations():
            if values and UNKNOWN not in values:
                histogram.labels(*values)
        return histogram
    counter = Counter(metric.name, metric.help, names, registry=registry)
    for values in metric.combinations():
        if values:
            counter.labels(*values)
    return counter


def _amount(given: object) -> float | None:
    """Read an amount: finite and not negative, or none."""
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        return None
    try:
        found = float(given)
    except OverflowError:
        return None
    return found if math.isfinite(found) and found >= 0 else None


def _exemplar(fields: Mapping[str, object]) -> dict[str, str] | None:
    customer = fields.get("customer")
    if isinstance(customer, str) and _CUSTOMER_ID.fullmatch(customer):
        return {"customer": customer}
    return None


class _Gauges(Collector):
    """Reads the gauges when it is scraped; values of labels that are not declared are summed."""

    def __init__(self, metrics: Mapping[str, Metric], read: Callable[[], Readings]) -> None:
        self._metrics = [
            each for each in metrics.values() if each.kind == "gauge" and each.name != BUILD_INFO
        ]
        self._read = read

    def collect(self) -> Iterator[Family]:
        try:
            readings = dict(self._read())
        except Exception:  # noqa: BLE001  # what else is known must still be told
            readings = {}
        is_up = bool(readings)
        readings["billing_database_up"] = [({}, float(is_up))]
        for metric in self._metrics:
            if metric.name in readings or is_up:
                yield _family(metric, readings.get(metric.name, ()))


def _family(metric: Metric, readings: Iterable[tuple[Mapping[str, object], float]]) -> Family:
    sums = dict.fromkeys(metric.combinations(), 0.0)
    for fields, value in readings:
        tags = metric.tags(fields)
        sums[tags] = sums.get(tags, 0.0) + value
    family = GaugeMetricFamily(metric.name, metric.help, labels=list(metric.labels))
    for tags, value in sums.items():
        family.add_metric(tags, value)
    return family


class _Scrape(Collector):
    """One scrape: every worker's counters and distributions, and the gauges once."""

    def __init__(self, registry: CollectorRegistry, build: Metric, gauges: _Gauges | None) -> None:
        self._own: Collector = registry
        self._build = build
        self._gauges = gauges

    def collect(self) -> Iterator[Family]:
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            yield from MultiProcessCollector(CollectorRegistry()).collect()  # type: ignore[no-untyped-call]  # untyped there
        else:
            yield from self._own.collect()
        yield _family(self._build, [(dict(self._told()), 1.0)])
        if self._gauges:
            yield from self._gauges.collect()

    def _told(self) -> Iterator[tuple[str, str]]:
        for label, (value,) in self._build.labels.items():
            yield label, value
