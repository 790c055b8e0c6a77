"""Defects of authorisation, each beside the service without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.billing.defects.conftest import Both
    from tests.billing.defects.shop import Shop


# Every gauntlet meets them, too; those of money are shown every day.
pytestmark = pytest.mark.nightly


def test_another_tenants_invoices(both: Both) -> None:
    """Another's invoices are not found, or shown; everything else of theirs is not found."""

    def story(shop: Shop) -> tuple[int, int]:
        one, other = shop.subscriber(), shop.tenant()
        pages = (other.http.get(f"{one.path}/{page}") for page in ("invoices", "payments"))
        invoices, payments = (reply.status_code for reply in pages)
        return invoices, payments

    assert both("another-tenants-invoices", story) == ((404, 404), (200, 404))


def test_another_tenants_subscription_cancelled(both: Both) -> None:
    """Another's subscription cannot be cancelled, or can, though not read."""

    def story(shop: Shop) -> tuple[int, str]:
        one, other = shop.subscriber(), shop.tenant()
        path = f"{one.path}/subscription"
        assert other.http.get(path).status_code == 404
        other.http.delete(path)
        return other.http.get(path).status_code, one.get("/subscription")["status"]

    found = both("another-tenants-subscription-cancelled", story)
    assert found == ((404, "active"), (404, "canceled"))


def test_existence_of_a_tenant_told(both: Both) -> None:
    """Another's id is answered like nobody's, or differently."""

    def story(shop: Shop) -> tuple[int, int]:
        one, other = shop.tenant(), shop.tenant()
        nobody = other.http.get("/api/v1/customers/cust_nobody").status_code
        return other.http.get(one.path).status_code, nobody

    assert both("existence-of-a-tenant-told", story) == ((404, 404), (403, 404))


def test_paid_plan_set_by_its_customer(both: Both) -> None:
    """The paid plan comes with a subscription, or for the asking."""

    def story(shop: Shop) -> tuple[int, str, list[int]]:
        tenant = shop.tenant("pm_card_visa")
        reply = tenant.http.put(f"{tenant.path}/plan", json={"plan": "pro"})
        return reply.status_code, tenant.get()["plan"], shop.taken(tenant)

    found = both("paid-plan-set-by-its-customer", story)
    assert found == ((422, "trial", []), (200, "pro", []))


def test_price_taken_from_the_body(both: Both) -> None:
    """A price in the body is refused, or charged."""

    def story(shop: Shop) -> tuple[int, list[int]]:
        tenant = shop.payer()
        body = {"fix_id": "fix-1", "price_minor": 50}
        reply = tenant.post("/api/v1/billing/track_fix", body)
        tenant.fix("fix-2")
        return reply.status_code, shop.taken(tenant)

    assert both("price-taken-from-the-body", story) == ((422, [2900]), (200, [50, 2900]))


def test_card_bonus_farmed(both: Both) -> None:
    """Removing the card and adding it again earns nothing, or five credits each time."""

    def story(shop: Shop) -> int:
        tenant = shop.tenant("pm_card_visa")
        for _ in range(2):
            card = tenant.get("/payment-methods")["data"][0]["payment_method_id"]
            path = f"{tenant.path}/payment-methods/{card}"
            assert tenant.http.delete(path).status_code == 200
            assert tenant.add_card().status_code == 201
        assert tenant.add_card("pm_card_mastercard").json()["credits_granted"] == 0
        balance: int = tenant.get()["credit_balance"]
        return balance

    assert both("card-bonus-farmed", story) == (10, 20)


def test_sign_up_bonus_farmed(both: Both) -> None:
    """Closing the account and coming back earns nothing, or five credits."""

    def story(shop: Shop) -> int:
        first = shop.tenant()
        first.http.delete(first.path).raise_for_status()
        balance: int = shop.tenant(email=first.email).get()["credit_balance"]
        return balance

    assert both("sign-up-bonus-farmed", story) == (0, 5)


def test_operator_route_without_a_check(both: Both) -> None:
    """A customer's adjustment of their own credits is refused, or made."""

    def story(shop: Shop) -> tuple[int, int]:
        tenant = shop.tenant()
        body = {"units": 1000, "reason": "because"}
        reply = tenant.post(f"/api/v1/operator/customers/{tenant.id}/adjustments", body)
        return reply.status_code, tenant.get()["credit_balance"]

    assert both("operator-route-without-a-check", story) == ((403, 5), (201, 1005))


def test_key_in_the_query_accepted(both: Both) -> None:
    """A key in the query opens nothing, or everything."""

    def story(shop: Shop) -> int:
        tenant = shop.tenant()
        query = {"api_key": tenant.http.headers["X-API-Key"]}
        return shop.client().get(tenant.path, params=query).status_code

    assert both("key-in-the-query-accepted", story) == (401, 200)


def test_revoked_key_still_cached(both: Both) -> None:
    """A revoked key is refused at once, or let in for a while."""

    def story(shop: Shop) -> tuple[int, int]:
        tenant = shop.tenant()
        second = tenant.post("/api/v1/api-keys").json()
        other = shop.client(second["api_key"])
        before = other.get(tenant.path).status_code
        tenant.http.delete(f"/api/v1/api-keys/{second['key_id']}").raise_for_status()
        return before, other.get(tenant.path).status_code

    assert both("revoked-key-still-cached", story) == ((200, 401), (200, 200))
