"""An owner's own names reach every query, rule and test, and nothing but these."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.build import Wanted, artefacts
from dashboards.checking import check_everything
from dashboards.checks.live import check_page
from dashboards.checks.programs import check_rules
from dashboards.naming import OURS, Naming, read_naming
from dashboards.objectives import Objectives
from dashboards.observables import plans
from dashboards.promtest.write import fill
from harness.errors import ProfileError, SettingsError
from harness.metrics import CATALOGUE, BillingTelemetry
from harness.target.profile import MetricNames
from harness.target.reader import read_profile
from tests.dashboards.test_commands import run

if TYPE_CHECKING:
    from collections.abc import Mapping

ACME = Naming(
    tuple((name, name.replace("billing_", "acme_")) for name in CATALOGUE),
    (("plan", "tier"), ("failure_code", "reason"), ("status", "state")),
)
REFERENCE = Path(__file__).parents[2] / "fixtures" / "profiles" / "reference.toml"


def test_nothing_of_ours_is_left_in_queries() -> None:
    """With every metric renamed, dashboard, rules and tests read the owner's names only."""
    files = artefacts(Wanted(naming=ACME))
    for name in ("billing_rules.yml", "billing_panel_tests.yml", "billing_alert_tests.yml"):
        for metric in CATALOGUE:
            assert metric not in files[name], name
    drawn = json.loads(files["billing_dashboard.json"])
    expressions = [t["expr"] for panel in drawn["panels"] for t in panel.get("targets", ())]
    expressions += [v["definition"] for v in drawn["templating"]["list"] if "definition" in v]
    assert not [e for e in expressions if any(metric in e for metric in CATALOGUE)]
    assert 'label_values(acme_active_subscriptions{job=~"$job"}, tier)' in expressions
    legends = {t["legendFormat"] for p in drawn["panels"] for t in p.get("targets", ())}
    assert not [legend for legend in legends if "{{plan}}" in legend]
    assert files["ci_dashboard.json"] == artefacts(Wanted())["ci_dashboard.json"]


def test_to_name_nothing_changes_nothing() -> None:
    """Without names of an owner's, every query stays as it is to the letter."""
    for plan in plans(Objectives()):
        for each in plan.observables:
            for query in each.queries:
                assert OURS.expr(query.expr) == query.expr


@given(st.text())
def test_no_text_is_lost(text: str) -> None:
    """Whatever stands in an expression, naming keeps what it does not know."""
    assert OURS.expr(text) == text


@pytest.mark.nightly
@pytest.mark.program("promtool")
def test_renamed_rules_keep_every_proof() -> None:
    """With an owner's names, rules load, alerts fire as their cases say, panels show the truth."""
    found, _ = check_rules(artefacts(Wanted(naming=ACME)))
    assert found == []


def test_renamed_dashboards_pass_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The linter's rules, the round trip and PromQL's parser take an owner's names."""
    monkeypatch.setattr("dashboards.checking.check_rules", lambda _: ([], []))
    assert check_everything(Objectives(), ACME)[0] == []


def page(words: Mapping[str, str]) -> str:
    """Give a right service's metrics with some names replaced."""
    text = BillingTelemetry(lambda: {"billing_webhook_backlog": [({}, 3.0)]}).exposition()[0]
    told = text.decode()
    for old, new in words.items():
        told = told.replace(old, new)
    return told


def test_a_service_is_read_by_its_own_names() -> None:
    """A page in the owner's words lacks nothing by his names, and much by ours."""
    own = page({"\nbilling_": "\nacme_", " billing_": " acme_", "plan=": "tier=",
                "failure_code=": "reason=", "status=": "state="})  # fmt: skip
    assert check_page(own, ACME.catalogue()) == []
    assert check_page(own)
    lacking = {f.where for f in check_page(page({}), ACME.catalogue())}
    assert lacking >= set(ACME.catalogue())


def test_a_profile_names_them(tmp_path: Path) -> None:
    """`build --target` reads `[metrics]` of a profile, whose variables need not be set."""
    own = '[metrics]\nnames = { "billing_payments_total" = "acme_payments_total" }\n'
    own += 'labels = { plan = "tier" }\n'
    (tmp_path / "acme.toml").write_text(REFERENCE.read_text() + own)
    told = run("build", "--out", str(tmp_path), "--target", str(tmp_path / "acme.toml"))
    assert told.exit_code == 0, told.output
    rules = (tmp_path / "billing_rules.yml").read_text()
    assert "acme_payments_total" in rules
    assert "billing_payments_total" not in rules
    assert "`acme_payments_total`" in (tmp_path / "DASHBOARDS_REFERENCE.md").read_text()


WRONG: dict[str, tuple[MetricNames, str]] = {
    "unknown": (MetricNames(names={"billing_tips_total": "x"}), "no metric billing_tips_total"),
    "twice": (
        MetricNames(names={"billing_webhook_backlog": "billing_duplicate_charges"}),
        "2 metrics are called billing_duplicate_charges",
    ),
    "label": (MetricNames(labels={"colour": "x"}), "no metric has a label colour"),
    "scraped": (MetricNames(labels={"plan": "job"}), "job is set by Prometheus"),
    "one label": (MetricNames(labels={"plan": "status"}), "2 labels are called status"),
}


@pytest.mark.parametrize("name", WRONG)
def test_names_that_make_no_sense_are_refused(name: str) -> None:
    """What is not known, or would make two things one, is told with its next step."""
    section, says = WRONG[name]
    with pytest.raises(SettingsError, match=says) as refused:
        read_naming(section)
    assert refused.value.hint


def test_a_name_that_is_none_is_a_mistake_of_the_profile(tmp_path: Path) -> None:
    """What Prometheus would not take as a name is told with file and key."""
    own = '[metrics.names]\nbilling_payments_total = "acme-payments"\n'
    (tmp_path / "acme.toml").write_text(REFERENCE.read_text() + own)
    with pytest.raises(ProfileError, match=r"metrics\.names\.billing_payments_total"):
        read_profile(tmp_path / "acme.toml")


def test_variables_of_grafana_stay() -> None:
    """A variable named like a label is not renamed, and is filled in as ever."""
    named = ACME.expr('sum by (plan) (billing_ledger_cents{plan=~"$plan", kind!="$plan"})')
    assert named == 'sum by (tier) (acme_ledger_cents{tier=~"$plan", kind!="$plan"})'
    assert fill(named, {"plan": "pro"}).count('"pro"') == 2
