"""`reset-staging` removes the customers of the test domains, and does nothing in production."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from simulators.billing import logs
from simulators.billing.__main__ import main
from simulators.billing.operations import purge
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
    "marker": {},
}


@pytest.fixture(autouse=True)
def _logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a command that runs in this process from sending all later logs to its own stderr."""
    monkeypatch.setattr(logs, "configure", lambda _: None)


def customers(service: Service) -> set[str]:
    """Give the e-mails of all customers."""
    with service.database() as connection:
        return set(connection.scalars(text("SELECT email FROM customers")))


@pytest.mark.nightly
def test_customers_of_the_test_domains_go_here_and_at_stripe(
    tmp_path: Path, simulator: Simulator, databases: Databases
) -> None:
    """With all that is theirs, ledger and subscription included; everybody else stays."""
    official = simulator.official().v1.customers
    with running_service(
        tmp_path, simulator, database_url=databases.fresh(tmp_path), environment="staging"
    ) as service:
        made = {}
        for email in ("a@example.com", "b@example.org", "c@example.community", "d@real.dev"):
            with service.client() as http:
                reply = http.post("/api/v1/customers/onboard", json={"email": email}).json()
                made[email] = reply["stripe_customer_id"]
                http.headers["X-API-Key"] = reply["api_key"]
                path = f"/api/v1/customers/{reply['customer_id']}"
                card = {"payment_method": "pm_card_visa", "billing_consent": True}
                http.post(f"{path}/payment-methods", json=card).raise_for_status()
                http.post(f"{path}/subscription", json={"plan": "pro"}).raise_for_status()
        service.drain()
        ended = run("reset-staging", service.env | {"BILLING_TEST_CONTROL_TOKEN": ""})
        assert (ended.returncode, json.loads(ended.stdout)) == (0, {"removed": 2, "kept": []})
        assert customers(service) == {"c@example.community", "d@real.dev"}
        gone = {e for e, stripe_id in made.items() if is_deleted(official.retrieve(stripe_id))}
        assert gone == {"a@example.com", "b@example.org"}
        again = run("reset-staging", service.env)
        assert json.loads(again.stdout) == {"removed": 0, "kept": []}


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


def test_who_may_still_be_at_stripe_is_kept(bench: Bench) -> None:
    """While Stripe cannot be asked nobody is removed, and each is named; later all are."""
    ids = {bench.customer(), bench.customer()}
    bench.stripe.down = True
    done = purge.reset(bench.core)
    assert (done.removed, set(done.kept)) == (0, ids)
    bench.stripe.down = False
    assert purge.reset(bench.core) == purge.Reset(2, [])


def test_a_reset_needs_a_database_that_is_migrated(tmp_path: Path, databases: Databases) -> None:
    """What is not there cannot be reset: one clear line, and status 2."""
    env = service_environment(tmp_path, "http://127.0.0.1:1", databases.empty(tmp_path))
    ended = run("reset-staging", env)
    assert ended.returncode == 2
    assert "migrate" in ended.stderr
    assert "Traceback" not in ended.stderr
