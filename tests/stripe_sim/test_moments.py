"""A request happens at one moment, however long it takes."""

import asyncio
import itertools

from simulators.stripe.app import create_app
from simulators.stripe.settings import Settings
from tests.stripe_sim.test_search import local


def test_a_second_that_begins_within_a_request_changes_nothing() -> None:
    """With a clock that moves at every look, a subscription's first period is whole, unprorated."""
    looks = itertools.count(1_800_000_000)

    async def subscribe() -> dict[str, object]:
        app = create_app(Settings(seed=3), wall=lambda: float(next(looks)))
        async with local(app) as client:
            customer = (await client.post("/v1/customers")).json()["id"]
            card = await client.post(
                "/v1/payment_methods/pm_card_visa/attach", data={"customer": customer}
            )
            product = (await client.post("/v1/products", data={"name": "P"})).json()["id"]
            form = {"product": product, "currency": "usd", "unit_amount": "59900"}
            price = await client.post("/v1/prices", data={**form, "recurring[interval]": "month"})
            form = {"customer": customer, "items[0][price]": price.json()["id"]}
            form |= {"items[0][quantity]": "3", "default_payment_method": card.json()["id"]}
            form |= {"expand[0]": "latest_invoice"}
            made = (await client.post("/v1/subscriptions", data=form)).json()
            line: dict[str, object] = made["latest_invoice"]["lines"]["data"][0]
            return line

    line = asyncio.run(subscribe())
    parent = line["parent"]
    assert isinstance(parent, dict)
    assert parent["subscription_item_details"]["proration"] is False
    assert line["amount"] == 3 * 59_900
