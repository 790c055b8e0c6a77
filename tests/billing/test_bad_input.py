"""Everything a stranger can send: a problem document with a stable code, and nothing changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.billing.test_webhooks import send, signed

if TYPE_CHECKING:
    import httpx

    from tests.billing.conftest import Tenant
    from tests.billing.running import Service

JSON = "application/json"
FIX = "/api/v1/billing/track_fix"
NINES = b"9" * 5000
ODD_BODIES = {
    "two names alike": b'{"fix_id": "a", "fix_id": "b"}',
    "two names alike, deep down": b'{"fix_id": "a", "x": [{"y": 1, "y": 2}]}',
    "a card in the first of two": b'{"fix_id": "4242424242424242", "fix_id": "b"}',
    "an enormous number": b'{"fix_id": ' + NINES + b"}",
    "an enormous number elsewhere": b'{"fix_id": "a", "repository": -' + NINES + b"}",
    "an infinite number": b'{"fix_id": 1e999}',
    "no number at all": b'{"fix_id": NaN}',
    "a very deep list": b"[" * 20_000 + b"]" * 20_000,
    "a very deep object": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a NUL byte": b'{"fix_id": "a\x00"}',
    "an escaped NUL": b'{"fix_id": "a\\u0000"}',
    "half a surrogate pair": b'{"fix_id": "\\ud800"}',
    "UTF-16": '{"fix_id": "a b"}'.encode("utf-16"),
    "not UTF-8": b'{"fix_id": "\xff"}',
    "a bare string": b'"fix"',
    "a bare null": b"null",
    "text before": b'x{"fix_id": "a"}',
    "text after": b'{"fix_id": "a"} x',
    "single quotes": b"{'fix_id': 'a'}",
    "a comment": b'{"fix_id": "a" /* x */}',
    "right-to-left marks": '{"fix_id": "a\u202eb"}'.encode(),
    "an emoji": '{"fix_id": "\U0001f4b3"}'.encode(),
    "a path": b'{"fix_id": "../../etc/passwd\\n"}',
    "an array for a string": b'{"fix_id": ["a"]}',
    "a prototype": b'{"fix_id": "a", "__proto__": {"plan": "pro"}}',
}


def assert_problem(reply: httpx.Response, *statuses: int) -> None:
    """Hold that an answer is a problem document that tells nothing of the code."""
    assert reply.status_code in statuses, (reply.status_code, reply.text[:300])
    assert reply.headers["Content-Type"] == "application/problem+json"
    problem = reply.json()
    assert problem["status"] == reply.status_code
    assert problem["type"] == f"urn:billing:problem:{problem['code']}"
    assert "Traceback" not in reply.text
    assert len(reply.text) < 2000


@pytest.mark.parametrize("content", ODD_BODIES.values(), ids=ODD_BODIES)
def test_an_odd_body_is_a_problem_document(tenant: Tenant, content: bytes) -> None:
    """Whatever JSON can be bent into is refused as a 400 or 422, and no fix was asked for."""
    reply = tenant.http.post(FIX, content=content, headers={"Content-Type": JSON})
    assert_problem(reply, 400, 422)
    assert tenant.page("fix-attempts") == []
    assert tenant.get()["credit_balance"] == 5


@pytest.mark.parametrize(
    "kind",
    ["", "text/html", "application/xml", "multipart/form-data", "application/jsonx", "a/b; c=d",
     "application/json; charset=utf-7", "\xe9"],
)  # fmt: skip
def test_an_odd_content_type_never_breaks_anything(tenant: Tenant, kind: str) -> None:
    """A body under another name is refused, or read as the JSON that it is; never a 5xx."""
    headers = {b"Content-Type": kind.encode("latin-1")}
    reply = tenant.http.post(FIX, content=b'{"fix_id": "a"}', headers=headers)
    if reply.status_code != 200:
        assert_problem(reply, 400, 415, 422)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/customers/%00", 404),
        ("GET", "/api/v1/customers/a%00b/usage", 404),
        ("DELETE", "/api/v1/api-keys/%00", 404),
        ("GET", "/api/v1/customers/%ff%fe", 404),
        ("GET", "/api/v1/customers/" + "x" * 5000, 422),
        ("GET", "/api/v1/customers/..%2f..%2fetc", 404),
        ("GET", "/api/v1/customers/{id}/payments?limit=0", 422),
        ("GET", "/api/v1/customers/{id}/payments?limit=1e3", 422),
        ("GET", "/api/v1/customers/{id}/payments?limit=" + "9" * 4500, 422),
        ("GET", "/api/v1/customers/{id}/payments?cursor=%00", 422),
        ("GET", "/api/v1/customers/{id}/payments?filter=cause:%00", 422),
        ("GET", "/api/v1/customers/{id}/payments?filter=cause:' OR 1=1 --", 200),
        ("GET", "/api/v1/customers/{id}/payments?sort=id;DROP TABLE payments", 422),
        ("DELETE", "/api/v1/customers/{id}/subscription?at_period_end=maybe", 422),
        ("PATCH", "/api/v1/customers/{id}", 405),
        ("TRACE", "/api/v1/customers/{id}", 405),
        ("PROPFIND", "/health", 405),
        ("POST", "/metrics", 404),
        ("GET", "//api/v1/customers/{id}", 404),
        ("GET", "/.env", 404),
        ("GET", "/api/v2/customers/{id}", 404),
    ],
)
def test_an_odd_place_is_a_problem_document(
    tenant: Tenant, method: str, path: str, status: int
) -> None:
    """Unknown routes, methods, ids and queries are told in the same shape as anything else."""
    reply = tenant.http.request(method, path.replace("{id}", tenant.id))
    if status == 200:
        assert reply.json()["data"] == []
    else:
        assert_problem(reply, status)


def test_a_wrong_method_names_the_right_ones(tenant: Tenant) -> None:
    """A 405 lists every method of the path."""
    reply = tenant.http.request("OPTIONS", f"{tenant.path}/subscription")
    assert reply.status_code == 405
    assert reply.headers["Allow"] == "DELETE, GET, PATCH, POST"


@pytest.mark.parametrize(
    "headers",
    [
        {b"X-API-Key": b"\xff\xfe"},
        {b"X-API-Key": b"x" * 20_000},
        {b"Authorization": b"Bearer " + b"\xc3\xa9" * 50},
        {b"Authorization": b"Bearer"},
    ],
)
def test_an_odd_key_is_a_401(service: Service, headers: dict[bytes, bytes]) -> None:
    """A key that cannot be one is no key."""
    with service.client() as anyone:
        assert_problem(anyone.get("/api/v1/customers/cust_x", headers=headers), 401)


@pytest.mark.parametrize(
    "name", ["\u202eevil", "\U0001f600 née Ⅷ", "ﷺ" * 60, "a" * 200, "<script>alert(1)</script>"]
)
def test_an_odd_name_is_only_a_name(service: Service, name: str) -> None:
    """Unicode is kept as it was sent, and is never anything but text."""
    body = {"email": f"odd-{abs(hash(name))}@example.com", "name": name}
    with service.client() as anyone:
        made = anyone.post("/api/v1/customers/onboard", json=body)
    assert made.status_code == 201
    with service.client(made.json()["api_key"]) as http:
        shown = http.get(f"/api/v1/customers/{made.json()['customer_id']}").json()
    assert shown["name"] == name


@pytest.mark.parametrize(
    ("about", "status"),
    [
        ({"type": "invoice.upcoming", "data": {"object": {"object": "invoice"}}}, 200),
        ({"type": "invoice.paid", "data": {"object": {"object": "invoice"}}}, 400),
        ({"type": "invoice.paid", "data": {"object": {"id": 7}}}, 400),
        ({"type": "a b", "data": {"object": {}}}, 400),
        ({"type": "x" * 256, "data": {"object": {}}}, 400),
        ({"type": "a\0b", "data": {"object": {}}}, 400),
        ({"type": "x", "data": {"object": []}}, 400),
        ({"type": "x", "data": None}, 400),
        ({"data": {"object": {}}}, 400),
    ],
)
def test_a_signed_event_is_taken_if_it_is_one(
    service: Service, about: dict[str, object], status: int
) -> None:
    """An event without an object's id is taken where nothing is done with it, else refused."""
    body = json.dumps({"id": f"evt_{abs(hash(str(about)))}", **about}).encode()
    reply = send(service, body, signed(body))
    assert reply.status_code == status
    if status == 400:
        assert reply.json()["code"] == "malformed_event"
