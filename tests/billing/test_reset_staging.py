"""`reset-staging` puts the ten states back, touches nobody else, and does nothing in production."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from simulators.billing import logs
from simulators.billing.__main__ import main
from simulators.billing.environment import production_signs
from simulators.billing.operations import purge, staging
from simulators.billing.settings import load_settings
from tests.billing.running import running_service, service_environment
from tests.billing.test_process import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.billing.conftest import Bench
    from tests.billing.databases import Databases
    from tests.billing.running import Service, Simulator

PRODUCTION = {
    "environment": {"BILLING_ENVIRONMENT": "production"},
    "key": {"BILLING_STRIPE_API_KEY": "sk_live_1234567890"},  # scan: allow(made up)
    "restricted key": {"BILLING_STRIPE_API_KEY": "rk_live_1234567890"},  # scan: allow(made up)
    "another key": {"STRIPE_KEY": "sk_live_1234567890"},  # scan: allow(made up)
    "another variable": {"APP_ENV": "eu-production"},
    "marker": {},
}
TEN = list(staging.STATES)


@pytest.fixture(autouse=True)
def _logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a command that runs in this process from sending all later logs to its own stderr."""
    monkeypatch.setattr(logs, "configure", lambda _: None)


def customers(service: Service) -> set[str]:
    """Give the e-mails of all customers."""
    with service.database() as connection:
        return set(connection.scalars(text("SELECT email FROM customers")))


OTHERS = ("customers", "credit_transactions", "payments", "api_keys", "payment_methods")


def rows_of(service: Service, customer_id: str) -> list[str]:
    """Give every row that is about a customer, as text."""
    with service.database() as connection:
        return [
            str(row)
            for table in (*OTHERS, "subscriptions", "invoices", "fix_attempts", "earned_grants")
            for row in connection.execute(
                text(
                    f"SELECT * FROM {table} WHERE"  # noqa: S608 - names of this file's own
                    f" {'id' if table == 'customers' else 'customer_id'} = :it ORDER BY 1"
                ),
                {"it": customer_id},
            )
        ]


def paying(service: Service, email: str) -> tuple[str, str]:
    """Make a customer with a card and a subscription; give our id and Stripe's."""
    with service.client() as http:
        reply = http.post("/api/v1/customers/onboard", json={"email": email}).json()
        http.headers["X-API-Key"] = reply["api_key"]
        path = f"/api/v1/customers/{reply['customer_id']}"
        card = {"payment_method": "pm_card_visa", "billing_consent": True}
        http.post(f"{path}/payment-methods", json=card).raise_for_status()
        http.post(f"{path}/subscription", json={"plan": "pro"}).raise_for_status()
    return reply["customer_id"], reply["stripe_customer_id"]


@pytest.mark.nightly
def test_the_ten_are_made_anew_and_nobody_else_is_touched(
    tmp_path: Path, simulator: Simulator, databases: Databases
) -> None:
    """Twice in a row: the same ten; whoever is of another domain keeps every row."""
    official = simulator.official().v1.customers
    with running_service(
        tmp_path, simulator, database_url=databases.fresh(tmp_path), environment="staging"
    ) as service:
        made = {
            email: paying(service, email)
            for email in ("a@example.com", "b@test.example.com", "c@example.community", "d@x.test")
        }
        service.drain()
        kept = {email: made[email] for email in ("c@example.community", "d@x.test")}
        before = {email: rows_of(service, each[0]) for email, each in kept.items()}
        ten = {f"{state.email}@test.example.com" for state in staging.STATES.values()}
        for deleted in (2, 10):
            ended = run("reset-staging", service.env | {"BILLING_TEST_CONTROL_TOKEN": ""})
            assert ended.returncode == 0, ended.stderr
            told = {"deleted": deleted, "created": 10, "fixture_types": TEN}
            assert json.loads(ended.stdout) == told
            service.drain()
            assert customers(service) == {*kept, *ten}
        assert {email: rows_of(service, each[0]) for email, each in kept.items()} == before
        gone = {email for email, each in made.items() if is_deleted(official.retrieve(each[1]))}
        assert gone == {"a@example.com", "b@test.example.com"}
        dry = run("reset-staging --dry-run", service.env)
        assert set(json.loads(dry.stdout)["would_delete"]) == ten


def is_deleted(customer: object) -> bool:
    """Tell whether Stripe holds a customer for deleted."""
    return bool(getattr(customer, "deleted", False))


@pytest.mark.parametrize("sign", PRODUCTION)
def test_a_reset_refuses_production_by_every_sign(
    bench: Bench,
    sign: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One sign is enough; it is named, nothing is removed, and no secret is shown."""
    customer_id = bench.customer()
    monkeypatch.delenv("BILLING_TEST_CONTROL_TOKEN")
    for name, value in PRODUCTION[sign].items():
        monkeypatch.setenv(name, value)
    if sign == "marker":
        with bench.core.database.write() as session:
            session.execute(text("UPDATE deployment SET environment = 'production'"))
    assert main(["reset-staging"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "production_environment" in told.err
    assert "live_1234567890" not in told.err  # scan: allow(made up)
    assert bench.entries(customer_id)
    assert not bench.stripe.sent("DELETE", "/v1/customers/cus_000001")


@pytest.mark.parametrize(
    ("url", "sign"),
    [
        ("postgresql+psycopg://me@db.prod.acme.com/billing", "the database's host"),
        ("postgresql+psycopg://me@db.acme.com/billing_production", "the database's name"),
    ],
)
def test_a_database_s_address_is_a_sign(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, url: str, sign: str
) -> None:
    """The name of the database or of its server speaks, before anything connects to it."""
    assert production_signs(bench.core.settings, None) == ()
    monkeypatch.setenv("BILLING_DATABASE_URL", url)
    assert production_signs(load_settings(), None) == (sign,)


def test_a_reset_that_stripe_refuses_says_how_far_it_came(bench: Bench) -> None:
    """Nobody was removed, nobody made: told in a sentence, with how to go on."""
    customer_id = bench.customer()
    bench.stripe.down = True
    with pytest.raises(staging.StagingError, match="0 of 10 made: run it again"):
        staging.reset(bench.core)
    assert bench.entries(customer_id)


def test_who_may_still_be_at_stripe_is_kept(bench: Bench) -> None:
    """While Stripe cannot be asked nobody is removed, and each is named; later all are."""
    ids = {bench.customer(), bench.customer()}
    bench.stripe.down = True
    done = purge.purge_all(bench.core)
    assert (done.removed, set(done.kept)) == (0, ids)
    bench.stripe.down = False
    assert purge.purge_all(bench.core) == purge.Purge(2, [])


def test_a_reset_needs_a_database_that_is_migrated(tmp_path: Path, databases: Databases) -> None:
    """What is not there cannot be reset: one clear line, and status 2."""
    env = service_environment(tmp_path, "http://127.0.0.1:1", databases.empty(tmp_path))
    ended = run("reset-staging", env)
    assert ended.returncode == 2
    assert "migrate" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_controls_list_who_can_be_purged(service: Service) -> None:
    """Customers of the test domains alone, page by page, for whoever has the token."""
    made = {}
    with service.client() as http, service.controls as controls:
        assert http.get("/test/customers").status_code == 401
        for email in ("listed@example.com", "listed@test.example.com", "listed@acme.dev"):
            made[email] = http.post("/api/v1/customers/onboard", json={"email": email}).json()
        found: list[dict[str, str]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = controls.get("/test/customers", params={"cursor": cursor}).json()
            found += page["data"]
            cursor = page["next_cursor"]
    listed = {each["email"]: each["customer_id"] for each in found}
    assert listed["listed@example.com"] == made["listed@example.com"]["customer_id"]
    assert "listed@test.example.com" in listed
    assert {email.partition("@")[2] for email in listed} == {"example.com", "test.example.com"}


def test_a_customer_may_live_by_a_test_clock(service: Service, simulator: Simulator) -> None:
    """Told by a header where test controls are; a clock that is not there is refused, kept none."""
    clocks = simulator.official().v1.test_helpers.test_clocks
    clock = clocks.create({"frozen_time": simulator.now()})
    with service.client() as http:
        for number, name in enumerate((clock.id, "clock_of_nobody")):
            http.headers["X-Stripe-Test-Clock"] = name
            body = {"email": f"clocked-{number}@example.com"}
            reply = http.post("/api/v1/customers/onboard", json=body)
            if name == clock.id:
                stripe_id = reply.json()["stripe_customer_id"]
                found = simulator.official().v1.customers.retrieve(stripe_id)
                assert found.test_clock == clock.id
            else:
                assert (reply.status_code, reply.json()["code"]) == (422, "test_clock_refused")
    assert not {"clocked-1@example.com"} & customers(service)
    clocks.delete(clock.id)
