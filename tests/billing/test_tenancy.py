"""Who may see and do what: a key opens its own customer, and nothing tells of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.billing.conftest import Tenant

ROUTES = [
    ("GET", ""),
    ("DELETE", ""),
    ("GET", "/usage"),
    ("GET", "/transactions"),
    ("GET", "/payments"),
    ("GET", "/fix-attempts"),
    ("GET", "/invoices"),
    ("GET", "/payment-methods"),
    ("POST", "/payment-methods"),
    ("DELETE", "/payment-methods/pm_1"),
    ("PUT", "/plan"),
    ("GET", "/subscription"),
    ("POST", "/subscription"),
    ("PATCH", "/subscription"),
    ("DELETE", "/subscription"),
    ("POST", "/subscription/resume"),
]
BODIES = {
    "/payment-methods": {"payment_method": "pm_card_visa", "billing_consent": True},
    "/plan": {"plan": "payg"},
    "/subscription": {"quantity": 1},
}


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_another_customer_is_as_none(
    tenant: Tenant, other_tenant: Tenant, method: str, route: str
) -> None:
    """Another's id and nobody's id get the same answer, and move nothing."""
    before = other_tenant.snapshot()
    body = BODIES.get(route)
    replies = [
        tenant.http.request(method, f"/api/v1/customers/{customer}{route}", json=body)
        for customer in (other_tenant.id, "cust_nobody")
    ]
    problems = [reply.json() | {"request_id": None} for reply in replies]
    assert [reply.status_code for reply in replies] == [404, 404]
    assert problems[0] == problems[1]
    assert other_tenant.snapshot() == before


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": "bk_wrong"},
        {"X-API-Key": ""},
        {"Authorization": "Bearer bk_wrong"},
        {"Authorization": "Basic YTpi"},
    ],
)
def test_without_a_valid_key_nothing_is_told(tenant: Tenant, headers: dict[str, str]) -> None:
    """A missing or wrong key is a 401 that says nothing more."""
    with tenant.service.client() as anyone:
        reply = anyone.get(tenant.path, headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (401, "unauthenticated")
    assert reply.headers["WWW-Authenticate"] == "Bearer"


def test_a_key_in_the_query_string_is_none(tenant: Tenant) -> None:
    """A key that would end up in access logs is not taken."""
    key = tenant.http.headers["X-API-Key"]
    with tenant.service.client() as anyone:
        for name in ("api_key", "X-API-Key", "key"):
            assert anyone.get(tenant.path, params={name: key}).status_code == 401


def test_a_key_is_taken_as_a_bearer_token_too(tenant: Tenant) -> None:
    """Both headers open the same customer."""
    key = tenant.http.headers["X-API-Key"]
    with tenant.service.client() as anyone:
        reply = anyone.get(tenant.path, headers={"Authorization": f"Bearer {key}"})
    assert reply.json()["customer_id"] == tenant.id


def test_the_operator_sees_everyone_and_tracks_no_fix(tenant: Tenant) -> None:
    """The operator's key opens each customer by id, and is nobody's own."""
    with tenant.service.operator as operator:
        assert operator.get(tenant.path).json()["customer_id"] == tenant.id
        assert operator.get("/api/v1/customers/cust_nobody/usage").status_code == 404
        assert operator.get("/api/v1/customers/cust_nobody/payments").status_code == 404
        refused = operator.post("/api/v1/billing/track_fix", json={"fix_id": "f"})
    assert (refused.status_code, refused.json()["code"]) == (403, "customer_key_required")


def test_pro_cannot_be_set_only_bought(tenant: Tenant) -> None:
    """The plan route gives no plan away."""
    for plan, code in (("pro", "plan_not_available"), ("trial", "plan_not_available")):
        refused = tenant.http.put(f"{tenant.path}/plan", json={"plan": plan})
        assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert tenant.http.put(f"{tenant.path}/plan", json={"plan": "payg"}).status_code == 402
    tenant.add_card()
    assert tenant.http.put(f"{tenant.path}/plan", json={"plan": "payg"}).json()["plan"] == "payg"


@pytest.mark.parametrize(
    "body",
    [
        {"payment_method": "4242424242424242", "billing_consent": True},
        {"payment_method": "pm_card_visa", "card": {"number": "x"}, "billing_consent": True},
        {"payment_method": "pm_card_visa", "cvc": "123", "billing_consent": True},
        {"payment_method": "4242 4242 4242 4242", "billing_consent": True},
        {"payment_method": 4242424242424242, "billing_consent": True},
    ],
)
def test_card_data_is_turned_away_at_the_door(tenant: Tenant, body: object) -> None:
    """A card number or code is refused, and is in no log and no database."""
    reply = tenant.http.post(f"{tenant.path}/payment-methods", json=body)
    assert (reply.status_code, reply.json()["code"]) == (422, "raw_card_data_rejected")
    assert "4242" not in reply.text
    assert "4242424242424242" not in "".join(
        child.log.read_text() for child in tenant.service.children
    )


def test_card_data_is_turned_away_wherever_it_stands(tenant: Tenant) -> None:
    """A fix id, a name or an idempotency key is no place for a card number either."""
    codes = [
        tenant.fix("4242424242424242").json()["code"],
        tenant.fix("fix-1", key="4242424242424242").json()["code"],
    ]
    assert codes == ["raw_card_data_rejected"] * 2
    assert tenant.fix("5f1c0c9e-4b5a-4c1d-9a55-424242424242").status_code == 200
