"""Defects of a service as a server, each beside the service without it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from suites.security.listening import listening
from tests.billing.defects.shop import METRICS

if TYPE_CHECKING:
    import httpx

    from tests.billing.defects.conftest import Both
    from tests.billing.defects.shop import Shop

# Every gauntlet meets them, too; those of money are shown every day.
pytestmark = pytest.mark.nightly
ELSEWHERE = "stranger.example"


def asked(shop: Shop, method: str = "GET", **headers: str) -> httpx.Response:
    """Ask for a customer in an odd way."""
    tenant = shop.tenant()
    return tenant.http.request(method, tenant.path, headers=headers)


def test_answers_for_browsers_to_guess_at(both: Both) -> None:
    """An answer says how it may not be used, or nothing."""

    def story(shop: Shop) -> list[bool]:
        names = ("Cache-Control", "Content-Security-Policy", "X-Content-Type-Options")
        return [name in asked(shop).headers for name in names]

    assert both("answers-for-browsers-to-guess-at", story) == ([True] * 3, [False] * 3)


def test_any_origin_let_in(both: Both) -> None:
    """A foreign origin is not let in, or is."""

    def story(shop: Shop) -> str:
        reply = asked(shop, Origin=f"https://{ELSEWHERE}")
        return str(reply.headers.get("Access-Control-Allow-Origin"))

    assert both("any-origin-let-in", story) == ("None", f"https://{ELSEWHERE}")


def test_version_of_the_server_told(both: Both) -> None:
    """No answer names the server, or each its version too."""

    def story(shop: Shop) -> str:
        return str(asked(shop).headers.get("Server"))

    assert both("version-of-the-server-told", story) == ("None", "uvicorn/0.34.0")


def test_trace_answered(both: Both) -> None:
    """TRACE is refused, or repeats the key."""

    def story(shop: Shop) -> tuple[int, bool]:
        tenant = shop.tenant()
        reply = tenant.http.request("TRACE", tenant.path)
        return reply.status_code, tenant.http.headers["X-API-Key"] in reply.text

    assert both("trace-answered", story) == ((405, False), (200, True))


def test_method_of_a_header_believed(both: Both) -> None:
    """A header makes no GET a DELETE, or does."""

    def story(shop: Shop) -> str:
        tenant = shop.tenant()
        headers = {"X-HTTP-Method-Override": "DELETE"}
        status: str = tenant.http.get(tenant.path, headers=headers).json()["status"]
        return status

    assert both("method-of-a-header-believed", story) == ("active", "closed")


def test_links_to_the_host_that_was_named(both: Both) -> None:
    """No answer leads to the host of the request, or does."""

    def story(shop: Shop) -> bool:
        return ELSEWHERE in asked(shop, Host=ELSEWHERE).headers.get("Link", "")

    assert both("links-to-the-host-that-was-named", story) == (False, True)


def test_two_lengths_accepted(both: Both) -> None:
    """A length beside chunks is refused, or taken."""

    def story(shop: Shop) -> int:
        return asked(shop, **{"Content-Length": "0", "Transfer-Encoding": "chunked"}).status_code

    assert both("two-lengths-accepted", story) == (400, 200)


def test_metrics_open_to_strangers(both: Both) -> None:
    """Metrics need their token, or are open."""

    def story(shop: Shop) -> int:
        return shop.client().get("/metrics").status_code

    assert both("metrics-open-to-strangers", story, metrics_token=METRICS) == (401, 200)


def test_stack_trace_in_the_answer(both: Both) -> None:
    """A crash is a problem document, or the trace itself."""

    def story(shop: Shop) -> bool:
        def broken() -> None:
            raise RuntimeError

        shop.app.add_api_route("/broken", broken)
        return "Traceback" in shop.client().get("/broken").text

    assert both("stack-trace-in-the-answer", story) == (False, True)


def test_address_in_a_name_called(both: Both) -> None:
    """Nobody calls an address that stands in a name, or the service does."""

    def story(shop: Shop) -> bool:
        with listening() as listener:
            body = {"email": "caller@example.com", "name": f"http://{listener.address}/face.png"}
            shop.client().post("/api/v1/customers/onboard", json=body).raise_for_status()
            return listener.called_within(0.2)

    assert both("address-in-a-name-called", story) == (False, True)


def test_any_content_type_taken_for_json(both: Both) -> None:
    """Text is no JSON, or is taken for it."""

    def story(shop: Shop) -> int:
        tenant = shop.tenant()
        body = json.dumps({"fix_id": "fix-1"}).encode()
        headers = {"Content-Type": "text/plain"}
        reply = tenant.http.post("/api/v1/billing/track_fix", content=body, headers=headers)
        return reply.status_code

    clean, broken = both("any-content-type-taken-for-json", story)
    assert clean == 422
    assert broken < 300


def test_deep_json_breaks(both: Both) -> None:
    """A body that is nested too deep is refused, or breaks the service."""

    def story(shop: Shop) -> int:
        tenant = shop.tenant()
        body = b"[" * 3000 + b"]" * 3000
        return tenant.http.post("/api/v1/billing/track_fix", content=body).status_code

    assert both("deep-json-breaks", story) == (422, 500)


def test_address_as_it_was_typed(both: Both) -> None:
    """An address in capitals is the same one, or another."""

    def story(shop: Shop) -> int:
        shop.tenant(email="ada@example.com")
        body = {"email": "ADA@example.com"}
        return shop.client().post("/api/v1/customers/onboard", json=body).status_code

    assert both("address-as-it-was-typed", story) == (409, 201)


def test_ids_counted_up(both: Both) -> None:
    """Ids are random, or numbers."""

    def story(shop: Shop) -> bool:
        return shop.tenant().id.removeprefix("cust_").isdigit()

    assert both("ids-counted-up", story) == (False, True)


def test_keys_that_can_be_guessed(both: Both) -> None:
    """A key has 256 bits, or 64."""

    def story(shop: Shop) -> int:
        return len(shop.tenant().http.headers["X-API-Key"])

    assert both("keys-that-can-be-guessed", story) == (46, 19)


def test_refusal_without_a_challenge(both: Both) -> None:
    """A 401 says how to identify oneself, or not."""

    def story(shop: Shop) -> str | None:
        headers = shop.client().get("/api/v1/customers/x").headers
        return str(headers["WWW-Authenticate"]) if "WWW-Authenticate" in headers else None

    assert both("refusal-without-a-challenge", story) == ("Bearer", None)


def test_customer_of_a_header_believed(both: Both) -> None:
    """A header names no other customer, or does."""

    def story(shop: Shop) -> bool:
        victim, attacker = shop.tenant(), shop.tenant()
        reply = attacker.http.get(attacker.path, headers={"X-Customer-Id": victim.id})
        return victim.email in reply.text

    assert both("customer-of-a-header-believed", story) == (False, True)


def test_inner_fields_shown(both: Both) -> None:
    """A customer has the documented fields, or inner ones too."""

    def story(shop: Shop) -> bool:
        return "email_digest" in shop.tenant().get()

    assert both("inner-fields-shown", story) == (False, True)
