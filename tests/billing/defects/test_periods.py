"""Defects of time and dunning, each beside the service without it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import stripe

from simulators.billing.operations import invoicing, reports
from simulators.billing.stripe_gateway import facts
from tests.billing.defects.shop import DAY_S

if TYPE_CHECKING:
    from tests.billing.conftest import Tenant
    from tests.billing.defects.conftest import Both
    from tests.billing.defects.shop import Shop


# Every gauntlet meets them, too; those of money are shown every day.
pytestmark = pytest.mark.nightly


def at(month: int, day: int, hour: int = 0) -> int:
    """Give a time of 2027 in UTC."""
    return int(datetime(2027, month, day, hour, tzinfo=UTC).timestamp())


def paid_renewal(tenant: Tenant, start: int) -> facts.InvoiceFacts:
    """Describe a paid invoice of a period that starts then."""
    return facts.InvoiceFacts(
        id=f"in_{start}",
        stripe_customer_id=tenant.stripe_id,
        subscription=tenant.get("/subscription")["subscription_id"],
        status="paid",
        billing_reason="subscription_cycle",
        amount_due_minor=59900,
        amount_paid_minor=59900,
        currency="usd",
        quantity=1,
        period_start=start,
        period_end=start + 30 * DAY_S,
        created_at=start,
    )


def test_renewals_stop_on_the_31st(both: Both) -> None:
    """A period that starts on the 30th brings its units, one from the 31st may bring none."""

    def story(shop: Shop) -> list[int]:
        tenant = shop.subscriber()
        setattr(shop.core.stripe.subscriptions, "charges_of_invoice", lambda _: ())  # noqa: B010  # a method
        for start in (at(4, 30), at(5, 31)):
            invoicing.settle(shop.core, paid_renewal(tenant, start))
        return [i["credits_granted"] for i in tenant.page("invoices")]

    assert both("renewals-stop-on-the-31st", story) == ([60, 60, 60], [0, 60, 60])


def test_period_end_by_the_office_clock(both: Both) -> None:
    """A period across a change of the clocks ends when Stripe says, or an hour earlier."""

    def story(_: Shop) -> list[int]:
        ends = []
        for start, end in ((at(1, 5), at(2, 5)), (at(3, 5), at(4, 5))):
            price = {"id": "price_1", "product": "prod_1"}
            period = {"current_period_start": start, "current_period_end": end}
            item = {"id": "si_1", "price": price, "quantity": 1, **period}
            told = {
                "id": "sub_1",
                "customer": "cus_1",
                "status": "active",
                "items": {"data": [item]},
                "cancel_at_period_end": False,
                "cancel_at": None,
                "ended_at": None,
                "created": start,
                "metadata": {},
            }
            found = stripe.Subscription.construct_from(told, None)
            ends.append(facts.subscription(found).current_period_end - end)
        return ends

    assert both("period-end-by-the-office-clock", story) == ([0, 0], [0, -3600])


def test_local_time_shown_as_utc(both: Both) -> None:
    """An entry is dated now, or hours ago."""

    def story(shop: Shop) -> bool:
        tenant = shop.tenant()
        (entry,) = tenant.page("transactions")
        seconds: int = shop.core.clock.now() - entry["created_at"]
        return abs(seconds) < 60

    assert both("local-time-shown-as-utc", story) == (True, False)


def test_month_by_the_office_clock(both: Both) -> None:
    """Two in the morning of the first is this month, or still the last."""

    def story(_: Shop) -> tuple[bool, bool]:
        start, end = reports.month_of(at(6, 1, 2))
        return start <= at(5, 20) < end, start <= at(6, 20) < end

    assert both("month-by-the-office-clock", story) == ((False, True), (True, False))


def test_scheduled_end_takes_the_plan_at_once(both: Both) -> None:
    """Until a scheduled end the plan stays, or goes at once."""

    def story(shop: Shop) -> str:
        tenant = shop.subscriber()
        tenant.http.delete(f"{tenant.path}/subscription?at_period_end=true").raise_for_status()
        plan: str = tenant.get()["plan"]
        return plan

    assert both("scheduled-end-takes-the-plan-at-once", story) == ("pro", "payg")


def test_cancelled_subscription_bills_on(both: Both) -> None:
    """After a cancellation there is no renewal, or there is."""

    def story(shop: Shop) -> tuple[bool, int]:
        tenant = shop.subscriber()
        reply = tenant.http.delete(f"{tenant.path}/subscription?at_period_end=true")
        shop.renew(tenant)
        return reply.json()["cancel_at_period_end"], len(shop.taken(tenant))

    assert both("cancelled-subscription-bills-on", story) == ((True, 1), (True, 2))


def unpaid(shop: Shop) -> Tenant:
    """Make a subscriber who never pays again, and let Stripe give up."""
    tenant = shop.subscriber()
    shop.let_card_fail(tenant)
    shop.renew(tenant)
    return tenant


def given_up(shop: Shop) -> tuple[str, str]:
    """Let Stripe give up on a subscriber; give the customer's status and plan."""
    tenant = unpaid(shop)
    shop.follow(tenant, shop.simulator.now() + 20 * DAY_S)
    shown = tenant.get()
    return shown["status"], shown["plan"]


def test_past_due_never_ends(both: Both) -> None:
    """After the last failed payment the subscription is over, or past due for ever."""
    assert both("past-due-never-ends", given_up) == (("active", "payg"), ("past_due", "pro"))


def test_paid_plans_prices_after_the_end(both: Both) -> None:
    """After the last failed payment the plan is gone, or stays."""
    found = both("paid-plans-prices-after-the-end", given_up)
    assert found == (("active", "payg"), ("active", "pro"))


def test_old_debt_forgotten(both: Both) -> None:
    """A unit that is owed is taken from the next grant, or forgotten."""

    def story(shop: Shop) -> int:
        tenant = shop.payer()
        tenant.fix("fix-1")
        shop.refund(tenant.page("payments")[0]["id"], None).raise_for_status()
        tenant.subscribe().raise_for_status()
        balance: int = tenant.get()["credit_balance"]
        return balance

    assert both("old-debt-forgotten", story) == (59, 60)


def test_past_due_shown_as_active(both: Both) -> None:
    """A failed renewal shows, or does not."""
    found = both("past-due-shown-as-active", lambda shop: unpaid(shop).get()["status"])
    assert found == ("past_due", "active")
