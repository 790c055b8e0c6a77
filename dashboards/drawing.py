"""Builds the panels of Grafana 11, one function for each kind: options, thresholds, legend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dashboards.observables.model import Observable, Panel, PanelKind

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLOURS = {"trial": "blue", "pro": "green", "payg": "yellow"}
_REDUCE = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_TOOLTIP = {"mode": "multi", "sort": "desc"}


def draw(observable: Observable) -> dict[str, Any]:
    """Give a panel's JSON, without id, place, title and targets."""
    panel = observable.panel
    ends = observable.no_alert or "Alerts: " + ", ".join(a.name for a in observable.alerts) + "."
    return {
        "type": panel.kind,
        "description": f"{observable.meaning}\n\nNext step: {observable.next_step}\n\n{ends}",
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides()},
        "options": _OPTIONS[panel.kind](),
        **({"transformations": _columns()} if panel.kind == "table" else {}),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps = [{"color": each.colour, "value": each.value} for each in panel.thresholds]
    found: dict[str, Any] = {
        "unit": panel.unit,
        "noValue": panel.no_value,
        "color": {"mode": "palette-classic" if panel.kind in _BY_SERIES else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps or [{"color": "green", "value": None}]},
    }
    told = {"min": panel.minimum, "max": panel.maximum, "decimals": panel.decimals}
    found |= {key: value for key, value in told.items() if value is not None}
    if panel.kind == "timeseries":
        lines = "dashed" if len(panel.thresholds) > 1 else "off"
        found["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 10,
            "showPoints": "auto",
            "spanNulls": False,
            "thresholdsStyle": {"mode": lines},
        }
    return found


_BY_SERIES = frozenset({"timeseries", "piechart"})


def _overrides() -> list[dict[str, Any]]:
    """Give each plan its colour, wherever a series begins with its name."""
    return [
        {
            "matcher": {"id": "byRegexp", "options": f"/^{plan}( |$)/"},
            "properties": [{"id": "color", "value": {"fixedColor": colour, "mode": "fixed"}}],
        }
        for plan, colour in _COLOURS.items()
    ]


def _columns() -> list[dict[str, Any]]:
    return [{"id": "organize", "options": {"excludeByName": {"Time": True}}}]


def _timeseries() -> dict[str, Any]:
    calcs = ["mean", "max", "lastNotNull"]
    legend = {"showLegend": True, "displayMode": "table", "placement": "bottom", "calcs": calcs}
    return {"legend": legend, "tooltip": _TOOLTIP}


def _stat() -> dict[str, Any]:
    return {
        "reduceOptions": _REDUCE,
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
    }


def _gauge() -> dict[str, Any]:
    return {
        "reduceOptions": _REDUCE,
        "orientation": "auto",
        "showThresholdLabels": False,
        "showThresholdMarkers": True,
    }


def _bargauge() -> dict[str, Any]:
    return {
        "reduceOptions": _REDUCE,
        "displayMode": "gradient",
        "orientation": "horizontal",
        "showUnfilled": True,
    }


def _piechart() -> dict[str, Any]:
    return {
        "reduceOptions": _REDUCE,
        "pieType": "donut",
        "displayLabels": ["name", "percent"],
        "legend": {
            "showLegend": True,
            "displayMode": "table",
            "placement": "right",
            "calcs": [],
            "values": ["value", "percent"],
        },
        "tooltip": _TOOLTIP,
    }


def _table() -> dict[str, Any]:
    sort = [{"displayName": "Value", "desc": True}]
    return {"showHeader": True, "cellHeight": "sm", "sortBy": sort}


_OPTIONS: Mapping[PanelKind, Callable[[], dict[str, Any]]] = {
    "timeseries": _timeseries,
    "stat": _stat,
    "gauge": _gauge,
    "bargauge": _bargauge,
    "piechart": _piechart,
    "table": _table,
}
