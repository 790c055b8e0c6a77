"""Defects of idempotency, each beside the service without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.billing.defects.shop import DAY_S, at_once

if TYPE_CHECKING:
    from tests.billing.defects.conftest import Both
    from tests.billing.defects.shop import Shop


# Every gauntlet meets them, too; those of money are shown every day.
pytestmark = pytest.mark.nightly


def test_retry_under_a_new_key(both: Both) -> None:
    """A charge whose answer is lost is made once, or twice."""

    def story(shop: Shop) -> list[int]:
        tenant = shop.payer()
        shop.fault("reset", tenant, effect="kept", method="POST", path="/v1/payment_intents")
        tenant.fix("fix-1")
        return shop.taken(tenant)

    found = both("retry-under-a-new-key", story, stripe_tries=1)
    assert found == ([2900], [2900, 2900])


def test_key_not_scoped_to_the_tenant(both: Both) -> None:
    """Another tenant's key is a key of one's own, or gets the other's API key."""

    def story(shop: Shop) -> bool:
        one, other = shop.tenant(), shop.tenant()
        first, second = (t.post("/api/v1/api-keys", key="same") for t in (one, other))
        same: bool = first.json()["api_key"] == second.json()["api_key"]
        return same

    assert both("key-not-scoped-to-the-tenant", story) == (False, True)


def test_reused_key_with_another_body(both: Both) -> None:
    """Another fix under a used key is refused, or answered as the first and never paid for."""

    def story(shop: Shop) -> tuple[int, int]:
        tenant = shop.tenant()
        tenant.fix("fix-1", key="same")
        reply = tenant.fix("fix-2", key="same")
        return reply.status_code, tenant.get()["credit_balance"]

    assert both("reused-key-with-another-body", story) == ((422, 4), (200, 4))


def test_same_key_at_once_runs_twice(both: Both) -> None:
    """Ten requests at once under one key add five credits, or ten."""

    def story(shop: Shop) -> int:
        tenant = shop.tenant()
        path = f"/api/v1/operator/customers/{tenant.id}/adjustments"
        body, headers = {"units": 5, "reason": "test"}, {"Idempotency-Key": "same"}
        at_once(10, lambda _: shop.operator.post(path, json=body, headers=headers))
        balance: int = tenant.get()["credit_balance"]
        return balance

    clean, broken = both("same-key-at-once-runs-twice", story)
    assert clean == 10
    assert broken > 10


def test_refund_key_minted_for_each_try(both: Both) -> None:
    """A refund that is asked for again after its answer was lost is made once, or twice."""

    def story(shop: Shop) -> list[int]:
        tenant = shop.payer()
        tenant.fix("fix-1")
        shop.fault("reset", tenant, effect="kept", method="POST", path="/v1/refunds")
        payment = tenant.page("payments")[0]["id"]
        replies = [shop.refund(payment, 1000, key="refund-1").status_code for _ in range(2)]
        assert replies == [503, 201]
        return shop.taken(tenant)

    found = both("refund-key-minted-for-each-try", story, stripe_tries=1)
    assert found == ([2900, -1000], [2900, -1000, -1000])


def test_usage_told_twice_counts_twice(both: Both) -> None:
    """A fix told three times, with a credit at hand or without, is paid for once or thrice."""

    def story(shop: Shop) -> tuple[int, list[int]]:
        tenant, payer = shop.tenant(), shop.payer()
        for _ in range(3):
            assert (tenant.fix("fix-1").status_code, payer.fix("fix-1").status_code) == (200, 200)
        return tenant.get()["credit_balance"], shop.taken(payer)

    assert both("usage-told-twice-counts-twice", story) == ((4, [2900]), (2, [2900] * 3))


def test_usage_forgotten_after_a_day(both: Both) -> None:
    """A fix told again is never charged again, or only for a day."""

    def story(shop: Shop) -> list[int]:
        tenant = shop.payer()
        for wait_s in (0, DAY_S // 2, DAY_S):
            shop.pass_time(wait_s)
            assert tenant.fix("fix-1").status_code == 200
        return shop.taken(tenant)

    assert both("usage-forgotten-after-a-day", story) == ([2900], [2900, 2900])


def test_usage_id_shared_by_tenants(both: Both) -> None:
    """Another tenant's fix id is an id like any, or a way to have a fix for nothing."""

    def story(shop: Shop) -> int:
        shop.tenant().fix("fix-1")
        other = shop.tenant()
        assert other.fix("fix-1").status_code == 200
        balance: int = other.get()["credit_balance"]
        return balance

    assert both("usage-id-shared-by-tenants", story) == (4, 5)
