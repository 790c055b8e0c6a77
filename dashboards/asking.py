"""Asks every panel's query of a Grafana, through its data source, as the panel would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dashboards.promtest.write import fill

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dashboards.grafana_api import Grafana

# Grafana knows these itself, and fills them in by the range that is asked for.
_GRAFANAS = {name: f"${name}" for name in ("__rate_interval", "__range", "__interval")}
_POINTS_MAX = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one query of a panel: an error, or the last value of each series."""

    panel: str
    ref: str
    error: str | None
    values: tuple[float, ...] = ()


def ask_panels(
    grafana: Grafana, dashboard: Mapping[str, Any], datasource: str, since: str = "now-24h"
) -> Iterator[Answer]:
    """Run each query of a dashboard's panels, every variable saying *all*."""
    for panel in dashboard.get("panels", ()):
        if panel.get("targets"):
            yield from ask_panel(grafana, panel, datasource, since)


def ask_panel(
    grafana: Grafana, panel: Mapping[str, Any], datasource: str, since: str
) -> Iterator[Answer]:
    """Run one panel's queries, in one request as Grafana itself does."""
    queries = [_query(target, datasource) for target in panel["targets"]]
    results = grafana.query(queries, since)
    for query in queries:
        ref = query["refId"]
        result = results.get(ref)
        if not isinstance(result, dict):
            yield Answer(panel["title"], ref, "nothing came back of it")
        elif result.get("error"):
            yield Answer(panel["title"], ref, str(result["error"])[:300])
        else:
            yield Answer(panel["title"], ref, None, tuple(_last_values(result)))


def _query(target: Mapping[str, Any], datasource: str) -> dict[str, Any]:
    return {
        **{key: target[key] for key in ("refId", "format", "instant", "range") if key in target},
        "datasource": {"type": "prometheus", "uid": datasource},
        "expr": fill(target["expr"], _GRAFANAS),
        "intervalMs": 60_000,
        "maxDataPoints": _POINTS_MAX,
    }


def _last_values(result: Mapping[str, Any]) -> Iterator[float]:
    """Give the last value of every field of numbers in a result's frames."""
    for frame in result.get("frames") or ():
        fields = (frame.get("schema") or {}).get("fields") or ()
        columns = (frame.get("data") or {}).get("values") or ()
        for field, column in zip(fields, columns, strict=False):
            told = [value for value in column if isinstance(value, int | float)]
            if field.get("type") == "number" and told:
                yield float(told[-1])
