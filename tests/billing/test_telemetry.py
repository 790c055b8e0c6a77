"""What the service tells of itself: every figure equals what was committed, in every process."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from harness.metrics import BillingTelemetry
from simulators.billing import events, ledger
from simulators.billing.ledger import Posting
from simulators.billing.operations import gauges
from tests.billing.conftest import new_tenant
from tests.billing.running import running_service
from tests.billing.test_webhooks import event, send, signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.billing.conftest import Bench, Tenant
    from tests.billing.databases import Databases
    from tests.billing.running import Service, Simulator

TOKEN = "metrics-token-of-the-tests"


@pytest.fixture(scope="module")
def told(
    tmp_path_factory: pytest.TempPathFactory, simulator: Simulator, databases: Databases
) -> Iterator[Service]:
    """Run two processes in multiprocess mode, with a token for their metrics."""
    folder = tmp_path_factory.mktemp("telemetry")
    (folder / "multiprocess").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder / "multiprocess"))
        settings = {"metrics_token": TOKEN, "database_url": databases.fresh(folder)}
        with running_service(folder, simulator, processes=2, **settings) as found:
            patched.undo()
            yield found


@pytest.fixture
def tenant(told: Service) -> Iterator[Tenant]:
    """Make a customer of the service that tells."""
    with new_tenant(told) as found:
        yield found


def scrape(service: Service) -> dict[str, float]:
    """Give the sums of all series by `name` and by `name{one label=value}`."""
    with service.client() as http:
        reply = http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert reply.status_code == 200
    found: dict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(reply.text):
        for sample in family.samples:
            name = sample.name.removeprefix("billing_")
            found[name] += sample.value
            for label, value in sample.labels.items():
                found[f"{name}{{{label}={value}}}"] += sample.value
    return found


@contextmanager
def moving(service: Service, **expected: float) -> Iterator[dict[str, float]]:
    """Hold that the block moves these totals by so much."""
    before = scrape(service)
    change: dict[str, float] = {}
    yield change
    after = scrape(service)
    change.update({name: after[name] - before[name] for name in after})
    assert {name: change.get(name, 0) for name in expected} == expected


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"X-API-Key": TOKEN}, {"Authorization": TOKEN}],
)
def test_metrics_have_a_token_of_their_own(tenant: Tenant, headers: dict[str, str]) -> None:
    """Without the token it is a 401; neither a customer's key nor the operator's opens it."""
    with tenant.service.client() as http:
        reply = http.get("/metrics", headers=headers)
        assert (reply.status_code, reply.json()["code"]) == (401, "unauthenticated")
    key = tenant.http.headers["X-API-Key"]
    assert (
        tenant.http.get("/metrics", headers={"Authorization": f"Bearer {key}"}).status_code == 401
    )


def test_without_a_token_there_are_no_metrics(service: Service) -> None:
    """A service that was given no token has no such route."""
    with service.client() as http:
        assert http.get("/metrics").status_code == 404


def test_the_format_is_the_one_that_is_asked_for(told: Service) -> None:
    """Prometheus text by default, OpenMetrics by Accept."""
    with told.client() as http:
        http.headers["Authorization"] = f"Bearer {TOKEN}"
        assert http.get("/metrics").headers["Content-Type"].startswith("text/plain")
        wanted = {"Accept": "application/openmetrics-text; version=1.0.0, text/plain;q=0.5"}
        reply = http.get("/metrics", headers=wanted)
    assert reply.headers["Content-Type"].startswith("application/openmetrics-text")
    assert reply.text.endswith("# EOF\n")


def test_a_sign_up_is_told_once_and_a_refused_one_as_such(told: Service) -> None:
    """Onboarding, conversion and credits move by one customer; a taken e-mail by a refusal."""
    with (
        moving(
            told,
            **{
                "onboardings_total{result=succeeded}": 1,
                "onboardings_total{result=refused}": 1,
                "onboarding_duration_seconds_count": 2,
                "conversions_total{stage=signup}": 1,
                "credits_added_total{source=trial_signup}": 5,
            },
        ),
        new_tenant(told) as tenant,
        told.client() as anyone,
    ):
        anyone.post("/api/v1/customers/onboard", json={"email": tenant.email})


def test_usage_is_told_by_outcome(tenant: Tenant, told: Service) -> None:
    """Credits, charges, refusals and conversions are counted as they were booked."""
    with moving(
        told,
        **{
            "usage_fixes_total{outcome=credit}": 10,
            "usage_fixes_total{outcome=charged}": 1,
            "usage_fixes_total{outcome=refused}": 1,
            "credits_consumed_total": 11,
            "credits_added_total{source=purchased}": 1,
            "payments_total{status=succeeded}": 1,
            "revenue_cents_total": 2900,
            "payment_amount_dollars_sum": 29,
            "payment_duration_seconds_count": 1,
            "conversions_total{stage=billing_added}": 1,
            "conversions_total{stage=payg}": 1,
            "request_duration_seconds_count{operation=record_usage}": 13,
        },
    ):
        tenant.use_up()
        assert tenant.fix("fix-1").status_code == 402
        tenant.add_card()
        tenant.use_up()
        assert tenant.fix("fix-1").status_code == 200
        assert tenant.fix("fix-1").status_code == 200


def test_what_is_answered_again_is_not_told_again(tenant: Tenant, told: Service) -> None:
    """A fix told again and a replayed answer move no counter of usage or credits."""
    tenant.fix("fix-1", key="k")
    with moving(told, usage_fixes_total=0, credits_consumed_total=0):
        tenant.fix("fix-1", key="k")
        tenant.fix("fix-1")


def test_a_decline_is_told_with_its_reason(tenant: Tenant, told: Service) -> None:
    """A declined fix is a failed payment by Stripe's reason, and brings no revenue."""
    tenant.add_card("pm_card_chargeCustomerFail")
    tenant.use_up()
    with moving(
        told,
        **{
            "payments_total{status=failed}": 1,
            "payment_failures_total": 1,
            "payment_failures_total{failure_code=unknown}": 0,
            "revenue_cents_total": 0,
            "usage_fixes_total{outcome=refused}": 1,
        },
    ):
        assert tenant.fix("fix-1").status_code == 402


def test_a_subscription_is_told_from_start_to_end(tenant: Tenant, told: Service) -> None:
    """Created, paid, granted, converted, and cancelled: each once, webhooks notwithstanding."""
    tenant.add_card()
    with moving(
        told,
        **{
            "subscriptions_created_total{status=active}": 1,
            "subscriptions_created_total": 1,
            "subscription_creation_duration_seconds_count": 1,
            "invoices_total{status=paid}": 1,
            "invoice_amount_dollars_sum": 599,
            "revenue_cents_total{plan=pro}": 59900,
            "credits_added_total{source=pro_subscription_payment}": 60,
            "conversions_total{stage=pro}": 1,
            "active_subscriptions{plan=pro}": 1,
            "subscriptions_cancelled_total": 0,
        },
    ):
        tenant.subscribe()
        told.drain()
    with moving(
        told,
        **{"subscriptions_cancelled_total{mode=at_once}": 1, "active_subscriptions{plan=pro}": -1},
    ):
        tenant.http.delete(f"{tenant.path}/subscription")
        told.drain()


def test_a_refund_is_told(tenant: Tenant, told: Service) -> None:
    """Money that goes back is a refunded payment and shows in the ledger's gauges to the cent."""
    tenant.add_card()
    tenant.use_up()
    tenant.fix("fix-1")
    (charge,) = tenant.page("payments")
    with moving(
        told,
        **{
            "payments_total{status=refunded}": 1,
            "ledger_cents{kind=refund}": -1000,
            "ledger_cents": -1000,
            "revenue_cents_total": 0,
        },
    ):
        with told.operator as operator:
            url = f"/api/v1/operator/payments/{charge['id']}/refund"
            operator.post(url, json={"amount_minor": 1000}).raise_for_status()
        told.drain()


def test_webhooks_are_told_by_what_became_of_them(told: Service) -> None:
    """Forged, ignored and repeated events each count once, under their own result."""
    body = event("evt_told")
    with moving(
        told,
        **{
            "webhook_events_total{result=invalid_signature}": 1,
            "webhook_events_total{result=ignored}": 1,
            "webhook_events_total{result=duplicate}": 1,
            "webhook_events_total": 3,
        },
    ):
        send(told, body, "t=1,v1=00")
        send(told, body, signed(body))
        send(told, body, signed(body))


def test_gauges_equal_the_books(tenant: Tenant, told: Service) -> None:
    """What a scrape says of money, credits and backlog is what SQL says, and nothing is amiss."""
    tenant.add_card()
    tenant.use_up()
    tenant.fix("fix-1")
    told.drain()
    found = scrape(told)

    def one(query: str) -> int:
        with told.database() as connection:
            return int(connection.scalar(text(query)) or 0)

    assert found["ledger_cents"] == one("SELECT SUM(amount_minor) FROM payments")
    assert found["credits_outstanding"] == one("SELECT SUM(amount) FROM credit_transactions")
    assert found["webhook_backlog"] == found["webhook_oldest_age_seconds"] == 0
    assert found["reconciliation_difference_cents"] == found["duplicate_charges"] == 0
    assert found["database_up"] == 1


def test_gauges_show_a_double_charge_and_a_difference(bench: Bench) -> None:
    """Two charges for one fix, and a charge that no fix accounts for, are what the alerts read."""
    customer_id = bench.customer(credits_left=0)
    with bench.core.database.write() as session:
        attempt = text(
            "INSERT INTO fix_attempts (id, customer_id, fix_id, number, outcome, plan,"
            " amount_minor, currency, answer, created_at, claims)"
            " VALUES ('att_1', :c, 'fix-1', 1, 'charged', 'payg', 2900, 'usd', '{}', 0, 1)"
        )
        charge = text(
            "INSERT INTO payments (id, customer_id, kind, stripe_id, amount_minor, currency,"
            " cause, plan, created_at) VALUES (:id, :c, 'charge', :id, 2900, 'usd', 'fix-1',"
            " 'payg', 0)"
        )
        session.execute(attempt, {"c": customer_id})
        for number in ("a", "b"):
            session.execute(charge, {"c": customer_id, "id": number})
    found = gauges.read(bench.core)
    assert found["billing_duplicate_charges"] == [({}, 1)]
    assert found["billing_reconciliation_difference_cents"] == [({}, -2900)]


def test_what_is_rolled_back_is_never_told(bench: Bench) -> None:
    """A success is counted after its commit alone."""
    telemetry = BillingTelemetry()
    events.attach(bench.core.database, telemetry)
    customer_id = bench.customer(credits_left=0)

    def added() -> int:
        body, _ = telemetry.exposition()
        (line,) = [row for row in body.decode().splitlines() if 'total{source="purchased"}' in row]
        return int(float(line.split()[-1]))

    def failing() -> None:
        with bench.core.database.write() as session:
            ledger.append(session, customer_id, Posting(1, "purchased", "ch_1"), at=0)
            assert added() == 0
            raise TimeoutError

    with pytest.raises(TimeoutError):
        failing()
    assert added() == 0
    with bench.core.database.write() as session:
        ledger.append(session, customer_id, Posting(1, "purchased", "ch_1"), at=0)
        assert added() == 0
    assert added() == 1


def test_no_customer_and_no_path_is_a_label(tenant: Tenant, told: Service) -> None:
    """Ids, addresses and unknown paths make no series of their own."""
    tenant.fix("a-telling-fix")
    tenant.http.get("/somewhere/else")
    scrape(told)  # which is a request, too, and has series of its own from then on
    before = len(scrape(told))
    for number in range(5):
        tenant.http.get(f"/somewhere/{number}")
        tenant.fix(f"fix-{number}")
    with told.client() as http:
        shown = http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    assert len(scrape(told)) == before
    for secret in (tenant.id, tenant.email, "a-telling-fix", "somewhere"):
        assert secret not in shown
