"""The HTTP layer: problem documents for everything that can go wrong, and the OpenAPI document."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from simulators.billing import logs
from simulators.billing.http.door import BODY_MAX
from tests.stack.processes import eventually

if TYPE_CHECKING:
    from tests.billing.conftest import Tenant
    from tests.billing.running import Service

FIX_URL = "/api/v1/billing/track_fix"


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed_json"),
        (b"", "application/json", 422, "validation_failed"),
        (b"[" * 30_000, "application/json", 400, None),
        (b"\xff\xfe", "application/json", 400, None),
        (b'{"fix_id": "a"}', "text/plain", 422, "validation_failed"),
        (b"fix_id=a", "application/x-www-form-urlencoded", 422, "validation_failed"),
        (b'{"fix_id": ""}', "application/json", 422, "validation_failed"),
        (b'{"fix_id": null}', "application/json", 422, "validation_failed"),
        (b'{"fix_id": 7}', "application/json", 422, "validation_failed"),
        (b'{"fix_id": "a\\u0000b"}', "application/json", 422, "validation_failed"),
        (b'{"fix_id": "a", "price": 1}', "application/json", 422, "validation_failed"),
        (b"x" * (BODY_MAX + 1), "application/json", 413, "body_too_large"),
    ],
)
def test_what_a_stranger_sends_is_a_problem_document(
    tenant: Tenant, content: bytes, content_type: str, status: int, code: str | None
) -> None:
    """Odd bodies are refused with a stable code, and nothing is done."""
    headers = {"Content-Type": content_type}
    reply = tenant.http.post(FIX_URL, content=content, headers=headers)
    assert reply.status_code == status, reply.text
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert code in {None, reply.json()["code"]}
    assert tenant.page("fix-attempts") == []


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("PUT", FIX_URL, 405, "method_not_allowed"),
        ("GET", "/API/V1/billing/track_fix", 404, "not_found"),
        ("POST", "/api/webhooks/stripe/", 404, "not_found"),
        ("GET", "/test/clock", 401, "unauthenticated"),
    ],
)
def test_unknown_places_are_problem_documents_too(
    service: Service, method: str, path: str, status: int, code: str
) -> None:
    """A route or method that is not there is told in the same shape."""
    with service.client() as anyone:
        reply = anyone.request(method, path)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert reply.json()["request_id"] == reply.headers["X-Request-Id"]


def test_a_request_id_is_kept_if_it_is_one(service: Service) -> None:
    """A caller's id is taken over; one that could forge a log line is not."""
    with service.client() as anyone:
        kept = anyone.get("/health", headers={"X-Request-Id": "caller-id-123"})
        odd = [
            anyone.get("/health", headers={"X-Request-Id": told})
            for told in ("a b\tc", "4242424242424242", "4242-4242-4242-4242")
        ]
    assert kept.headers["X-Request-Id"] == "caller-id-123"
    assert all(reply.headers["X-Request-Id"].startswith("req_") for reply in odd)


def test_every_answer_says_what_it_is_not_for(service: Service) -> None:
    """No answer, an error neither, is to be cached, framed or guessed at by a browser."""
    with service.client() as anyone:
        replies = [anyone.get(path) for path in ("/health", "/nothing", "/api/v1/customers/x")]
    for reply in replies:
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in reply.headers  # this is no TLS


def test_a_request_with_two_lengths_is_the_last_on_its_connection(service: Service) -> None:
    """A length beside chunks is refused and the connection closed: nothing is smuggled in."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    chunks = b"0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    head = f"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: {len(chunks)}\r\n".encode()
    with socket.create_connection((host, int(port)), 10) as raw, raw.makefile("rb") as answers:
        raw.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
        told = answers.read()
    assert told.startswith(b"HTTP/1.1 400")
    assert told.count(b"HTTP/1.1") == 1


def test_the_clock_goes_forward_only(service: Service) -> None:
    """Time that has passed cannot come again; what was recorded would lie ahead."""
    with service.controls as controls:
        now = controls.get("/test/clock").json()["now"]
        refused = controls.post("/test/clock", json={"to": now - 3600})
        assert (refused.status_code, refused.json()["code"]) == (422, "clock_backwards")
        assert controls.post("/test/clock", json={"to": "soon"}).status_code == 422


def test_logs_hold_no_secret_however_it_came_in() -> None:
    """Keys and card numbers are replaced wherever they stand in an entry."""
    entry = logs.scrub(
        None,
        "info",
        {"event": "bk_abcdefghijkl paid 4242 4242-4242 4242 by sk_test_1234567890", "n": 7},
    )
    assert entry == {"event": "[redacted] paid [redacted] by [redacted]", "n": 7}


def operations(service: Service) -> list[tuple[str, dict[str, Any]]]:
    """Give every operation of the OpenAPI document."""
    with service.client() as anyone:
        document = anyone.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    return [
        (f"{method} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def test_openapi_documents_every_status_with_its_schema(service: Service) -> None:
    """Each operation has a success schema, and problem schemas with an example for each code."""
    found = operations(service)
    assert len(found) > 20
    for name, operation in found:
        for status, reply in operation["responses"].items():
            (content,) = reply["content"].values()
            assert "schema" in content, (name, status)
            if int(status) >= 400:
                assert list(reply["content"]) == ["application/problem+json"], (name, status)
                assert content["examples"], (name, status)


def test_openapi_says_which_key_opens_what(service: Service) -> None:
    """Customers' routes take the key in either header; sign-up and webhooks take none."""
    security = {name: operation.get("security") for name, operation in operations(service)}
    assert security["post /api/v1/billing/track_fix"] == [{"ApiKey": []}, {"Bearer": []}]
    assert security["post /api/v1/customers/onboard"] is None
    assert security["post /test/clock"] == [{"TestControl": []}]


def test_nothing_written_is_in_no_log(tenant: Tenant) -> None:
    """A log line names route, status and customer, and nothing of the customer's."""
    tenant.fix("a-telling-fix-id")

    def text() -> str:
        return "".join(child.log.read_text() for child in tenant.service.children)

    def is_told() -> bool:
        whole = text().rpartition("\n")[0]  # the last line may be half written
        lines = [json.loads(line) for line in whole.splitlines() if '"event": "request"' in line]
        return any(line["customer_id"] == tenant.id for line in lines)

    assert eventually(is_told)  # the answer goes out before its line is written
    assert "a-telling-fix-id" not in text()
    assert tenant.email not in text()
