"""The API's description: whole, true, and readable by people without a network."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from simulators.billing.http import bodies
from simulators.billing.settings import Settings
from tests.billing.conftest import new_tenant
from tests.billing.running import running_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.billing.running import Service, Simulator


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory, simulator: Simulator) -> Iterator[Service]:
    """Run a service that sells three of a plan at most and has metrics."""
    with running_service(
        tmp_path_factory.mktemp("few"),
        simulator,
        pro_quantity_max="3",
        metrics_token="metrics-token-of-the-tests",
    ) as found:
        yield found


@pytest.fixture(scope="module")
def document(few: Service) -> dict[str, Any]:
    """Give the OpenAPI document."""
    found: dict[str, Any] = httpx.get(f"{few.url}/openapi.json", trust_env=False).json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Give every operation with its method and path."""
    return [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


class _Page(HTMLParser):
    """Collects what a page would load, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.text: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.loaded += [tag] if tag in {"script", "link", "img", "iframe"} else []
        self.loaded += [value for name in ("src", "srcset") if (value := found.get(name))]
        if found.get("id"):
            self.ids.append(str(found["id"]))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_shows_everything_and_loads_nothing(
    few: Service, document: dict[str, Any]
) -> None:
    """Each operation, its fields and its problem codes stand on one page that needs no network."""
    reply = httpx.get(f"{few.url}/docs", trust_env=False)
    assert reply.headers["Content-Type"].startswith("text/html")
    assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'")
    page = _Page()
    page.feed(reply.text)
    assert page.loaded == []
    assert not re.search(r"https?://|//cdn|@import|url\(", reply.text)
    text = " ".join(page.text)
    for method, path, operation in operations(document):
        assert operation["operationId"] in page.ids
        assert f"{method.upper()} {path}" in text
    for word in ("billing_consent", "refund_exceeds_charge", "Idempotency-Key", "ttl_minutes"):
        assert word in text


def test_every_operation_has_a_name_a_word_and_its_limits(document: dict[str, Any]) -> None:
    """Ids are unique and speak; what is limited says so on every answer, and how to wait."""
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names) > 30
    for method, path, operation in operations(document):
        assert operation["description"]
        assert operation["tags"]
        replies = operation["responses"]
        is_keyed = {"ApiKey": []} in operation.get("security", [])
        assert ("429" in replies) >= is_keyed
        if "429" in replies:
            assert all("X-RateLimit-Remaining" in reply["headers"] for reply in replies.values())
            assert "Retry-After" in replies["429"]["headers"]
        if method == "post" and path.startswith("/api/v1/"):
            assert "Idempotency-Key" in {each["name"] for each in operation["parameters"]}


def test_every_link_leads_to_an_operation_with_such_parameters(document: dict[str, Any]) -> None:
    """A link names an operation that is there, and fills parameters or a body that it takes."""
    by_id = {operation["operationId"]: operation for _, _, operation in operations(document)}
    links = [
        link
        for operation in by_id.values()
        for reply in operation["responses"].values()
        for link in reply.get("links", {}).values()
    ]
    assert len(links) > 20
    for link in links:
        taken = {each["name"] for each in by_id[link["operationId"]].get("parameters", ())}
        assert set(link["parameters"]) <= taken
        assert "requestBody" not in link or "requestBody" in by_id[link["operationId"]]


def test_the_schema_says_what_the_settings_allow(document: dict[str, Any]) -> None:
    """Most of a plan and the providers on offer are those of this very service."""
    schemas = document["components"]["schemas"]
    for name in ("SubscribeBody", "QuantityBody"):
        assert schemas[name]["properties"]["quantity"]["maximum"] == 3
    offered = schemas["ExchangeBody"]["properties"]["providers"]["items"]["enum"]
    assert offered == list(Settings.model_fields["credential_providers"].default)


def test_no_more_of_a_plan_is_sold_than_the_setting_says(few: Service) -> None:
    """The most passes, one more is refused on both routes, and nothing changes."""
    with new_tenant(few) as tenant:
        tenant.add_card()
        refused = tenant.subscribe(quantity=4)
        assert (refused.status_code, refused.json()["code"]) == (422, "quantity_too_large")
        assert tenant.subscribe(quantity=3).status_code == 201
        refused = tenant.http.patch(f"{tenant.path}/subscription", json={"quantity": 4})
        assert (refused.status_code, refused.json()["code"]) == (422, "quantity_too_large")
        assert tenant.get("/subscription")["quantity"] == 3
        absurd = tenant.subscribe(quantity=10**9)
        assert absurd.json()["code"] == "validation_failed"


def test_every_body_refuses_what_is_not_documented(document: dict[str, Any]) -> None:
    """No request's schema lets more in than it names."""
    for name in vars(bodies):
        if name.endswith("Body") and not name.startswith("_"):
            assert document["components"]["schemas"][name]["additionalProperties"] is False


def test_a_migration_loads_neither_the_server_nor_stripe(tmp_path: Path) -> None:
    """Starting a stack does not pay for what a migration never uses."""
    code = (
        "import sys; from simulators.billing.__main__ import main; status = main(['migrate']);"
        "print(status, [m for m in ('fastapi', 'stripe', 'uvicorn', 'jinja2') if m in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={
            "BILLING_DATABASE_URL": f"sqlite:///{tmp_path / 'b.db'}",
            "BILLING_STRIPE_API_KEY": "sk_test_1",
            "BILLING_KEY_HMAC_SECRET": "hmac-secret-of-the-tests",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stdout.strip() == "0 []"
