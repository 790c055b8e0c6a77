"""What Grafana would refuse, migrate or draw wrongly is found in the JSON itself."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from dashboards.checks.lint import check_lint, check_parses
from dashboards.checks.roundtrip import check_roundtrip
from dashboards.grafana import Drawing, dashboard_json
from dashboards.objectives import Objectives
from dashboards.observables import plans

if TYPE_CHECKING:
    from collections.abc import Callable

DRAWN: dict[str, dict[str, Any]] = {
    str(plan.name): dashboard_json(plan, Drawing()) for plan in plans(Objectives())
}
BILLING = DRAWN["billing"]


def panel(data: dict[str, Any], kind: str) -> dict[str, Any]:
    """Give the first panel of a kind."""
    found: dict[str, Any] = next(each for each in data["panels"] if each["type"] == kind)
    return found


def variable(data: dict[str, Any], name: str) -> dict[str, Any]:
    """Give a variable."""
    found: dict[str, Any] = next(v for v in data["templating"]["list"] if v["name"] == name)
    return found


def test_nothing_is_found_in_what_is_generated() -> None:
    """Every dashboard passes every rule of the linter."""
    assert check_lint(DRAWN) == []


def target(data: dict[str, Any], kind: str = "timeseries") -> dict[str, Any]:
    """Give the first query of the first panel of a kind."""
    found: dict[str, Any] = panel(data, kind)["targets"][0]
    return found


def query(expr: str) -> Callable[[Any], object]:
    """Put another query into the first panel."""
    return lambda data: target(data).update(expr=expr)


OWN = 'job=~"$job",instance=~"$instance"'
NEGATIVES: dict[str, tuple[Callable[[Any], object], str]] = {
    "editable": (lambda d: d.update(editable=True), "can be edited"),
    "schema": (lambda d: d.update(schemaVersion=12), "schemaVersion"),
    "no uid": (lambda d: d.update(uid=None), "no uid"),
    "untold": (lambda d: d.update(description=""), "no title or no description"),
    "rows": (lambda d: d.update(rows=[]), "rows is of an older"),
    "no data source": (lambda d: d["templating"]["list"].pop(0), "no variable datasource"),
    "label": (lambda d: variable(d, "datasource").update(label="x"), "is not labelled"),
    "no job": (lambda d: variable(d, "job").update(name="work"), "no variable job"),
    "one job": (lambda d: variable(d, "job").update(multi=False), "job must allow several"),
    "empty instance": (
        lambda d: variable(d, "instance").update(allValue=".*"), "instance must allow several",
    ),
    "fixed source": (
        lambda d: variable(d, "plan").update(datasource="prometheus"), "plan is not read from",
    ),
    "read once": (lambda d: variable(d, "plan").update(refresh=1), "when the time changes"),
    "one id": (lambda d: d["panels"][2].update(id=1), "two panels have one id"),
    "too wide": (lambda d: d["panels"][1]["gridPos"].update(w=25), "beyond the 24 columns"),
    "covered": (lambda d: d["panels"][2]["gridPos"].update(x=0), "over another panel"),
    "removed panel": (lambda d: panel(d, "timeseries").update(type="graph"), "type graph"),
    "no title": (lambda d: panel(d, "stat").update(title=""), "it has no title"),
    "no description": (lambda d: panel(d, "stat").update(description=""), "no description"),
    "old source": (lambda d: panel(d, "stat").update(datasource="x"), "its data source is not"),
    "points": (lambda d: panel(d, "stat").update(maxDataPoints=100), "maxDataPoints is of"),
    "no query": (lambda d: panel(d, "stat").update(targets=[]), "it has no query"),
    "one ref": (
        lambda d: panel(d, "bargauge")["targets"][1].update(refId="A"), "have one refId",
    ),
    "factor": (lambda d: target(d).update(intervalFactor=2), "intervalFactor is of an older"),
    "query's source": (lambda d: target(d).update(datasource=None), "a query's data source"),
    "unit": (
        lambda d: panel(d, "stat")["fieldConfig"]["defaults"].update(unit="euros"), "its unit",
    ),
    "null in quotes": (
        lambda d: panel(d, "stat")["fieldConfig"]["defaults"]["thresholds"]["steps"][0].update(
            value="null"
        ),
        "must be null",
    ),
    "falling": (
        lambda d: panel(d, "stat")["fieldConfig"]["defaults"]["thresholds"]["steps"][1].update(
            value=9
        ),
        "do not rise",
    ),
    "colours": (
        lambda d: panel(d, "stat")["fieldConfig"]["defaults"]["thresholds"]["steps"].pop(),
        "no green, yellow and red",
    ),
    "open gauge": (
        lambda d: panel(d, "gauge")["fieldConfig"]["defaults"].pop("max"), "without min and max",
    ),
    "unreduced": (lambda d: panel(d, "stat")["options"].pop("reduceOptions"), "are reduced"),
    "bare": (query("sum(billing_credits_outstanding)"), "without job and instance"),
    "no instance": (
        query('billing_credits_outstanding{job=~"$job"}'), 'without instance=~"$instance"',
    ),
    "raw counter": (
        query(f"sum(billing_invoices_total{{{OWN}}})"), "a counter and read without rate",
    ),
    "rate of a gauge": (
        query(f"rate(billing_webhook_backlog{{{OWN}}}[$__rate_interval])"), "a gauge and read with",
    ),
    "fixed rate": (
        query(f"rate(billing_invoices_total{{{OWN}}}[5m])"), "not $__rate_interval",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NEGATIVES)
def test_what_the_linter_asks_is_asked(name: str) -> None:
    """Each mistake in a dashboard's JSON is a finding that says it."""
    change, told = NEGATIVES[name]
    data = copy.deepcopy(BILLING)
    change(data)
    assert told in "\n".join(finding.what for finding in check_lint({"billing": data}))


def test_a_check_that_cannot_be_made_is_told_or_finds() -> None:
    """A query that is no PromQL is found where the parser is there; else the skip says why."""
    data = copy.deepcopy(BILLING)
    target(data).update(expr="sum(rate(")
    found, skipped = check_parses({"billing": data})
    assert len(found) + len(skipped) == 1
    assert not skipped or "promql-parser is not installed" in skipped[0].reason


def test_what_grafanas_types_do_not_know_is_found() -> None:
    """A key that does not come back through Grafana's types is found; what may be lost is not."""

    def forgetful(data: Any) -> Any:
        kept = copy.deepcopy(data)
        kept.pop("refresh")
        for each in kept["templating"]["list"]:
            each.pop("definition", None)
        return kept

    found, skipped = check_roundtrip({"billing": BILLING}, forgetful)
    assert [finding.what for finding in found] == ["Grafana's types do not know refresh"]
    assert skipped == []
    lost, _ = check_roundtrip(DRAWN)
    assert lost == []


def test_variables_and_look_are_as_asked() -> None:
    """Refresh, range, tooltip, tags, variables and colours are what SREs were promised."""
    assert (BILLING["refresh"], BILLING["time"]["from"]) == ("30s", "now-24h")
    assert BILLING["graphTooltip"] == 2
    assert BILLING["tags"] == ["billing", "stripe", "revenue"]
    names = [each["name"] for each in BILLING["templating"]["list"]]
    assert names == ["datasource", "job", "instance", "plan", "segment", "customer"]
    assert panel(BILLING, "timeseries")["options"]["legend"]["calcs"] == [
        "mean", "max", "lastNotNull",
    ]  # fmt: skip
    colours = {
        each["matcher"]["options"]: each["properties"][0]["value"]["fixedColor"]
        for each in panel(BILLING, "timeseries")["fieldConfig"]["overrides"]
    }
    assert colours == {"/^trial( |$)/": "blue", "/^pro( |$)/": "green", "/^payg( |$)/": "yellow"}
    assert "null" in json.dumps(panel(BILLING, "stat")["fieldConfig"])


def test_every_pushed_panel_says_how_old_it_is() -> None:
    """The data's age stands in the title of every panel of the CI and load dashboards."""
    for name in ("ci", "load"):
        for each in DRAWN[name]["panels"]:
            assert each["type"] == "row" or "${data_age}" in each["title"]
        assert variable(DRAWN[name], "data_age")["hide"] == 2


def test_deployments_are_marked_by_the_metric_that_tells_them() -> None:
    """The billing dashboard carries an annotation that reads it, unless an owner wants none."""
    (plan, *_) = plans(Objectives())
    (marks,) = dashboard_json(plan, Drawing(build_info="acme_build"))["annotations"]["list"]
    assert "acme_build" in marks["expr"]
    assert marks["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert dashboard_json(plan, Drawing(build_info=""))["annotations"]["list"] == []
    assert "billing_build_info" in BILLING["annotations"]["list"][0]["expr"]
