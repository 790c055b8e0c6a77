"""Searches with Hypothesis: money adds up, time divides well, no input breaks it."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import httpx
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from simulators.stripe.app import create_app
from simulators.stripe.billing.periods import boundary, period_around, prorate
from simulators.stripe.forms import decode_form
from simulators.stripe.resources import ROUTES
from simulators.stripe.settings import Settings
from tests.stripe_sim.conformance import problems
from tests.stripe_sim.fuzzing import examples

DAY_S = 86_400
moments = st.integers(0, 4_000_000_000)
intervals = st.sampled_from(["day", "week", "month", "year"])


@given(moments, intervals, st.integers(1, 3), moments)
def test_periods_tile_time(anchor: int, interval: str, count: int, moment: int) -> None:
    """Every moment lies in exactly one period, and the anchor begins one."""
    start, end = period_around(anchor, interval, count, moment)
    assert start <= moment < end
    assert period_around(anchor, interval, count, end)[0] == end
    assert period_around(anchor, interval, count, anchor)[0] == anchor


@given(moments, st.integers(-40, 40))
def test_boundaries_keep_the_anchors_day(anchor: int, index: int) -> None:
    """A monthly boundary is on the anchor's day, or on a shorter month's last."""
    assume(anchor + index * 31 * DAY_S > 0)
    first = datetime.fromtimestamp(anchor, UTC)
    moved = datetime.fromtimestamp(boundary(anchor, "month", 1, index), UTC)
    tomorrow = datetime.fromtimestamp(moved.timestamp() + DAY_S, UTC)
    assert moved.time() == first.time()
    assert moved.day == first.day or (moved.day < first.day and tomorrow.day == 1)
    assert (moved.year * 12 + moved.month) - (first.year * 12 + first.month) == index


@given(st.integers(-(10**9), 10**9), st.integers(0, 10**8), st.integers(1, 10**8))
def test_proration_is_nearest_and_odd(amount: int, part: int, whole: int) -> None:
    """A share is within half a cent of the exact one, and a credit mirrors its debit."""
    share = prorate(amount, part, whole)
    assert abs(2 * share * whole - 2 * amount * part) <= whole
    assert prorate(-amount, part, whole) == -share


@given(st.text(alphabet="ab[]=&%0+;é", max_size=40))
def test_forms_are_read_or_refused(text: str) -> None:
    """Any text is a form, or an error of the API; never another exception."""
    from simulators.stripe.errors import BadParameters

    try:
        decode_form(text)
    except BadParameters:
        return


names = sorted({name for route in ROUTES for name in route.params.fields} | {"expand", "x"})
values = st.one_of(
    st.sampled_from(["", "true", "0", "-1", "99999999999999999999", "usd", "pm_card_visa", "now"]),
    st.text(st.characters(codec="utf-8"), max_size=12),
)
keys = st.builds(
    lambda name, rest: name + "".join(f"[{part}]" for part in rest),
    st.sampled_from(names),
    st.lists(st.sampled_from(["", "0", "1", "price", "id", "gte", "quantity", "é"]), max_size=3),
)
forms = st.lists(st.tuples(keys, values), max_size=6)
ids = st.sampled_from(["cus_none", "pm_card_visa", "tok_visa", "%00", "é", "x" * 300])


async def seed_account(client: httpx.AsyncClient) -> list[str]:
    """Make one of the main objects, so that a fuzzed call may meet something real."""
    customer = (await client.post("/v1/customers", data={"payment_method": "pm_card_visa"})).json()
    methods = (await client.get(f"/v1/customers/{customer['id']}/payment_methods")).json()
    product = (await client.post("/v1/products", data={"name": "P"})).json()
    price_form = {"product": product["id"], "currency": "usd", "unit_amount": "900"}
    price = await client.post("/v1/prices", data={**price_form, "recurring[interval]": "month"})
    form = {"customer": customer["id"], "items[0][price]": price.json()["id"]}
    form["default_payment_method"] = methods["data"][0]["id"]
    subscription = (await client.post("/v1/subscriptions", data=form)).json()
    made = [customer["id"], methods["data"][0]["id"], product["id"], price.json()["id"]]
    return [
        *made,
        subscription["id"],
        subscription["items"]["data"][0]["id"],
        subscription["latest_invoice"],
    ]


def local(app: Starlette) -> httpx.AsyncClient:
    """Return a client of an application in this process."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url="http://s", auth=("sk_test_1", ""))


@settings(deadline=None, max_examples=examples(40, 1_000))
@given(st.data())
def test_no_request_is_answered_with_500(data: st.DataObject) -> None:
    """Any endpoint, any form, any id: an object that conforms, or Stripe's error object."""

    async def run() -> None:
        app = create_app(Settings(seed=3, running=False))
        async with local(app) as client:
            real = await seed_account(client)
            for _ in range(4):
                await _fuzz_once(data, client, real)

    asyncio.run(run())


async def _fuzz_once(data: st.DataObject, client: httpx.AsyncClient, real: list[str]) -> None:
    route = data.draw(st.sampled_from(ROUTES))
    some_id = st.one_of(st.sampled_from(real), ids)
    path = route.path.replace("{id}", data.draw(some_id))
    fields = st.sampled_from(sorted({*route.params.fields, "expand"}))
    own = st.lists(st.tuples(fields, st.one_of(values, some_id)), max_size=4)
    body = urlencode(data.draw(st.one_of(own, forms)))
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if route.method == "POST":
        answer = await client.post(path, content=body, headers=headers)
    else:
        answer = await client.request(route.method, f"{path}?{body}")
    assert answer.status_code < 500, (route, body, answer.text)
    if answer.status_code == 200:
        shown = {k: v for k, v in answer.json().items() if k != "secret"}
        assert problems(shown) == [], (route, body)
    else:
        assert answer.json()["error"]["type"]


acts = st.lists(
    st.one_of(
        st.tuples(st.just("pay"), st.integers(50, 9_999)),
        st.tuples(st.just("decline"), st.integers(50, 9_999)),
        st.tuples(st.just("refund"), st.integers(1, 5_000)),
        st.tuples(st.just("subscribe"), st.integers(0, 5_000)),
        st.tuples(st.just("quantity"), st.integers(0, 6)),
        st.tuples(st.just("upgrade"), st.integers(0, 4)),
        st.tuples(st.just("days"), st.integers(1, 45)),
        st.tuples(st.just("break"), st.integers(0, 1)),
        st.tuples(st.just("cancel"), st.integers(0, 1)),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=examples(25, 400))
@given(acts)
def test_the_journal_is_the_sum_of_what_was_paid(story: list[tuple[str, int]]) -> None:
    """Whatever happens: journal = paid invoices + other intents - refunds, and it never loses."""

    async def run() -> None:
        app = create_app(Settings(seed=4, running=False))
        async with local(app) as client:
            await _Story(client).run(story)

    asyncio.run(run())


class _Story:
    """Acts on one account and then balances its books."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.subscriptions: list[str] = []
        self.product = ""
        self.customer = ""

    async def run(self, story: list[tuple[str, int]]) -> None:
        real = await seed_account(self.client)
        self.customer, self.product, self.subscriptions = real[0], real[2], [real[4]]
        await self._post(
            f"customers/{self.customer}", **{"invoice_settings[default_payment_method]": real[1]}
        )
        for act, amount in story:
            await getattr(self, f"do_{act}")(amount)
            await self.balance()

    async def _post(self, path: str, **form: Any) -> dict[str, Any]:
        answer = await self.client.post(f"/v1/{path}", data={k: str(v) for k, v in form.items()})
        assert answer.status_code < 500, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def do_pay(self, amount: int) -> None:
        form = {"amount": amount, "currency": "usd", "confirm": "true"}
        await self._post("payment_intents", **form, payment_method="pm_card_visa")

    async def do_decline(self, amount: int) -> None:
        form = {"amount": amount, "currency": "usd", "confirm": "true"}
        await self._post("payment_intents", **form, payment_method="pm_card_chargeDeclined")

    async def do_refund(self, amount: int) -> None:
        charges = (await self.client.get("/v1/charges")).json()["data"]
        if charges:
            await self._post("refunds", charge=charges[0]["id"], amount=amount)

    async def do_subscribe(self, amount: int) -> None:
        form = {"product": self.product, "currency": "usd", "unit_amount": amount}
        price = await self._post("prices", **form, **{"recurring[interval]": "month"})
        made = await self._post(
            "subscriptions", customer=self.customer, **{"items[0][price]": price["id"]}
        )
        if "id" in made:
            self.subscriptions.append(made["id"])

    async def do_quantity(self, quantity: int) -> None:
        await self._change(quantity, "create_prorations")

    async def do_upgrade(self, quantity: int) -> None:
        await self._change(quantity, "always_invoice")

    async def _change(self, quantity: int, behavior: str) -> None:
        path = f"subscriptions/{self.subscriptions[-1]}"
        found = (await self.client.get(f"/v1/{path}")).json()
        item = found["items"]["data"][0]["id"]
        form = {"items[0][id]": item, "items[0][quantity]": quantity}
        await self._post(path, **form, proration_behavior=behavior)

    async def do_days(self, days: int) -> None:
        now = (await self.client.get("/simulator/clock")).json()["now"]
        await self.client.post("/simulator/clock", json={"to": now + days * DAY_S})

    async def do_break(self, works: int) -> None:
        card = "pm_card_visa" if works else "pm_card_chargeCustomerFail"
        method = await self._post(f"payment_methods/{card}/attach", customer=self.customer)
        await self._post(
            f"customers/{self.customer}",
            **{"invoice_settings[default_payment_method]": method["id"]},
        )

    async def do_cancel(self, at_end: int) -> None:
        path = f"subscriptions/{self.subscriptions[-1]}"
        if at_end:
            await self._post(path, cancel_at_period_end="true")
        else:
            await self.client.delete(f"/v1/{path}")

    async def _all(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after: dict[str, str] = {}
        while True:
            page = (await self.client.get(path, params={"limit": "100", **after})).json()
            found += page["data"]
            if not page["has_more"]:
                return found
            after = {"starting_after": found[-1]["id"]}

    async def balance(self) -> None:
        """Check that journal, invoices, intents, refunds and balance tell the same."""
        journal = (await self.client.get("/simulator/journal")).json()
        invoices = await self._all("/v1/invoices")
        intents = await self._all("/v1/payment_intents")
        refunds = await self._all("/v1/refunds")
        of_invoices = {e["payment_intent"] for e in journal["entries"] if e["invoice"]}
        paid = sum(invoice["amount_paid"] for invoice in invoices)
        direct = sum(i["amount_received"] for i in intents if i["id"] not in of_invoices)
        refunded = sum(refund["amount"] for refund in refunds)
        assert journal["balances"].get("usd", 0) == paid + direct - refunded
        transactions = await self._all("/v1/balance_transactions")
        assert sum(t["amount"] for t in transactions) == journal["balances"].get("usd", 0)
        numbers = sorted(str(i["number"]) for i in invoices if i["number"])
        prefix = numbers[0].partition("-")[0]
        assert numbers == [f"{prefix}-{n:04d}" for n in range(1, len(numbers) + 1)]
        assert len({e["id"] for e in journal["entries"]}) == len(journal["entries"])
