"""Defects of concurrency, each beside the service without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.billing.defects.shop import at_once

if TYPE_CHECKING:
    from tests.billing.defects.conftest import Both
    from tests.billing.defects.shop import Shop

# Every gauntlet meets them, too; those of money are shown every day.
pytestmark = pytest.mark.nightly
AT_ONCE = 6


def rush(shop: Shop) -> tuple[int, int, int]:
    """Have usages at once meet one credit; give successes, debits and the balance."""
    tenant = shop.tenant()
    shop.adjust(tenant, -4)
    replies = at_once(AT_ONCE, lambda number: tenant.fix(f"fix-{number}"))
    debits = [e for e in tenant.page("transactions") if e["source"] == "consumed"]
    won = sum(reply.status_code == 200 for reply in replies)
    return won, len(debits), tenant.get()["credit_balance"]


def test_balance_read_before_the_lock(both: Both) -> None:
    """Six usages at the last credit take one, or overdraw the balance."""
    clean, (won, debits, balance) = both("balance-read-before-the-lock", rush)
    assert clean == (1, 1, 0)
    assert (won, balance) == (debits, 1 - debits)
    assert balance < 0


def test_debit_that_took_nothing(both: Both) -> None:
    """Six usages at the last credit pay once each, or some are given away."""
    clean, (won, debits, balance) = both("debit-that-took-nothing", rush)
    assert clean == (1, 1, 0)
    assert (debits, balance) == (1, 0)
    assert won > 1


def test_double_click_subscribes_twice(both: Both) -> None:
    """Six subscriptions at once make one, or several that all bill."""

    def story(shop: Shop) -> int:
        tenant = shop.tenant("pm_card_visa")
        at_once(AT_ONCE, lambda _: tenant.subscribe())
        return len(shop.taken(tenant))

    clean, broken = both("double-click-subscribes-twice", story)
    assert clean == 1
    assert broken > 1


def test_refund_booked_though_refused(both: Both) -> None:
    """A refund beyond its charge is refused, or stands in the books alone."""

    def story(shop: Shop) -> tuple[list[int], int, int]:
        tenant = shop.payer()
        tenant.fix("fix-1")
        payment = tenant.page("payments")[0]["id"]
        statuses = [shop.refund(payment, 2000).status_code for _ in range(2)]
        return statuses, len(shop.taken(tenant)), len(tenant.page("payments"))

    found = both("refund-booked-though-refused", story)
    assert found == (([201, 422], 2, 2), ([201, 201], 2, 3))


def test_pending_charge_tried_anew(both: Both) -> None:
    """A fix that is asked for again while its charge is in doubt is charged once, or twice."""

    def story(shop: Shop) -> list[int]:
        tenant = shop.payer()
        shop.fault("reset", tenant, effect="kept", method="POST", path="/v1/payment_intents")
        assert tenant.fix("fix-1").status_code == 503
        shop.pass_time(60)
        assert tenant.fix("fix-1").status_code == 200
        return shop.taken(tenant)

    found = both("pending-charge-tried-anew", story, stripe_tries=1, charge_patience_s=0.0)
    assert found == ([2900], [2900, 2900])


def test_clean_up_marks_failed_what_succeeded(both: Both) -> None:
    """A charge whose answer was lost is found by the clean-up, or called failed and made again."""

    def story(shop: Shop) -> list[int]:
        tenant = shop.payer()
        shop.fault("reset", tenant, effect="kept", method="POST", path="/v1/payment_intents")
        assert tenant.fix("fix-1").status_code == 503
        shop.pass_time(60)
        shop.worker.reconciler.settle_doubts()
        assert tenant.fix("fix-1").status_code == 200
        return shop.taken(tenant)

    settings = {"stripe_tries": 1, "charge_patience_s": 0.0}
    found = both("clean-up-marks-failed-what-succeeded", story, **settings)
    assert found == ([2900], [2900, 2900])
