"""What Grafana's own dashboard linter asks, and what its current version no longer knows.

The rules are those of grafana/dashboard-linter in strict mode, as far as a file can show them; they
look at the JSON that is imported, and not at what it was made from.
"""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING, Any

from dashboards.checks import Finding, Skipped
from dashboards.promtest.write import fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

KINDS = frozenset({"timeseries", "stat", "gauge", "bargauge", "piechart", "table", "row"})
UNITS = frozenset(
    {"short", "percentunit", "s", "ops", "reqps", "currencyUSD", "bool_yes_no", "none"}
)
COLUMNS = 24
SCHEMA_VERSION = 41
_OLD_OF_DASHBOARD = ("rows", "sharedCrosshair", "style", "hideControls", "__inputs")
_OLD_OF_PANEL = ("maxDataPoints", "span", "height", "error", "cacheTimeout", "editable")
_OLD_OF_TARGET = ("intervalFactor", "step", "metric", "target", "query")
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_SELECTOR = re.compile(r"([a-z][a-z0-9_]*)\{([^}]*)\}(\[([^\]]+)\])?")
_COUNTER = re.compile(r"_(total|sum|count|bucket)$")
_GIVEN = re.compile(r"\b(rate|irate|increase)\($")
_BARE = re.compile(r"(?<![:\w$\"])(?:billing|ci|audit)_[a-z0-9_]+(?![\w:{\"])")
_STRING = re.compile(r'"[^"]*"')


def check_lint(dashboards: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Find everything that the linter would, in every dashboard by its name."""
    found: list[Finding] = []
    for name, data in dashboards.items():
        found += [Finding("lint", name, what) for what in _dashboard(data)]
        found += [Finding("lint", name, what) for what in _variables(data, name)]
        found += [Finding("lint", name, what) for what in _grid(data)]
        for panel in data["panels"]:
            where = f"{name}/{panel.get('title') or panel.get('id')}"
            found += [Finding("lint", where, what) for what in _panel(panel, name)]
    return found


def check_parses(
    dashboards: Mapping[str, Mapping[str, Any]],
) -> tuple[list[Finding], list[Skipped]]:
    """Find queries that are no PromQL, where promql-parser is installed."""
    if importlib.util.find_spec("promql_parser") is None:
        reason = "promql-parser is not installed; promtool parses each query in the panels' tests"
        return [], [Skipped("promql", reason)]
    parse: Callable[[str], object] = importlib.import_module("promql_parser").parse
    found = []
    for name, data in dashboards.items():
        for where, expr in _expressions(data):
            try:
                parse(fill(expr))
            except ValueError as error:
                told = str(error).partition("\n")[0]
                found.append(Finding("promql", f"{name}/{where}", told))
    return found, []


def _expressions(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give the query of each panel and each annotation, with where it stands."""
    for panel in data["panels"]:
        yield from ((panel["title"], target["expr"]) for target in panel.get("targets", ()))
    yield from ((each["name"], each["expr"]) for each in data["annotations"]["list"])


def _dashboard(data: Mapping[str, Any]) -> Iterator[str]:
    if data.get("editable") is not False:
        yield "it can be edited, so it will differ from its definition"
    if data.get("schemaVersion") != SCHEMA_VERSION:
        yield f"its schemaVersion is not {SCHEMA_VERSION}"
    if not data.get("uid"):
        yield "it has no uid"
    if not data.get("title") or not data.get("description"):
        yield "it has no title or no description"
    yield from (f"{key} is of an older Grafana" for key in _OLD_OF_DASHBOARD if key in data)


def _variables(data: Mapping[str, Any], name: str) -> Iterator[str]:
    variables = {each["name"]: each for each in data["templating"]["list"]}
    wanted = ("job", "instance") if name == "billing" else ("job",)
    source = variables.get("datasource")
    if source is None or source["type"] != "datasource" or source["query"] != "prometheus":
        yield "it has no variable datasource of type prometheus"
    elif source.get("label") != "Data source":
        yield "the variable datasource is not labelled “Data source”"
    for each in wanted:
        if each not in variables:
            yield f"it has no variable {each}"
        elif not variables[each].get("multi") or variables[each].get("allValue") != ".+":
            yield f"{each} must allow several values, all of them being .+"
    for each in variables.values():
        if each["type"] == "query" and each.get("datasource") != _SOURCE:
            yield f"the variable {each['name']} is not read from ${{datasource}}"
        if each["type"] == "query" and each.get("refresh") != 2:  # noqa: PLR2004 - on time change
            yield f"the variable {each['name']} is not read again when the time changes"


def _grid(data: Mapping[str, Any]) -> Iterator[str]:
    taken: dict[tuple[int, int], Any] = {}
    ids = [panel.get("id") for panel in data["panels"]]
    if len(set(ids)) != len(ids) or None in ids:
        yield "two panels have one id, or one has none"
    for panel in data["panels"]:
        place = panel["gridPos"]
        if place["x"] + place["w"] > COLUMNS:
            yield f"{panel['title']!r} stands beyond the {COLUMNS} columns"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if taken.setdefault((x, y), panel["id"]) != panel["id"]:
                    yield f"{panel['title']!r} lies over another panel"
                    return


def _panel(panel: Mapping[str, Any], name: str) -> Iterator[str]:
    if panel["type"] not in KINDS:
        yield f"the panel type {panel['type']} is of an older Grafana, or unknown"
        return
    if not panel.get("title"):
        yield "it has no title"
    if panel["type"] == "row":
        return
    if not panel.get("description"):
        yield "it has no description"
    if panel.get("datasource") != _SOURCE:
        yield "its data source is not {type, uid} of ${datasource}"
    yield from (f"{key} is of an older Grafana" for key in _OLD_OF_PANEL if key in panel)
    yield from _field(panel)
    if not panel.get("targets"):
        yield "it has no query"
    refs = [target["refId"] for target in panel.get("targets", ())]
    if len(set(refs)) != len(refs):
        yield "two of its queries have one refId"
    for target in panel.get("targets", ()):
        yield from (f"{key} is of an older Grafana" for key in _OLD_OF_TARGET if key in target)
        if target.get("datasource") != _SOURCE:
            yield "a query's data source is not ${datasource}"
        yield from _query(target["expr"], name)


def _field(panel: Mapping[str, Any]) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    if defaults.get("unit") not in UNITS:
        yield f"its unit {defaults.get('unit')!r} is not one of Grafana's that are used here"
    steps = defaults["thresholds"]["steps"]
    if not steps or steps[0]["value"] is not None:
        yield "its first threshold has a value; it must be null"
    values = [step["value"] for step in steps[1:]]
    if None in values or values != sorted(values):
        yield "its thresholds do not rise"
    colours = {step["color"] for step in steps}
    if panel["type"] in {"stat", "gauge"} and not {"green", "yellow", "red"} <= colours:
        yield "it has no green, yellow and red thresholds"
    if panel["type"] == "gauge" and not {"min", "max"} <= set(defaults):
        yield "it is a gauge without min and max"
    reduced = panel["type"] in {"stat", "gauge", "bargauge", "piechart"}
    if reduced and "reduceOptions" not in panel["options"]:
        yield "it does not say how values are reduced"


def _query(expr: str, name: str) -> Iterator[str]:
    wanted = ("job", "instance") if name == "billing" else ("job",)
    if bare := _BARE.findall(_STRING.sub('""', expr)):
        yield f"{bare[0]} is read without job and instance"
    for match in _SELECTOR.finditer(expr):
        series, inside, window = match[1], match[2], match[4]
        for label in wanted:
            if f'{label}=~"${label}"' not in inside:
                yield f'{series} is read without {label}=~"${label}"'
        given = _GIVEN.search(expr[: match.start()])
        if _COUNTER.search(series) and not given:
            yield f"{series} is a counter and read without rate or increase"
        if given and not _COUNTER.search(series):
            yield f"{series} is a gauge and read with {given[1]}"
        if given and given[1] in {"rate", "irate"} and window != "$__rate_interval":
            yield f"{series} is read with {given[1]} over {window}, not $__rate_interval"
