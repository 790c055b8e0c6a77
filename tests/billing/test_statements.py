"""No value that comes in from outside ever stands in an SQL statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from tests.billing import capturing
from tests.billing.conftest import new_tenant
from tests.billing.running import (
    Service,
    listening,
    process,
    running_service,
    service_environment,
    wait_for,
)
from tests.billing.test_webhooks import event, send, signed

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.billing.conftest import Bench
    from tests.billing.databases import Databases
    from tests.billing.running import Simulator

CANARY = "canary7' OR 1=1"
WORD = "canary7"


def sing(service: Service) -> None:
    """Send a canary wherever a stranger, a customer, Stripe or the operator can say something."""
    headers = {"Idempotency-Key": WORD, "X-Request-Id": WORD * 2, "User-Agent": CANARY}
    with service.client() as http:
        http.headers.update(headers)
        body = {
            "email": f"{WORD}@example.com",
            "name": CANARY,
            "source": "gh_marketplace",
            "installation_id": WORD,
        }
        made = http.post("/api/v1/customers/onboard", json=body).json()
        assert http.get("/api/v1/api-keys", headers={"X-API-Key": CANARY}).status_code == 401
        http.headers["X-API-Key"] = made["api_key"]
        path = f"/api/v1/customers/{made['customer_id']}"
        for card in (f"pm_{WORD}", "pm_card_visa"):
            method = {"payment_method": card, "billing_consent": True}
            http.post(f"{path}/payment-methods", json=method, headers={"Idempotency-Key": card})
        for number in range(11):
            fix = {"fix_id": f"{WORD}-{number}", "repository": CANARY}
            key = {"Idempotency-Key": f"{WORD}-{number}"}
            http.post("/api/v1/billing/track_fix", json=fix, headers=key).raise_for_status()
        http.post(f"{path}/subscription", json={"plan": "pro"}).raise_for_status()
        listings = ("transactions", "payments", "fix-attempts", "invoices")
        for name, field in zip(listings, ("cause", "cause", "fix_id", "status"), strict=True):
            params = {"filter": f"{field}:{CANARY}", "sort": "created_at"}
            http.get(f"{path}/{name}", params=params).raise_for_status()
            http.get(f"{path}/{name}", params={"cursor": CANARY})
        for place in (f"{path}/payment-methods/{CANARY}", f"/api/v1/api-keys/{CANARY}"):
            assert http.delete(place).status_code == 404
        assert http.get(f"/api/v1/customers/{CANARY}").status_code == 404
        http.post("/api/v1/api-keys/rotate", json={"key_id": WORD})
        exchange = {"providers": ["github"]}
        http.post("/api/v1/credentials/exchange", json=exchange).raise_for_status()
    with service.operator as operator:
        adjustment = {"units": 1, "reason": CANARY}
        url = f"/api/v1/operator/customers/{made['customer_id']}/adjustments"
        operator.post(url, json=adjustment).raise_for_status()
        operator.post(f"/api/v1/operator/payments/{CANARY}/refund", json={})
    for kind in ("invoice.paid", "customer.created"):
        told = event(f"evt_{WORD}_{kind}", kind, id=f"in_{WORD}", note=CANARY)
        assert send(service, told, signed(told)).status_code == 200
    service.drain()


def test_no_input_stands_in_a_statement(
    tmp_path: Path,
    simulator: Simulator,
    databases: Databases,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All is passed beside the statement; what strings statements hold are constants of ours."""
    path = tmp_path / "statements.jsonl"
    monkeypatch.setenv(capturing.FILE, str(path))
    url = databases.fresh(tmp_path)
    with running_service(tmp_path, simulator, database_url=url) as service:
        sing(service)
    statements = capturing.captured(path)
    assert len([each for each in statements if each.startswith(("INSERT", "UPDATE"))]) > 30
    assert not list(capturing.with_inputs(statements))
    assert capturing.literals(statements) == set()


def test_the_capture_finds_a_query_that_is_put_together(
    tmp_path: Path,
    simulator: Simulator,
    databases: Databases,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A service that writes a filter's value into its SQL, by a defect, is found out."""
    path = tmp_path / "statements.jsonl"
    monkeypatch.setenv(capturing.FILE, str(path))
    env = service_environment(tmp_path, simulator.url, databases.fresh(tmp_path))
    with listening() as (sock, url):
        fd = sock.fileno()
        command = ["tests.billing.capturing", "serve", "--fd", str(fd)]
        command += ["--defect", "sql-in-a-filter"]
        with process(tmp_path, "careless", command, env, (fd,)) as child:
            wait_for(f"{url}/health", child)
            service = Service(url, tmp_path, env, simulator)
            with new_tenant(service) as tenant:
                tenant.get(f"/transactions?filter=cause:{WORD}")
    statements = capturing.captured(path)
    assert [each for each in capturing.with_inputs(statements) if f"'{WORD}'" in each]
    assert WORD in capturing.literals(statements)


def test_the_tests_own_process_is_captured_too(bench: Bench, statements: Path) -> None:
    """What the service does in the tests' own process is captured like what it does in its own."""
    with bench.core.database.read() as session:
        session.execute(text("SELECT 1 /* of this test */"))
    assert any("of this test" in each for each in capturing.captured(statements))
