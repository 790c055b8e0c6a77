"""Draws a dashboard as the JSON that Grafana 11 imports: grafanalib, brought up to date.

grafanalib 0.7.1 gives dashboard, targets, variables and places on the grid; its panels are of
Grafana 6 to 8, so panels are built in `drawing`. What it still writes of older versions is left out
here. Nothing else of the project knows grafanalib.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dashboards.drawing import DATASOURCE, draw
from harness.errors import SettingsError
from harness.metrics.catalogue import BUILD_INFO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dashboards.observables.model import DashboardPlan, Observable

SCHEMA_VERSION = 41
PANEL_HEIGHT = 8
COLUMNS = 24
_SHARED_TOOLTIP = 2
_HIDDEN = 2
_ON_TIME_CHANGE = 2
_OLD_OF_DASHBOARD = ("__inputs", "rows", "sharedCrosshair", "hideControls", "style", "gnetId", "id")
_OLD_OF_VARIABLE = ("useTags", "tagsQuery", "tagValuesQuery", "auto", "auto_min", "auto_count")
_OF_TARGET = ("refId", "expr", "legendFormat", "instant", "format", "datasource")


@dataclass(frozen=True, slots=True)
class Drawing:
    """What an owner chooses of how dashboards look; `build_info` is a metric that tells versions.

    Each change of it is marked on every panel; empty, nothing is. `datasource` is the uid of the
    one chosen at first.
    """

    datasource: str = "prometheus"
    build_info: str = BUILD_INFO


def dashboard_json(plan: DashboardPlan, drawing: Drawing) -> dict[str, Any]:
    """Give a dashboard as Grafana's import takes it. Raises `SettingsError`."""
    try:
        from grafanalib.core import (  # type: ignore[import-untyped]  # untyped there
            Annotations,
            Dashboard,
            Templating,
            Time,
        )
    except ImportError:
        raise SettingsError(
            "grafanalib is not installed", hint="pip install 'billing-harness[dashboards]'"
        ) from None

    drawn = Dashboard(
        title=plan.title,
        description=plan.description,
        uid=f"billing-harness-{plan.name}",
        tags=list(plan.tags),
        editable=False,
        graphTooltip=_SHARED_TOOLTIP,
        refresh="30s",
        time=Time("now-24h", "now"),
        timezone="browser",
        schemaVersion=SCHEMA_VERSION,
        annotations=Annotations(list(_annotations(plan, drawing))),
        templating=Templating(list(_variables(plan, drawing))),
        panels=list(_panels(plan)),
    )
    data = _plain(drawn)
    for key in _OLD_OF_DASHBOARD:
        data.pop(key, None)
    data["timepicker"] = {}
    data["templating"]["list"] = [_variable(each) for each in data["templating"]["list"]]
    return data


def _plain(drawn: Any) -> dict[str, Any]:
    from grafanalib._gen import (  # type: ignore[import-untyped]  # untyped there
        DashboardEncoder,
    )

    found: dict[str, Any] = json.loads(json.dumps(drawn.to_json_data(), cls=DashboardEncoder))
    return found


def _annotations(plan: DashboardPlan, drawing: Drawing) -> Iterator[dict[str, Any]]:
    """Mark each version that was not there a minute before; pipelines deploy nothing."""
    if not drawing.build_info or plan.name != "billing":
        return
    now = f'{drawing.build_info}{{job=~"$job",instance=~"$instance"}}'
    yield {
        "name": "Deployments",
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": "purple",
        "expr": f"max by (version, commit) ({now})"
        f" unless max by (version, commit) ({now} offset 1m)",
        "titleFormat": "deployed {{version}} {{commit}}",
        "step": "60s",
    }


def _variables(plan: DashboardPlan, drawing: Drawing) -> Iterator[Any]:
    from grafanalib.core import Template

    yield Template(
        name="datasource", label="Data source", type="datasource", query="prometheus",
        default=drawing.datasource,
    )  # fmt: skip
    if plan.name == "billing":
        yield _choice("job", "Job", "billing_database_up", "job", all_value=".+")
        yield _choice("instance", "Instance", "billing_database_up", "instance", all_value=".+")
        yield _choice("plan", "Plan", "billing_active_subscriptions", "plan")
        yield _choice("segment", "Customer segment", "billing_payments_total", "customer_segment")
        yield _choice("customer", "Customer", "billing_watched_payments_total", "customer")
        return
    if plan.name == "audit":
        stamp = "audit_timestamp_seconds"
        yield _choice("job", "Job", stamp, "job", all_value=".+")
        yield _choice("target", "Target", stamp, "target")
        yield _age(stamp, 'job=~"$job",target=~"$target"')
        return
    stamp = "ci_run_timestamp_seconds"
    yield _choice("job", "Job", stamp, "job", all_value=".+")
    yield _choice("repository", "Repository", stamp, "repository", multi=False)
    yield _choice("branch", "Branch class", stamp, "branch_class", multi=False)
    yield _age(stamp, 'job=~"$job",repository=~"$repository",branch_class=~"$branch"')


def _choice(  # noqa: PLR0913 - what a variable is made of
    name: str, title: str, metric: str, label: str, *, all_value: str = ".*", multi: bool = True
) -> Any:
    from grafanalib.core import Template

    scope = '{job=~"$job"}' if name != "job" else ""
    return Template(
        name=name, label=title, query=f"label_values({metric}{scope}, {label})",
        dataSource=DATASOURCE, includeAll=True, multi=multi, allValue=all_value,
        refresh=_ON_TIME_CHANGE, default="All",
    )  # fmt: skip


def _age(stamp: str, chosen: str) -> Any:
    """Give the hidden variable that puts the data's age into every panel's title."""
    from grafanalib.core import Template

    return Template(
        name="data_age", label="Age of the data, h", dataSource=DATASOURCE, hide=_HIDDEN,
        query=f"query_result(round((time() - max({stamp}{{{chosen}}})) / 3600, 0.1))",
        regex=r"/\s([0-9.]+)\s/", refresh=_ON_TIME_CHANGE, default="?",
    )  # fmt: skip


def _variable(data: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in data.items() if key not in _OLD_OF_VARIABLE}
    current = kept["current"]
    if kept["includeAll"]:
        current = {"text": "All", "value": ["$__all"] if kept["multi"] else "$__all"}
    kept["current"] = {"selected": True, "text": current["text"], "value": current["value"]}
    kept["regex"] = kept["regex"] or ""
    if kept["type"] == "datasource":
        for key in ("datasource", "allValue"):
            kept.pop(key)
        return kept
    kept["definition"] = kept["query"]
    kept["query"] = {"query": kept["query"], "refId": "PrometheusVariableQueryEditor-VariableQuery"}
    return kept


def _panels(plan: DashboardPlan) -> Iterator[dict[str, Any]]:
    """Place panels from left to right under their sections' headings, each with an id."""
    from grafanalib.core import GridPos

    number, x, y = 0, 0, 0
    for section in plan.sections:
        number += 1
        yield {
            "id": number, "type": "row", "title": section.title, "collapsed": False, "panels": [],
            "gridPos": GridPos(h=1, w=COLUMNS, x=0, y=y),
        }  # fmt: skip
        x, y = 0, y + 1
        for each in section.observables:
            if x + each.panel.width > COLUMNS:
                x, y = 0, y + PANEL_HEIGHT
            number += 1
            place = GridPos(h=PANEL_HEIGHT, w=each.panel.width, x=x, y=y)
            aged = "" if plan.name == "billing" else " (data ${data_age} h old)"
            yield draw(each) | {
                "id": number, "gridPos": place, "title": each.title + aged,
                "targets": list(_targets(each)),
            }  # fmt: skip
            x += each.panel.width
        y += PANEL_HEIGHT


def _targets(each: Observable) -> Iterator[Mapping[str, Any]]:
    from grafanalib.core import Target

    is_range = each.panel.kind == "timeseries"
    for letter, query in zip("ABCDEFGH", each.queries, strict=False):
        target = Target(
            expr=query.expr,
            legendFormat=query.legend,
            refId=letter,
            instant=not is_range,
            format="table" if each.panel.kind == "table" else "time_series",
            datasource=DATASOURCE,
        ).to_json_data()
        kept = {key: target[key] for key in _OF_TARGET}
        yield kept | {"range": is_range, "editorMode": "code"}
