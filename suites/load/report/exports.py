"""A load's results in the forms that others read: CSV, the CI exporter's JSON, Prometheus text."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

QUANTILES = {"0.5": "p50", "0.9": "p90", "0.95": "p95", "0.99": "p99", "0.999": "p999"}
SUMMARY_FILE = "load-summary.json"
_FIGURES = ("p50", "p90", "p95", "p99", "p999", "max")
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def series_csv(data: Mapping[str, Any]) -> str:
    """Give every interval of the load, a line each; latencies in milliseconds."""
    columns = ("t", "sent", "completed", "errors", "dropped", "p50", "p99", "max")
    return _table(columns, ([i.get(name, "") for name in columns] for i in data["series"]))


def kinds_csv(data: Mapping[str, Any]) -> str:
    """Give every kind of request, a line each: latencies from the intended start, service times."""
    columns = ["kind", "count", "errors"]
    columns += [f"{what}_{name}" for what in ("latency_ms", "service_ms") for name in _FIGURES]
    whole = {"count": data["completed"], **data}
    rows = [("all", whole), *sorted(data["kinds"].items())]
    return _table(columns, ([name, *_figures(kind)] for name, kind in rows))


def _figures(kind: Mapping[str, Any]) -> list[Any]:
    timed = (kind[what].get(name, "") for what in ("latency_ms", "service_ms") for name in _FIGURES)
    return [kind["count"], kind["errors"], *timed]


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return out.getvalue()


def _harmless(cell: Any) -> Any:
    """Keep a spreadsheet from taking text for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) else cell


def summary(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Give what `billing-harness ci` reads of one or several loads.

    `rate` is arrivals a second over all of them, one after the other; `outcomes` are the words by
    which a pipeline decides. Of two loads of a scenario, the later one counts.
    """
    asked = sum(document["scheduled"] or document["sent"] for document in documents)
    took_s = sum(document["duration_s"] for document in documents)
    return {
        "format": 1,
        "rate": asked / took_s if took_s else 0.0,
        "scenarios": {document["scenario"]: _scenario(document) for document in documents},
    }


def _scenario(data: Mapping[str, Any]) -> dict[str, Any]:
    figures = data["latency_ms"]
    return {
        "quantiles_s": {q: figures[p] / 1000 for q, p in QUANTILES.items() if p in figures},
        "error_ratio": data["error_ratio"],
        "dropped": data["dropped"],
        "rate": data["requested_rate"],
        "verdict": data["verdict"],
        "exit_status": data["exit_status"],
        "headline": data.get("headline", ""),
        "run_id": data["run_id"],
    }


def prometheus_text(told: Mapping[str, Any], prefix: str = "ci_load_") -> str:
    """Give a summary as Prometheus text, under the names by which dashboards know it."""
    registry = CollectorRegistry()

    def gauge(name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"{prefix}{name}", meaning, labels, registry=registry)

    gauge("rate", "Requests per second of the load, as they arrived").set(told["rate"])
    latency = gauge("latency_seconds", "Latency from the intended start", "scenario", "quantile")
    errors = gauge("error_ratio", "Share of failed requests", "scenario")
    dropped = gauge("dropped", "Arrivals that no request was made for", "scenario")
    for scenario, figures in told["scenarios"].items():
        for quantile, seconds in figures["quantiles_s"].items():
            latency.labels(scenario, quantile).set(seconds)
        errors.labels(scenario).set(figures["error_ratio"])
        dropped.labels(scenario).set(figures["dropped"])
    return generate_latest(registry).decode()
