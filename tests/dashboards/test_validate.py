"""`dashboards validate`: six events are made to happen and seen, or it is told which was not."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from dashboards.emitting import BAD_CARD, SIX
from dashboards.pushing import built
from dashboards.validating import check_structure
from harness.metrics import BillingTelemetry
from tests.dashboards.fake_grafana import TOKEN, fake_grafana
from tests.dashboards.test_commands import run
from tests.dashboards.test_push import said

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROFILE = """
[target]
name = "acme"
base_url = "{url}"
environment = "staging"
[auth.customer]
headers = {{ "X-API-Key" = "{{credential}}" }}
[operations.create_customer]
request = "POST /customers"
reply = {{ customer = "id", credential = "key" }}
[operations.add_payment_method]
request = "POST /cards"
body = {{ card = "{{token}}" }}
[operations.record_usage]
request = "POST /usage"
body = {{ id = "{{usage_id}}" }}
[operations.subscribe]
request = "POST /plans"
body = {{ plan = "{{plan}}" }}
reply = {{ subscription = "id" }}
refused = [ {{ status = 402, code = "card_declined" }} ]
[operations.cancel_subscription]
request = "DELETE /plans"
[operations.close_customer]
request = "DELETE /customers"
[catalog]
currency = "usd"
[catalog.plans.pro]
price_minor = 59900
[webhooks]
path = "/hook"
secret_env = "ACME_SECRET"
[evidence.metrics]
url = "{url}/metrics"
"""


class Acme:
    """A billing service that counts what it does, but for what it is told to be silent of."""

    def __init__(self) -> None:
        self.telemetry = BillingTelemetry(lambda: {"billing_webhook_backlog": [({}, 0.0)]})
        self.silent: set[str] = set()
        self.asked: list[str] = []
        self.renamed = ("", "")
        self.card = ""

    def page(self) -> bytes:
        """Give its metrics, with a name in its own words."""
        old, new = (word.encode() for word in self.renamed)
        return self.telemetry.exposition()[0].replace(old, new)

    def record(self, event: str, **fields: object) -> None:
        """Count something, unless it is silent of it."""
        if f"{event} {fields.get('status', '')}".strip() not in self.silent:
            self.telemetry.record(event, **fields)

    def answer(self, asked: str, body: dict[str, Any]) -> int:
        """Do what was asked for."""
        match asked:
            case "POST /customers":
                self.record("customer_converted", stage="signup", source="direct")
            case "POST /cards":
                self.card = body["card"]
            case "POST /usage":
                self.record("usage_tracked", plan="trial", outcome="credit", quantity=1)
            case "POST /plans" if self.card == BAD_CARD:
                self.record("payment_processed", status="failed", failure_code="card_declined")
                return 402
            case "POST /plans":
                self.record("subscription_created", plan="pro", status="active")
                self.record("payment_processed", status="succeeded", amount_minor=59900)
            case "POST /hook":
                self.record("webhook_handled", type="other", result="ignored")
        return 200


@contextmanager
def acme() -> Iterator[tuple[str, Acme]]:
    """Serve it on loopback."""
    service = Acme()

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = f"{self.command} {self.path}"
            service.asked.append(asked)
            if asked == "GET /metrics":
                status, body = 200, service.page()
            elif self.command == "GET":
                status, body = 404, b"{}"
            else:
                status = service.answer(asked, json.loads(raw or b"{}"))
                body = json.dumps({"id": f"id_{len(service.asked)}", "key": "k"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - the names that the library asks for

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", service
        server.shutdown()
        thread.join(10)


@pytest.fixture
def staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Acme]]:
    """Run the service, with a profile of it; give the profile's path and the service."""
    monkeypatch.setenv("ACME_SECRET", "whsec_" + "a" * 32)
    with acme() as (url, service):
        profile = tmp_path / "acme.toml"
        profile.write_text(PROFILE.format(url=url))
        yield str(profile), service


def test_six_events_are_seen_and_the_customers_closed(staging: tuple[str, Acme]) -> None:
    """A service that tells everything is valid: each event was seen, and nothing is left open."""
    profile, service = staging
    told = run("validate", "--target", profile, "--json")
    assert told.exit_code == 0, said(told)
    facts = json.loads(told.output)
    assert facts["seen"] == {event.name: ["metrics"] for event in SIX}
    assert service.asked.count("DELETE /customers") == 2
    assert service.asked.count("DELETE /plans") == 1


SILENCES = {
    "customer_converted": "a customer signs up",
    "usage_tracked": "a unit is used",
    "subscription_created active": "a plan is placed",
    "payment_processed succeeded": "a payment succeeds",
    "payment_processed failed": "a payment fails",
    "webhook_handled": "an event arrives",
}


DAILY = ("payment_processed failed", "webhook_handled")


@pytest.mark.parametrize(
    "silence",
    [name if name in DAILY else pytest.param(name, marks=pytest.mark.nightly) for name in SILENCES],
)
def test_an_event_that_is_not_counted_is_found(staging: tuple[str, Acme], silence: str) -> None:
    """Of each of the six, what happens and is not told is named with its metric; status 1."""
    profile, service = staging
    service.silent = {silence}
    told = run("validate", "--target", profile, "--wait", "0.05")
    assert told.exit_code == 1
    assert f"{SILENCES[silence]}, and billing_" in said(told)
    assert "5 events seen, 0 not tried" in said(told)


def test_a_page_that_lacks_something_is_found(staging: tuple[str, Acme]) -> None:
    """Instrumentation counts, too: a metric of another name is told, though all events are seen."""
    profile, service = staging
    service.renamed = ("billing_webhook_backlog", "billing_backlog_of_webhooks")
    told = run("validate", "--target", profile)
    assert told.exit_code == 1
    assert "metrics: billing_webhook_backlog: it is missing" in said(told)
    assert "6 events seen" in said(told)


def test_what_cannot_be_tried_is_never_green(
    staging: tuple[str, Acme], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the endpoint's secret no event can be sent: the rest is seen, the status is 2."""
    profile, _ = staging
    monkeypatch.delenv("ACME_SECRET")
    told = run("validate", "--target", profile)
    assert told.exit_code == 2, said(told)
    assert "not tried: an event arrives: the variable" in said(told)


def test_production_gets_nothing(staging: tuple[str, Acme], tmp_path: Path) -> None:
    """A profile that speaks of production is refused before anything is sent."""
    profile, service = staging
    live = tmp_path / "live.toml"
    text = (tmp_path / "acme.toml").read_text()
    live.write_text(text.replace('environment = "staging"', 'environment = "production"'))
    told = run("validate", "--target", str(live))
    assert told.exit_code == 2
    assert "production" in said(told)
    assert service.asked == [], profile


def test_the_panels_are_looked_at_too(
    staging: tuple[str, Acme], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a Grafana each event is seen in its panel; a panel without it is named."""
    profile, _ = staging
    with fake_grafana() as grafana:
        monkeypatch.setenv("GRAFANA_URL", grafana.url)
        monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
        asked = ["validate", "--target", profile, "--grafana", grafana.url, "--wait", "0.05"]
        assert "bring it there by `dashboards push`" in said(run(*asked))
        assert run("push").exit_code == 0
        told = run(*asked)
        assert told.exit_code == 0, said(told)
        assert "seen: a payment fails: metrics, panel “Failed payments by reason”" in said(told)
        grafana.value = lambda expr: 0.0 if "payment_failures" in expr else 1.0
        told = run(*asked)
        assert told.exit_code == 1
        assert "panel: Failed payments by reason: it is missing, or shows nothing" in said(told)


def test_a_structure_without_its_critical_panels_fails() -> None:
    """Each critical panel that is missing or asks nothing is found, and so is the dashboard."""
    files = built("prometheus")
    assert check_structure(files) == []
    (billing,) = [each for each in files if each["uid"].endswith("billing")]
    cut = {**billing, "panels": [p for p in billing["panels"] if p["title"] != "Payment success"]}
    assert [f.where for f in check_structure([cut])] == ["Payment success"]
    assert [f.what for f in check_structure([])] == ["the billing dashboard is missing"]


@pytest.mark.nightly
def test_the_reference_is_valid() -> None:
    """The reference with its Stripe simulator tells all six events."""
    told = run("validate", "--json")
    assert told.exit_code == 0, said(told)
    assert len(json.loads(told.output)["seen"]) == 6
