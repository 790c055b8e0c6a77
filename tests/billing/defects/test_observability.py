"""Defects of observability, each beside the service without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, text

from simulators.billing.idempotency import unkeyed_slot
from simulators.billing.operations import charging
from tests.billing.defects.shop import METRICS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tests.billing.defects.conftest import Both
    from tests.billing.defects.shop import Shop


# Every gauntlet meets them, too; those of money are shown every day.
pytestmark = pytest.mark.nightly


def total(shop: Shop, name: str, **labels: str) -> float:
    """Sum the series of a metric that have these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(shop.scrape())
        for sample in family.samples
        if sample.name == f"billing_{name}" and labels.items() <= sample.labels.items()
    )


def test_success_counted_before_the_commit(both: Both) -> None:
    """A fix whose commit fails is not counted, or is."""

    def fail(_: Connection) -> None:
        raise TimeoutError

    def story(shop: Shop) -> float:
        tenant = shop.tenant()
        engine = shop.core.database.writers
        event.listen(engine, "commit", fail)
        with pytest.raises(TimeoutError):
            charging.begin(
                shop.core, tenant.id, charging.Fix("fix-1", None), unkeyed_slot(shop.core)
            )
        event.remove(engine, "commit", fail)
        return total(shop, "usage_fixes_total")

    found = both("success-counted-before-the-commit", story, metrics_token=METRICS)
    assert found == (0, 1)


def test_failures_counted_as_unknown(both: Both) -> None:
    """A decline is counted by Stripe's reason, or as unknown."""

    def story(shop: Shop) -> tuple[float, float]:
        tenant = shop.tenant("pm_card_chargeCustomerFail")
        shop.adjust(tenant, -10)
        tenant.fix("fix-1")
        name = "payment_failures_total"
        return total(shop, name), total(shop, name, failure_code="unknown")

    found = both("failures-counted-as-unknown", story, metrics_token=METRICS)
    assert found == ((1, 0), (1, 1))


def test_failed_effect_counted_as_processed(both: Both) -> None:
    """An event whose effect fails is counted as failed, or as processed."""

    def story(shop: Shop) -> tuple[float, float]:
        tenant = shop.subscriber()
        shop.fault("reset", tenant, path="/v1/subscriptions/*", effect="none")
        shop.deliver(shop.events(tenant, "customer.subscription.created")[0])
        shop.worker.give_effects()
        name = "webhook_events_total"
        return total(shop, name, result="failed"), total(shop, name, result="processed")

    told = {"metrics_token": METRICS, "stripe_tries": 1}
    assert both("failed-effect-counted-as-processed", story, **told) == ((1, 0), (0, 1))


def test_revenue_metric_renamed(both: Both) -> None:
    """Revenue is told under the name that panels read, or under another."""

    def story(shop: Shop) -> float:
        shop.payer().fix("fix-1")
        return total(shop, "revenue_cents_total")

    assert both("revenue-metric-renamed", story, metrics_token=METRICS) == (2900, 0)


def test_errors_missing_from_the_latency(both: Both) -> None:
    """A refused request is in the latency, or only those that went well."""

    def story(shop: Shop) -> float:
        shop.tenant().http.get("/api/v1/customers/cust_nobody")
        return total(shop, "request_duration_seconds_count", operation="get_customer")

    assert both("errors-missing-from-the-latency", story, metrics_token=METRICS) == (1, 0)


def test_double_charges_uncounted(both: Both) -> None:
    """A second charge for one fix is counted, or not."""
    again = text(
        "INSERT INTO payments (id, customer_id, kind, stripe_id, amount_minor, currency, cause,"
        " plan, created_at) SELECT 'pay_2', customer_id, kind, 'ch_2', amount_minor, currency,"
        " cause, plan, created_at FROM payments"
    )

    def story(shop: Shop) -> float:
        shop.payer().fix("fix-1")
        with shop.core.database.write() as session:
            session.execute(again)
        return total(shop, "duplicate_charges")

    assert both("double-charges-uncounted", story, metrics_token=METRICS) == (1, 0)


def test_revenue_of_who_is_locked_out(both: Both) -> None:
    """An invoice that nobody paid is no revenue, or is."""

    def story(shop: Shop) -> float:
        tenant = shop.subscriber()
        shop.let_card_fail(tenant)
        shop.renew(tenant)
        assert tenant.get()["status"] == "past_due"
        invoice, _ = tenant.page("invoices")
        assert invoice["status"] == "open"
        return total(shop, "revenue_24h_cents")

    found = both("revenue-of-who-is-locked-out", story, metrics_token=METRICS)
    assert found == (0, 59900)
