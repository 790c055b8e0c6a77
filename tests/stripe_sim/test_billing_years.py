"""Subscriptions over a year: the days they bill on, and money that adds up whatever happens.

The days are those of https://docs.stripe.com/billing/subscriptions/billing-cycle: an anchor keeps
its day, and a month that is too short bills on its last. Stripe bills in UTC, so that changes to
and from summer time move nothing.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from simulators.stripe.app import create_app
from simulators.stripe.settings import Settings
from tests.stripe_sim.fuzzing import examples
from tests.stripe_sim.test_search import local

DAY_S = 86_400
PRICES = (1_000, 2_999, 12_345)


class Shop:
    """A customer on a test clock in an account in this process, and what can be done there."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.clock = self.customer = self.subscription = ""
        self.prices: dict[tuple[str, int], str] = {}

    async def post(self, path: str, **form: Any) -> dict[str, Any]:
        answer = await self.client.post(f"/v1/{path}", data=form)
        assert answer.status_code in {200, 402}, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def all(self, path: str) -> list[dict[str, Any]]:
        """Return every object of a list, oldest first."""
        found: list[dict[str, Any]] = []
        after: dict[str, str] = {}
        while True:
            page = (await self.client.get(f"/v1/{path}", params={"limit": "100", **after})).json()
            found += page["data"]
            if not page["has_more"]:
                return found[::-1]
            after = {"starting_after": found[-1]["id"]}

    async def open(self, start: int) -> None:
        """Make clock and customer, and everything on offer."""
        self.clock = (await self.post("test_helpers/test_clocks", frozen_time=start))["id"]
        form = {"invoice_settings[default_payment_method]": "pm_card_visa"}
        made = await self.post(
            "customers", payment_method="pm_card_visa", test_clock=self.clock, **form
        )
        self.customer = made["id"]
        product = (await self.post("products", name="Pro"))["id"]
        for interval in ("week", "month"):
            for amount in PRICES:
                made = await self.post(
                    "prices",
                    product=product,
                    currency="usd",
                    unit_amount=amount,
                    **{"recurring[interval]": interval},
                )
                self.prices[interval, amount] = made["id"]

    async def subscribe(self, interval: str, amount: int, **form: Any) -> None:
        price = self.prices[interval, amount]
        made = await self.post(
            "subscriptions", customer=self.customer, **{"items[0][price]": price}, **form
        )
        self.subscription = made["id"]

    async def advance(self, to: int) -> None:
        """Move the clock on, and wait until it is there."""
        path = f"test_helpers/test_clocks/{self.clock}"
        await self.post(f"{path}/advance", frozen_time=to)
        await self.client.post("/simulator/settle", json={"deadline_s": 20})
        now = (await self.client.get(f"/v1/{path}")).json()
        assert (now["status"], now["frozen_time"]) == ("ready", to)

    async def item(self) -> dict[str, Any]:
        path = f"/v1/subscriptions/{self.subscription}"
        found: dict[str, Any] = (await self.client.get(path)).json()["items"]["data"][0]
        return found


def shop_app() -> Starlette:
    """Return an account whose test clocks go as far as one likes."""
    return create_app(Settings(seed=5, running=False, clock_intervals_max=None))


def expected_days(first: datetime, months: int) -> list[str]:
    """Return the days that Stripe documents, worked out without the simulator's arithmetic."""
    days = []
    for month in range(months):
        year, index = divmod(first.month - 1 + month, 12)
        start = datetime(first.year + year, index + 1, 1, tzinfo=UTC)
        last = ((start + timedelta(days=31)).replace(day=1) - timedelta(days=1)).day
        days.append(start.replace(day=min(first.day, last)).date().isoformat())
    return days


@pytest.mark.parametrize("day", [29, 30, 31])
def test_a_year_of_months_bills_on_the_documented_days(day: int) -> None:
    """From January through a leap February and both changes of summer time, to the second."""
    first = datetime(2024, 1, day, 1, 30, 17, tzinfo=UTC)

    async def run() -> list[dict[str, Any]]:
        async with local(shop_app()) as client:
            shop = Shop(client)
            await shop.open(int(first.timestamp()))
            await shop.subscribe("month", 1_000)
            await shop.advance(int(datetime(2025, 1, 1, 12, tzinfo=UTC).timestamp()))
            return await shop.all("invoices")

    invoices = asyncio.run(run())
    moments = [datetime.fromtimestamp(invoice["created"], UTC) for invoice in invoices]
    assert [moment.date().isoformat() for moment in moments] == expected_days(first, 12)
    assert moments[1].date().isoformat() == "2024-02-29"
    assert {moment.time() for moment in moments} == {first.time()}
    offsets = {moment.astimezone(ZoneInfo("America/New_York")).utcoffset() for moment in moments}
    assert len(offsets) == 2, "the year was to have both summer and winter time"
    assert {(each["status"], each["amount_paid"]) for each in invoices} == {("paid", 1_000)}


changes = st.one_of(
    st.tuples(st.just("days"), st.integers(1, 40)),
    st.tuples(st.just("quantity"), st.integers(1, 5)),
    st.tuples(st.just("upgrade"), st.sampled_from(PRICES)),
    st.tuples(st.just("interval"), st.sampled_from(["week", "month"])),
    st.tuples(st.just("coupon"), st.sampled_from(["50", "100"])),
    st.tuples(st.just("pause"), st.sampled_from(["void", "keep_as_draft", ""])),
    st.tuples(st.just("card"), st.sampled_from(["visa", "chargeCustomerFail"])),
    st.tuples(st.just("trial"), st.integers(1, 20)),
    st.tuples(st.just("cancel"), st.sampled_from(["true", "false"])),
    st.tuples(st.just("refund"), st.integers(1, 1_500)),
)


@settings(deadline=None, max_examples=examples(40, 1_000))
@given(
    start=st.datetimes(datetime(2023, 1, 1), datetime(2025, 1, 1)),  # noqa: DTZ001 - made UTC below
    interval=st.sampled_from(["week", "month"]),
    amount=st.sampled_from(PRICES),
    story=st.lists(changes, min_size=1, max_size=10),
)
def test_money_adds_up_whatever_changes(
    start: datetime, interval: str, amount: int, story: list[tuple[str, Any]]
) -> None:
    """Journal = paid invoices - refunds; each invoice is its lines; periods follow one another."""

    async def run() -> None:
        async with local(shop_app()) as client:
            shop = Shop(client)
            await shop.open(int(start.replace(tzinfo=UTC).timestamp()))
            await shop.subscribe(interval, amount)
            for change, value in story:
                await act(shop, change, value)
            await balance(shop)

    asyncio.run(run())


async def act(shop: Shop, change: str, value: Any) -> None:
    """Do one thing to the subscription; an ended one only sees time pass."""
    path = f"subscriptions/{shop.subscription}"
    now = (await shop.client.get(f"/v1/{path}")).json()
    clock = await shop.client.get(f"/v1/test_helpers/test_clocks/{shop.clock}")
    frozen = clock.json()["frozen_time"]
    item = now["items"]["data"][0]
    if change == "days":
        await shop.advance(frozen + value * DAY_S + 7_777)
    elif change == "card":
        form = {"customer": shop.customer}
        method = await shop.post(f"payment_methods/pm_card_{value}/attach", **form)
        chosen = {"invoice_settings[default_payment_method]": method["id"]}
        await shop.post(f"customers/{shop.customer}", **chosen)
    elif change == "refund":
        await refund(shop, value)
    elif now["status"] in {"active", "trialing", "past_due"}:
        forms: dict[str, dict[str, Any]] = {
            "quantity": {"items[0][id]": item["id"], "items[0][quantity]": value},
            "upgrade": {
                "items[0][id]": item["id"],
                "items[0][price]": shop.prices[item["price"]["recurring"]["interval"], value]
                if change == "upgrade"
                else "",
                "proration_behavior": "always_invoice",
            },
            "interval": {
                "items[0][id]": item["id"],
                "items[0][price]": shop.prices.get((value, item["price"]["unit_amount"])),
            },
            "coupon": {"discounts[0][coupon]": value},
            "pause": {"pause_collection[behavior]": value} if value else {"pause_collection": ""},
            "trial": {"trial_end": frozen + value * DAY_S if change == "trial" else 0},
            "cancel": {"cancel_at_period_end": value},
        }
        if change == "coupon":
            await shop.client.post(
                "/v1/coupons", data={"id": value, "percent_off": value, "duration": "forever"}
            )
        await shop.post(path, **forms[change])


async def refund(shop: Shop, amount: int) -> None:
    """Refund a part of the newest payment that still has as much."""
    for charge in (await shop.all("charges"))[::-1]:
        if charge["paid"] and charge["amount_captured"] - charge["amount_refunded"] >= amount:
            await shop.post("refunds", charge=charge["id"], amount=amount)
            return


async def balance(shop: Shop) -> None:
    """Check that journal, invoices, lines and periods tell the same."""
    journal = (await shop.client.get("/simulator/journal")).json()
    invoices, refunds = await shop.all("invoices"), await shop.all("refunds")
    paid = sum(invoice["amount_paid"] for invoice in invoices)
    refunded = sum(each["amount"] for each in refunds)
    assert journal["balances"].get("usd", 0) == paid - refunded
    owed = 0
    for invoice in invoices:
        lines = (await shop.client.get(f"/v1/invoices/{invoice['id']}/lines?limit=100")).json()
        off = sum(each["amount"] for each in invoice["total_discount_amounts"])
        assert invoice["subtotal"] == sum(line["amount"] for line in lines["data"])
        assert invoice["total"] == invoice["subtotal"] - off
        if invoice["status"] != "draft":
            carried = invoice["ending_balance"] - invoice["starting_balance"]
            assert invoice["amount_due"] == invoice["total"] - carried
            assert invoice["starting_balance"] == owed
            owed = invoice["ending_balance"]
    customer = (await shop.client.get(f"/v1/customers/{shop.customer}")).json()
    assert customer["balance"] == owed
    cycles = [each for each in invoices if each["billing_reason"] == "subscription_cycle"]
    for earlier, later in pairwise(cycles):
        assert earlier["period_end"] <= later["period_start"] < later["period_end"]
