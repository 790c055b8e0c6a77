"""The definitions: whole, without orphans, and of one mind with those who emit the metrics."""

from __future__ import annotations

import dataclasses
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.schema import CreateTable

from ci import metrics as exporter
from dashboards.checks.orphans import SERIES_MAX, check_orphans
from dashboards.ci_catalogue import CI_CATALOGUE
from dashboards.facts import Facts, Moment
from dashboards.objectives import Objectives
from dashboards.observables import CRITICAL, plans
from dashboards.promtest.audited import AUDIT
from dashboards.promtest.audited import SAMPLES as AUDIT_SAMPLES
from dashboards.promtest.run import LOAD, MATRIX, REPORT, SAMPLES
from dashboards.promtest.story import MOMENT, facts
from dashboards.sources import SOURCES
from harness.audit.facts import Audited, Gap, Window
from harness.audit.telling import AUDIT_METRICS, samples_of
from harness.metrics import CATALOGUE, EFFECTS, Metric
from simulators.billing.storage.tables import Base

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashboards.observables.model import DashboardPlan, Observable

PLANS = plans(Objectives())
BILLING, CI, LOADED, AUDITS = PLANS


def test_nothing_is_orphaned() -> None:
    """Every metric is shown, every panel's metric is emitted, and everything has its proof."""
    assert check_orphans(PLANS) == []


def test_the_dashboards_hold_what_was_asked_for() -> None:
    """The ten panels of billing come first, the critical ones among them, with all alerts."""
    assert [each.key for each in BILLING.sections[0].observables] == [
        "subscription_creation_rate", "payment_success", "revenue_by_plan", "payment_duration",
        "usage_by_plan", "conversion_funnel", "failed_payments", "cancellation_rate",
        "active_subscriptions", "credits_flow",
    ]  # fmt: skip
    assert {each.key for each in BILLING.observables if each.is_critical} == set(CRITICAL)
    alerts = {a.name: a.severity for plan in PLANS for a in plan.alerts}
    assert sorted(name for name, severity in alerts.items() if severity == "warning") == [
        "AuditStale", "BillingPaymentSuccessLow", "CICoverageLow", "CIDataStale", "CISuiteSlow",
    ]  # fmt: skip
    assert len(alerts) == 14


def test_the_pipelines_metrics_are_those_of_the_exporter() -> None:
    """Names and labels that dashboards know are exactly those that `ci.metrics` pushes."""
    emitted = {metric.name: metric.labels for metric in exporter.METRICS}
    assert {name: tuple(metric.labels) for name, metric in CI_CATALOGUE.items()} == emitted


def test_the_story_of_a_run_is_what_the_exporter_tells() -> None:
    """The samples written by hand are what the exporter makes of the same report."""
    told = exporter.samples_of(REPORT, matrix=MATRIX, load=LOAD)
    assert sorted((n, tuple(sorted(labels.items())), float(v)) for n, labels, v in told) == sorted(
        (name, tuple(sorted(labels)), float(value)) for name, labels, value in SAMPLES
    )


def test_the_story_of_an_audit_is_what_an_audit_tells() -> None:
    """The samples written by hand are what `harness.audit` makes of the same findings."""
    found = Audited(str(AUDIT["target"]), Window(0, 1), "SQL", "usd")
    found.counts.update(AUDIT["counts"])
    found.amounts.update(AUDIT["amounts"])
    found.gaps.append(Gap("the ledger", "it was locked"))
    told = samples_of(found, AUDIT["at"], AUDIT["succeeded_at"])
    own = {(n, tuple(sorted(labels.items())), float(v)) for n, labels, v in told}
    target = ("target", AUDIT["target"])
    audited = {(n, tuple(sorted((*labels, target))), v) for n, labels, v in AUDIT_SAMPLES}
    assert own == audited
    assert {name for name, *_ in own} == set(AUDIT_METRICS)


def test_every_source_is_sql_that_the_reference_knows() -> None:
    """Each query on the ledger runs on the reference's own schema, and gives a time."""
    engine = create_engine("sqlite://")
    ledger = sqlite3.connect(":memory:")
    for table in Base.metadata.sorted_tables:
        ledger.execute(str(CreateTable(table).compile(engine)))
    queries = [source for source in SOURCES if source.record == "ledger"]
    assert len(queries) > 10
    for source in queries:
        columns = [column[0] for column in ledger.execute(source.query).description]
        assert columns[0] == "at_s", source.event
        declared = {
            "units",
            "amount_minor",
            "currency",
            "quantity",
            "cause",
            "customer",
            "settled_at",
            "state",
        }
        for effect in EFFECTS.get(source.event, ()):
            declared |= set(CATALOGUE[effect.metric].labels)
        assert set(columns[1:]) <= declared | {"type"}, source.event
    ledger.close()
    engine.dispose()


def test_every_oracle_has_something_to_say_of_the_story() -> None:
    """On a day on which everything happens, no panel's truth is empty."""
    for plan in PLANS:
        for each in plan.observables:
            for query in each.queries:
                assert query.oracle.truth(facts(), MOMENT), each.key


def test_alerts_know_what_is_wrong() -> None:
    """Each alert's truth holds for the story in which all goes wrong, but for what is right."""
    quiet = {"AuditStale", "CICoverageLow", "CISuiteSlow", "CIDataStale", "BillingBooksUnreadable",
             "BillingPaymentSuccessLow"}  # fmt: skip
    for plan in PLANS:
        for alert in plan.alerts:
            assert alert.truth(facts(), MOMENT) == (alert.name not in quiet), alert.name


@pytest.mark.parametrize(
    ("name", "report"),
    [
        ("CICoverageLow", {"code_coverage": {"all": 0.79}}),
        ("CISuiteSlow", {"duration_s": 301.0}),
        ("CIDataStale", {"started_at": -93_600.0}),
    ],
)
def test_alerts_on_a_run_know_a_bad_one(name: str, report: dict[str, Any]) -> None:
    """Each alert that was quiet on the story is right to fire on a run that breaks its line."""
    (alert,) = [alert for alert in CI.alerts if alert.name == name]
    worse = dataclasses.replace(facts(), report={**REPORT, **report})
    assert alert.truth(worse, MOMENT)


def test_payment_success_counts_before_it_judges() -> None:
    """Six failures of six payments wake nobody; twelve of twelve do."""
    (alert,) = [alert for alert in BILLING.alerts if alert.name == "BillingPaymentSuccessLow"]
    failed = [fact for fact in facts().of("payment_processed") if fact.fields["status"] == "failed"]
    assert not alert.truth(Facts(tuple(failed[:6])), Moment(failed[5].at_s))
    assert alert.truth(Facts(tuple(failed[:12])), Moment(failed[11].at_s))


def changed(plan: DashboardPlan, key: str, /, **changes: Any) -> tuple[DashboardPlan, ...]:
    """Give all plans, with one observable changed."""

    def of(each: Observable) -> Observable:
        return dataclasses.replace(each, **changes) if each.key == key else each

    sections = tuple(
        dataclasses.replace(section, observables=tuple(of(o) for o in section.observables))
        for section in plan.sections
    )
    return tuple(dataclasses.replace(p, sections=sections) if p is plan else p for p in PLANS)


def query(key: str, **changes: Any) -> dict[str, Any]:
    """Give the queries of an observable, with the first changed."""
    (each,) = [each for plan in PLANS for each in plan.observables if each.key == key][:1]
    first, *rest = each.queries
    return {"queries": (dataclasses.replace(first, **changes), *rest)}


def unread(key: str) -> dict[str, Any]:
    """Give the queries of an observable, with an oracle that reads what nobody records."""
    oracle = PLANS[0].observables[0].queries[0].oracle
    return query(key, oracle=dataclasses.replace(oracle, reads=("rumours",)))


NEGATIVES: dict[str, tuple[Callable[[], Any], str]] = {
    "a metric shown nowhere": (
        lambda: check_orphans(changed(BILLING, "renewals", **query("renewals", expr="up"))),
        "emitted and shown on no panel",
    ),
    "a metric that nobody emits": (
        lambda: check_orphans(
            changed(BILLING, "renewals", **query("renewals", expr="billing_renewals_total"))
        ),
        "emitted by nobody",
    ),
    "a panel without a query": (
        lambda: check_orphans(changed(BILLING, "renewals", queries=())), "it has no query",
    ),
    "facts that nobody records": (
        lambda: check_orphans(changed(BILLING, "renewals", **unread("renewals"))),
        "nothing says where rumours is read from",
    ),
    "neither alert nor reason": (
        lambda: check_orphans(changed(BILLING, "renewals", no_alert="")), "say an alert",
    ),
    "a panel without a next step": (
        lambda: check_orphans(changed(BILLING, "renewals", next_step=" ")), "no next step",
    ),
    "a critical panel that is gone": (
        lambda: check_orphans(changed(BILLING, "payment_success", is_critical=False)),
        "a critical panel is missing",
    ),
    "two panels of one key": (
        lambda: check_orphans(changed(BILLING, "renewals", key="invoices")), "two panels",
    ),
    "a value that a label never takes": (
        lambda: check_orphans(
            changed(
                BILLING, "invoices",
                **query("invoices", expr='billing_invoices_total{status="payed"}'),
            )
        ),
        "status of billing_invoices_total is never 'payed'",
    ),
    "a label that a metric does not have": (
        lambda: check_orphans(
            changed(
                BILLING, "invoices",
                **query("invoices", expr='billing_invoices_total{plan="pro"}'),
            )
        ),
        "has no label plan",
    ),
    "a metric of too many series": (
        lambda: check_orphans(
            PLANS,
            {
                **CATALOGUE, **CI_CATALOGUE,
                "billing_invoices_total": Metric(
                    "billing_invoices_total", "counter", "",
                    {"status": ("paid", "failed", *(f"c{n}" for n in range(SERIES_MAX)))},
                ),
            },
        ),
        "152 series",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NEGATIVES)
def test_what_is_wrong_with_a_definition_is_found(name: str) -> None:
    """Each mistake in a definition is a finding that says it."""
    check, told = NEGATIVES[name]
    assert told in "\n".join(finding.what for finding in check())
