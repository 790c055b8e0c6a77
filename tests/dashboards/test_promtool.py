"""promtool runs what was generated; and changed queries and alerts do not get past it."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from dashboards.build import Wanted, artefacts
from dashboards.checks.programs import check_rules
from dashboards.objectives import Objectives
from dashboards.observables import plans
from dashboards.observables.queries import reading
from dashboards.promtest.write import alert_tests, fill, panel_tests
from dashboards.rules import rule_groups
from dashboards.yaml import to_yaml

if TYPE_CHECKING:
    from pathlib import Path

    from dashboards.observables.model import DashboardPlan

pytestmark = pytest.mark.program("promtool")
PLANS = {plan.name: plan for plan in plans(Objectives())}

# An observable, what is changed in its first query that has it, and into what.
QUERIES = [
    ("subscription_creation_rate", "[5m]", "[30m]"),
    ("subscription_creation_rate", "sum by (plan)", "max by (plan)"),
    ("payment_success", 'status="succeeded"', 'status=~"succeeded|refunded"'),
    ("payment_success", 'status=~"succeeded|failed"', 'status=~".*"'),
    ("payment_success", "increase(", "max_over_time("),
    ("revenue_by_plan", "max by (job, plan, currency)", "sum by (job, plan, currency)"),
    ("revenue_by_plan", "/ 100", "/ 1000"),
    ("revenue_by_plan", "billing_revenue_24h_cents", "billing_ledger_cents"),
    ("payment_duration", "0.95", "0.5"),
    ("payment_duration", "payment_duration", "onboarding_duration"),
    ("usage_by_plan", "credit|charged", "credit|charged|refused"),
    ("usage_by_plan", "rate(", "increase("),
    ("conversion_funnel", 'stage="signup"', 'stage="payg"'),
    ("conversion_funnel", "$__range", "$__rate_interval"),
    ("failed_payments", "topk(10,", "topk(1,"),
    ("failed_payments", "billing_payment_failures_total", "billing_payments_total"),
    ("cancellation_rate", "cancelled", "created"),
    ("cancellation_rate", " + ", " - "),
    ("active_subscriptions", "max by (job, plan)", "sum by (job, plan)"),
    ("credits_flow", "added", "consumed"),
    ("ledger_difference", "abs", ""),
    ("ledger_totals", "max by", "sum by"),
    ("webhook_backlog", "max by (job)", "sum by (job)"),
    ("webhook_failures", 'result="failed"', 'result="processed"'),
    ("fix_tracking", 'le="0.1"', 'le="0.2"'),
    ("usage_summary", "get_balance", "record_usage"),
    ("charge_time", "_bucket", "_count"),
    ("request_errors", "5xx", "4xx"),
    ("error_budget", "1 - ", ""),
    ("error_budget", "/ 0.05", "/ 0.01"),
    ("onboardings", "sum by (source, result)", "sum by (result)"),
    ("watched_revenue_cents", "by (customer)", "by (currency)"),
    ("tests_by_result", "max by (suite, result)", "max by (suite)"),
    ("data_age", "time() - ", ""),
    ("partition_balance", "max (", "min ("),
    ("coverage", "by (scope)", "by (job)"),
    ("load_latency_p99", "0.99", "0.95"),
]
# An alert, what is changed in it, and into what.
ALERTS = [
    ("BillingPaymentSuccessLow", ">= 10", ">= 1"),
    ("BillingPaymentSuccessLow", "> 0.72", "> 0.95"),
    ("BillingPaymentSuccessLow", "increase30m > 0.3", "increase30m >= 0"),
    ("BillingPaymentSuccessLow", "> 0.3 ", "> 0.6 "),
    ("BillingLedgerDiffers", "abs", ""),
    ("BillingLedgerDiffers", "> 0", ">= 0"),
    ("BillingDoubleCharge", "> 0", "> 1"),
    ("BillingBooksUnreadable", "< 1", "< 0"),
    ("BillingWebhookBacklogNotDraining", "> 300", "> 3000"),
    ("BillingWebhookBacklogNotDraining", "_oldest_age_seconds", "_backlog"),
    ("CIRunFailed", "== 0", "== 1"),
    ("CIFlakyTest", "> 0", ">= 0"),
    ("CISecuritySuiteFailed", "> 0", "> 10"),
    ("CISecuritySuiteFailed", '!="other"', '="other"'),
    ("CIMigrationFailed", "== 0", "!= 0"),
    ("CICoverageLow", "< 0.8", "<= 0.8"),
    ("CICoverageLow", '"all"', '"webhooks"'),
    ("CISuiteSlow", "> 300", ">= 300"),
    ("CIDataStale", "> 93600", "> 936000"),
]


def promtool(folder: Path, *arguments: str) -> str:
    """Run promtool; give what it said."""
    ended = subprocess.run(
        ["promtool", *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    return ended.stdout


def test_readings_of_two_services_are_added_up(tmp_path: Path) -> None:
    """Two instances of a service read one database, which counts once; another service's, too."""
    backlog = "billing_webhook_backlog"
    told = {("eu", "1"): 3, ("eu", "2"): 3, ("us", "1"): 4}
    series = [
        {"series": f'{backlog}{{job="{job}",instance="{instance}"}}', "values": str(value)}
        for (job, instance), value in told.items()
    ]
    asked = {"expr": fill(reading(backlog)), "exp_samples": [{"labels": "{}", "value": 7}]}
    group = {"interval": "1m", "input_series": series, "promql_expr_test": [asked]}
    (tmp_path / "two.yml").write_text(to_yaml({"tests": [group]}))
    assert "SUCCESS" in promtool(tmp_path, "test", "rules", "two.yml")


def test_all_that_is_generated_passes() -> None:
    """Promtool finds nothing in the rules, nor in the tests of panels and alerts; nor amtool."""
    found, skipped = check_rules(artefacts(Wanted()))
    assert found == []
    assert not [each for each in skipped if "promtool" in each.reason]


def mutants(plan: DashboardPlan) -> tuple[dict[str, Any], dict[str, str]]:
    """Give the panel tests with every changed query, and each change by what promtool runs."""
    whole = panel_tests(plan)
    (group,) = whole["tests"]
    tests = dict(zip(_queries(plan), group["promql_expr_test"], strict=True))
    changed, names = [], {}
    for key, old, new in QUERIES:
        found = [q for q in tests if q[0] == key and old in q[1]]
        if found:
            first = found[0]
            expr = fill(first[1].replace(old, new))
            told = tests[first]["expr"].replace(fill(first[1]), expr)
            assert told != tests[first]["expr"], (key, old)
            changed.append({**tests[first], "expr": told})
            names[told] = f"{key}: {old} → {new}"
    return {"tests": [{**group, "promql_expr_test": changed}]}, names


def _queries(plan: DashboardPlan) -> list[tuple[str, str, int]]:
    return [
        (each.key, query.expr, number)
        for each in plan.observables
        for number, query in enumerate(each.queries)
    ]


def test_a_changed_query_does_not_show_what_its_oracle_says(tmp_path: Path) -> None:
    """Each changed query of the table gives something else than the truth, and promtool says so."""
    wanted = 0
    for name in ("billing", "ci"):
        tests, names = mutants(PLANS[name])
        (tmp_path / "tests.yml").write_text(to_yaml(tests))
        said = promtool(tmp_path, "test", "rules", "tests.yml")
        told = {
            match.replace('\\"', '"') for match in re.findall(r'expr: "((?:[^"\\]|\\.)*)"', said)
        }
        assert {what for expr, what in names.items() if expr not in told} == set(), said[:2000]
        wanted += len(names)
    assert wanted == len(QUERIES) >= 25


def test_a_changed_alert_fires_wrongly_or_not_at_all(tmp_path: Path) -> None:
    """Each changed alert of the table fails one of its cases."""
    for number, (name, old, new) in enumerate(ALERTS):
        (plan,) = [p for p in (PLANS["billing"], PLANS["ci"]) if _named(p, name)]
        (group,) = rule_groups(plan)["groups"]
        (rule,) = [rule for rule in group["rules"] if rule.get("alert") == name]
        recorded = [rule for rule in group["rules"] if "record" in rule]
        assert old in rule["expr"], (name, old)
        mutant = {**rule, "expr": rule["expr"].replace(old, new)}
        changed = {"name": "changed", "rules": [*recorded, mutant]}
        rules = f"rules{number}.yml"
        whole = alert_tests(plan, rules)
        whole["tests"] = [case for case in whole["tests"] if _is_of(case, name)]
        (tmp_path / rules).write_text(to_yaml({"groups": [changed]}))
        (tmp_path / f"tests{number}.yml").write_text(to_yaml(whole))
    files = [f"tests{number}.yml" for number in range(len(ALERTS))]
    said = promtool(tmp_path, "test", "rules", *files)
    verdicts = re.split(r"Unit Testing:  (tests\d+\.yml)", said)[1:]
    passed = [
        file
        for file, told in zip(verdicts[::2], verdicts[1::2], strict=True)
        if "FAILED" not in told
    ]
    assert [ALERTS[int(re.sub(r"\D", "", file))] for file in passed] == []
    assert len(verdicts) == 2 * len(ALERTS)


def _named(plan: DashboardPlan, name: str) -> bool:
    return any(alert.name == name for alert in plan.alerts)


def _is_of(case: dict[str, Any], alert: str) -> bool:
    return bool(case["alert_rule_test"][0]["alertname"] == alert)


def test_a_rule_that_is_no_promql_is_found() -> None:
    """Promtool's complaint becomes a finding that names the file."""
    files = dict(artefacts(Wanted()))
    broken = {
        name: text.replace("> 93600", "> > 93600")
        for name, text in files.items()
        if name == "ci_rules.yml"
    }
    found, _ = check_rules(
        {**broken, "alertmanager_example.yml": files["alertmanager_example.yml"]}
    )
    assert [finding.where for finding in found] == ["ci_rules.yml"]


@pytest.mark.program("amtool")
def test_an_alertmanager_file_without_a_receiver_is_found() -> None:
    """Amtool's complaint becomes a finding."""
    assert shutil.which("amtool")
    text = artefacts(Wanted())["alertmanager_example.yml"].replace('"billing-daytime"', '"x"', 1)
    found, _ = check_rules({"alertmanager_example.yml": text})
    assert [finding.check for finding in found] == ["amtool check-config"]
