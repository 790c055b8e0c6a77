"""The metric catalogue and its telemetry: what each event moves, and what none ever does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from harness.metrics import CATALOGUE, EFFECTS, BillingTelemetry, Metric, catalogue
from harness.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

SERIES_MAX = 150
GAUGES_MAX = 25
FULL: Mapping[str, object] = {
    "customer": "cust_1",
    "customer_segment": "self_serve",
    "plan": "pro",
    "status": "succeeded",
    "mode": "period_end",
    "payment_method": "card",
    "outcome": "charged",
    "resource_type": "repository",
    "source": "direct",
    "stage": "pro",
    "type": "invoice.paid",
    "result": "processed",
    "currency": "usd",
    "operation": "record_usage",
    "status_class": "2xx",
    "amount_minor": 2900,
    "duration_s": 0.25,
    "units": 60,
    "quantity": 1,
}


def samples(telemetry: BillingTelemetry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Give every sample of a scrape by name and labels, but for creation times."""
    body, _ = telemetry.exposition()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def moved(telemetry: BillingTelemetry, event: str, /, **fields: object) -> dict[str, float]:
    """Record an event; give what moved, as `name{label=value,…}`, distributions by their sum."""
    before = samples(telemetry)
    telemetry.record(event, **fields)
    return {
        f"{name}{{{','.join(f'{k}={v}' for k, v in labels)}}}": value
        - before.get((name, labels), 0)
        for (name, labels), value in samples(telemetry).items()
        if value != before.get((name, labels), 0) and not name.endswith(("_bucket", "_count"))
    }


@pytest.fixture
def telemetry() -> BillingTelemetry:
    """Give a telemetry of its own, with one watched customer."""
    return BillingTelemetry(watched=["cust_big"])


EXPECTED: dict[str, dict[str, float]] = {
    "subscription_created": {
        "billing_subscriptions_created_total{customer_segment=self_serve,plan=pro,status=other}": 1,
        "billing_subscription_amount_dollars_sum{currency=usd}": 29,
        "billing_subscription_creation_duration_seconds_sum{}": 0.25,
    },
    "first_invoice_paid": {"billing_subscription_amount_dollars_sum{currency=usd}": 29},
    "subscription_renewed": {
        "billing_subscriptions_renewed_total{customer_segment=self_serve,plan=pro}": 1
    },
    "subscription_cancelled": {
        "billing_subscriptions_cancelled_total"
        "{customer_segment=self_serve,mode=period_end,plan=pro}": 1
    },
    "payment_processed": {
        "billing_payments_total"
        "{customer_segment=self_serve,payment_method=card,status=succeeded}": 1,
        "billing_watched_payments_total{customer=other,status=succeeded}": 1,
        "billing_revenue_cents_total{currency=usd,plan=pro}": 2900,
        "billing_watched_revenue_cents_total{currency=usd,customer=other}": 2900,
        "billing_payment_amount_dollars_sum{currency=usd}": 29,
        "billing_payment_duration_seconds_sum{}": 0.25,
    },
    "invoice_paid": {
        "billing_invoices_total{status=paid}": 1,
        "billing_invoice_amount_dollars_sum{currency=usd}": 29,
    },
    "invoice_failed": {"billing_invoices_total{status=failed}": 1},
    "usage_tracked": {
        "billing_usage_fixes_total"
        "{customer_segment=self_serve,outcome=charged,plan=pro,resource_type=repository}": 1,
        "billing_watched_fixes_total{customer=other,outcome=charged}": 1,
        "billing_usage_quantity_sum{plan=pro}": 1,
    },
    "credits_added": {
        "billing_credits_added_total{source=other}": 60,
        "billing_credits_amount_sum{source=other}": 60,
    },
    "credits_consumed": {"billing_credits_consumed_total{plan=pro}": 60},
    "customer_converted": {"billing_conversions_total{source=direct,stage=pro}": 1},
    "customer_onboarded": {
        "billing_onboardings_total{result=unknown,source=direct}": 1,
        "billing_onboarding_duration_seconds_sum{}": 0.25,
    },
    "webhook_handled": {
        "billing_webhook_events_total{result=processed,type=invoice.paid}": 1,
        "billing_webhook_processing_duration_seconds_sum{type=invoice.paid}": 0.25,
    },
    "payment_timed": {"billing_payment_duration_seconds_sum{}": 0.25},
    "subscription_timed": {"billing_subscription_creation_duration_seconds_sum{}": 0.25},
    "request_served": {
        "billing_request_duration_seconds_sum{operation=record_usage,status_class=2xx}": 0.25
    },
}


@pytest.mark.parametrize("event", EFFECTS)
def test_each_event_moves_its_own_metrics_and_no_other(
    telemetry: BillingTelemetry, event: str
) -> None:
    """A whole event adds exactly what it says to exactly its metrics."""
    assert moved(telemetry, event, **FULL) == pytest.approx(EXPECTED[event])


@pytest.mark.parametrize("event", EFFECTS)
def test_an_event_without_any_field_counts_as_unknown(
    telemetry: BillingTelemetry, event: str
) -> None:
    """Missing fields make tags `unknown` and leave amounts out; nothing is raised or an error."""
    changed = moved(telemetry, event)
    counted = [effect.metric for effect in EFFECTS[event] if not effect.amount and not effect.only]
    assert sorted(name.partition("{")[0] for name in changed) == sorted(counted)
    assert all(value == 1 for value in changed.values())
    for name in changed:
        labels = dict(pair.split("=") for pair in name.partition("{")[2][:-1].split(",") if pair)
        told = {v for k, v in labels.items() if k not in {"status", "customer"}}
        assert told <= {"unknown"}, name


def test_every_tag_takes_each_declared_value_and_no_other() -> None:
    """A declared value stays itself; anything else becomes `other` or `unknown`."""
    for metric in CATALOGUE.values():
        for label, values in metric.labels.items():
            for value in values:
                assert (
                    dict(zip(metric.labels, metric.tags({label: value}), strict=True))[label]
                    == value
                )
            for odd in (None, "", 7, "cust_" + "x" * 500, "né\x00", ["a"], {"a": 1}, b"pro", True):
                found = dict(zip(metric.labels, metric.tags({label: odd}), strict=True))[label]
                assert found in {"other", "unknown"}
                assert found in values


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
    st.lists(st.integers()), st.sampled_from([10**400, -(10**400), math.inf, math.nan]),
)  # fmt: skip
SHARED = BillingTelemetry()


@settings(deadline=None, max_examples=300)
@given(
    event=st.one_of(st.sampled_from(sorted(EFFECTS)), st.text()),
    fields=st.dictionaries(st.sampled_from(sorted(FULL)), ODD),
)
def test_nothing_that_is_told_ever_raises(event: str, fields: dict[str, object]) -> None:
    """Whatever fields hold, recording returns; odd amounts are left out."""
    SHARED.record(event, **fields)


def test_after_anything_was_told_every_series_is_declared() -> None:
    """No value of a field ever makes a series that the catalogue does not know."""
    for value in ("x", None, 1, "pro", "other"):
        for event in EFFECTS:
            SHARED.record(event, **dict.fromkeys(FULL, value))
    body, _ = SHARED.exposition()
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            name = sample.name
            for suffix in ("_bucket", "_sum", "_count", "_created"):
                name = name.removesuffix(suffix)
            metric = CATALOGUE.get(name) or CATALOGUE[f"{name}_total"]
            labels = {k: v for k, v in sample.labels.items() if k != "le"}
            assert tuple(labels[label] for label in metric.labels) in set(metric.combinations())


def test_zero_is_an_amount(telemetry: BillingTelemetry) -> None:
    """An invoice of zero is counted and observed; it adds nothing to a sum."""
    before = samples(telemetry)
    telemetry.record("invoice_paid", amount_minor=0, currency="usd")
    after = samples(telemetry)
    count = ("billing_invoice_amount_dollars_count", (("currency", "usd"),))
    assert after[count] == before.get(count, 0) + 1
    assert after[("billing_invoices_total", (("status", "paid"),))] == 1
    assert after[("billing_invoice_amount_dollars_sum", (("currency", "usd"),))] == 0


@pytest.mark.parametrize("cents", [2**31, 2**53, 10**18, 1e300])
def test_very_large_amounts_are_counted(telemetry: BillingTelemetry, cents: float) -> None:
    """An amount beyond any integer type is still added, as far as a float holds it."""
    changed = moved(
        telemetry, "payment_processed", status="succeeded", amount_minor=cents, currency="usd",
        plan="pro",
    )  # fmt: skip
    assert changed["billing_revenue_cents_total{currency=usd,plan=pro}"] == float(cents)


@pytest.mark.parametrize("odd", [-1, math.nan, math.inf, 10**400, "2900", True, object()])
def test_what_is_no_amount_is_left_out_and_told(telemetry: BillingTelemetry, odd: object) -> None:
    """A counter never goes down and never becomes NaN; the mistake itself is counted."""
    changed = moved(telemetry, "credits_consumed", plan="pro", units=odd)
    assert changed == {"billing_telemetry_errors_total{event=credits_consumed}": 1}


def test_an_unknown_event_is_told(telemetry: BillingTelemetry) -> None:
    """An event that the catalogue does not have moves nothing but the errors."""
    changed = moved(telemetry, "subscription_creatd", plan="pro")
    assert changed == {"billing_telemetry_errors_total{event=unknown}": 1}


def test_a_failed_payment_brings_no_revenue(telemetry: BillingTelemetry) -> None:
    """A decline counts with its reason; an unknown reason is `other`, and no money is added."""
    failed = {**FULL, "status": "failed", "failure_code": "insufficient_funds"}
    changed = moved(telemetry, "payment_processed", **failed)
    assert changed["billing_payment_failures_total{failure_code=insufficient_funds}"] == 1
    assert not [name for name in changed if "revenue" in name or "amount" in name]
    odd = moved(telemetry, "payment_processed", status="failed", failure_code="new_at_stripe")
    assert odd["billing_payment_failures_total{failure_code=other}"] == 1


def test_every_counter_is_there_at_zero_for_every_combination(telemetry: BillingTelemetry) -> None:
    """Before anything happens each counter shows each combination of its labels, at 0."""
    found = samples(telemetry)
    for metric in telemetry.catalogue.values():
        if metric.kind == "counter":
            shown = {k: v for k, v in found.items() if k[0] == metric.name}
            assert len(shown) == metric.series_max
            assert set(shown.values()) == {0}


def test_watched_customers_and_the_others_make_the_whole(telemetry: BillingTelemetry) -> None:
    """A watched customer has a series, everyone else shares one, and the sum is the total."""
    for customer, amount in (("cust_big", 100), ("cust_1", 20), ("cust_2", 3), (None, 4)):
        telemetry.record(
            "payment_processed", status="succeeded", currency="usd", plan="pro",
            amount_minor=amount, customer=customer,
        )  # fmt: skip
    found = samples(telemetry)
    watched = {
        dict(labels)["customer"]: value
        for (name, labels), value in found.items()
        if name == "billing_watched_revenue_cents_total" and value
    }
    assert watched == {"cust_big": 100, "other": 27}
    total = found[("billing_revenue_cents_total", (("currency", "usd"), ("plan", "pro")))]
    assert total == sum(watched.values())


def test_only_so_many_customers_can_be_watched() -> None:
    """The list of watched customers is capped, so that nobody's number of customers is a label."""
    catalogue(watched=[f"c{n}" for n in range(20)])
    with pytest.raises(ValueError, match="at most 20"):
        catalogue(watched=[f"c{n}" for n in range(21)])


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=lambda metric: metric.name)
def test_every_metric_is_well_named_and_bounded(metric: Metric) -> None:
    """Names say unit and kind, help is a sentence, and the series of each metric are capped."""
    assert metric.name.startswith("billing_")
    assert metric.help.endswith(".")
    assert (metric.kind == "counter") == metric.name.endswith("_total")
    assert metric.series_max <= (GAUGES_MAX if metric.kind == "gauge" else SERIES_MAX)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert "_ms" not in metric.name
    assert "minor" not in metric.name


def test_the_catalogue_holds_what_dashboards_need() -> None:
    """The counters, distributions and gauges that panels and alerts are built on are all there."""
    kinds = [metric.kind for metric in CATALOGUE.values()]
    assert kinds.count("counter") >= 13
    assert kinds.count("histogram") >= 10
    effects = {effect.metric for found in EFFECTS.values() for effect in found}
    errors = "billing_telemetry_errors_total"
    filled = {m.name for m in CATALOGUE.values() if m.kind != "gauge"} - {errors}
    assert effects == filled


def test_edges_stand_at_the_service_objectives() -> None:
    """Each objective is a bucket's edge, so that the share within it can be read exactly."""
    for name in ("request_duration_seconds", "webhook_processing_duration_seconds"):
        assert {0.05, 0.1, 0.2, 0.5} <= set(CATALOGUE[f"billing_{name}"].buckets)
    assert {1, 5, 15, 50, 100, 500, 1000} == set(
        CATALOGUE["billing_payment_amount_dollars"].buckets
    )


def test_every_operation_of_the_harness_has_its_label() -> None:
    """Requests are told apart by the harness's own names of operations."""
    known = set(CATALOGUE["billing_request_duration_seconds"].labels["operation"])
    controls = {"advance_time", "drain", "purge_customer", "arm_failpoint"}
    assert set(OPERATIONS) - known == controls


@pytest.mark.parametrize("is_read", [True, False], ids=["with a database", "without"])
def test_a_process_tells_what_was_deployed(is_read: bool) -> None:  # noqa: FBT001 - a parameter
    """`billing_build_info` is one series at 1 with version and commit, also without gauges."""
    read: Any = (lambda: {"billing_webhook_backlog": [({}, 1.0)]}) if is_read else None
    telemetry = BillingTelemetry(read, version="1.2.0", commit="ab12")
    told = {labels: v for (name, labels), v in samples(telemetry).items() if "build" in name}
    assert told == {(("commit", "ab12"), ("version", "1.2.0")): 1.0}
    plain = {labels for name, labels in samples(BillingTelemetry()) if "build" in name}
    assert plain == {(("commit", "unknown"), ("version", "unknown"))}
