"""Products, prices and plans."""

from typing import Any

import pytest
import stripe

from tests.stripe_sim.conftest import Account
from tests.stripe_sim.stories import invoices, item_of, subscribe


def test_a_product_comes_with_its_default_price(account: Account) -> None:
    """``default_price_data`` makes a price along with the product, told of in order."""
    product = account.stripe.products.create(
        {
            "name": "Pro",
            "default_price_data": {
                "currency": "usd",
                "unit_amount": 900,
                "recurring": {"interval": "month"},
            },
            "expand": ["default_price"],
        }
    )
    price: Any = product.default_price
    assert (price.unit_amount, price.product) == (900, product.id)
    assert account.event_types() == ["product.created", "plan.created", "price.created"]


def test_products_are_changed_listed_and_deleted(account: Account) -> None:
    """Fields and metadata merge; lists filter; a product with prices stays."""
    products = account.stripe.products
    first = products.create({"id": "prod_own", "name": "Own", "metadata": {"a": "1"}})
    second = products.create({"name": "Other", "active": False, "url": "https://example.com"})
    changed = products.update(first.id, {"name": "New", "metadata": {"a": "", "b": "2"}})
    assert (changed.name, changed.metadata.to_dict()) == ("New", {"b": "2"})
    assert [each.id for each in products.list({"active": False}).data] == [second.id]
    assert [each.id for each in products.list({"ids": [first.id]}).data] == [first.id]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        products.create({"id": "prod_own", "name": "Again"})
    assert caught.value.code == "resource_already_exists"
    price = account.stripe.prices.create(
        {"product": first.id, "currency": "usd", "unit_amount": 100}
    )
    assert products.update(first.id, {"default_price": price.id}).default_price == price.id
    with pytest.raises(stripe.InvalidRequestError, match="cannot be deleted"):
        products.delete(first.id)
    assert products.delete(second.id).deleted
    assert [each.id for each in products.list().data] == [first.id]


def test_a_price_makes_its_product(account: Account) -> None:
    """``product_data`` makes the product; without an amount or a product there is no price."""
    price = account.stripe.prices.create(
        {
            "currency": "usd",
            "unit_amount": 500,
            "nickname": "once",
            "product_data": {"name": "Made along"},
            "expand": ["product"],
        }
    )
    product: Any = price.product
    assert (product.name, price.type, price.recurring) == ("Made along", "one_time", None)
    for form, param in (
        ({"currency": "usd", "product": product.id}, "unit_amount"),
        ({"currency": "usd", "unit_amount": "5"}, "product"),
    ):
        error = account.raw.post("/v1/prices", data=form).json()["error"]
        assert (error["code"], error["param"]) == ("parameter_missing", param)


def test_a_price_keeps_its_amount(account: Account) -> None:
    """What is sold can be renamed or retired, never repriced; an inactive one is not sold."""
    price = account.price(1_000)
    prices = account.stripe.prices
    changed = prices.update(price, {"nickname": "old", "active": False, "metadata": {"a": "1"}})
    assert (changed.nickname, changed.active) == ("old", False)
    assert account.event_types()[-2:] == ["plan.updated", "price.updated"]
    refused = account.raw.post(f"/v1/prices/{price}", data={"unit_amount": "5"})
    assert refused.json()["error"]["code"] == "parameter_unknown"
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        subscribe(account, account.customer(), price)


def test_a_lookup_key_has_one_holder(account: Account) -> None:
    """It is refused to a second price unless it is transferred, and prices are found by it."""
    prices = account.stripe.prices
    first, second = account.price(100), account.price(200)
    prices.update(first, {"lookup_key": "pro"})
    with pytest.raises(stripe.InvalidRequestError, match="already uses"):
        prices.update(second, {"lookup_key": "pro"})
    prices.update(second, {"lookup_key": "pro", "transfer_lookup_key": True})
    assert prices.retrieve(first).lookup_key is None
    assert [each.id for each in prices.list({"lookup_keys": ["pro"]}).data] == [second]


def test_prices_are_listed_by_what_they_are(account: Account) -> None:
    """By product, kind, currency and interval."""
    monthly, yearly = account.stripe.prices.retrieve(account.price()), account.price(9, "year")
    product: Any = monthly.product
    filters: list[Any] = [
        {"recurring": {"interval": "month"}},
        {"product": product},
        {"type": "recurring", "active": True, "product": product},
    ]
    for given in filters:
        found = account.stripe.prices.list(given).data
        assert [each.id for each in found] == [monthly.id]
    assert len(account.stripe.prices.list({"currency": "usd"}).data) == 2
    assert account.stripe.prices.list({"currency": "eur"}).data == []
    assert yearly
    with pytest.raises(stripe.InvalidRequestError, match="three years"):
        account.price(1, "year", interval_count=4)


def test_a_plan_is_a_price_by_its_older_name(account: Account) -> None:
    """Made as a plan, it is subscribed to as a price, and changed under either name."""
    plans = account.stripe.plans
    plan = plans.create(
        {
            "id": "gold",
            "amount": 2_000,
            "currency": "usd",
            "interval": "month",
            "product": {"name": "Gold"},
        }
    )
    assert (plan.id, plan.amount, account.stripe.prices.retrieve("gold").unit_amount) == (
        "gold",
        2_000,
        2_000,
    )
    made = subscribe(account, account.customer(), "gold")
    assert invoices(account, made.id)[0].amount_paid == 2_000
    plans.update("gold", {"nickname": "au", "metadata": {"a": "1"}})
    assert account.stripe.prices.retrieve("gold").nickname == "au"
    assert plans.retrieve(account.price(700)).amount == 700
    product: Any = plan.product
    assert [each.id for each in plans.list({"product": product}).data] == ["gold"]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        plans.create(
            {"id": "gold", "amount": 1, "currency": "usd", "interval": "day", "product": product}
        )
    assert caught.value.code == "resource_already_exists"


def test_a_deleted_plan_keeps_its_subscribers(account: Account) -> None:
    """Nobody new can subscribe; who did is renewed at the same price."""
    price = account.price(1_000)
    made = subscribe(account, account.customer(), price)
    assert account.stripe.plans.delete(price).deleted
    for path in (f"/v1/plans/{price}", f"/v1/prices/{price}"):
        assert account.raw.get(path).status_code == 404
    assert account.stripe.prices.list().data == account.stripe.plans.list().data == []
    with pytest.raises(stripe.InvalidRequestError, match="No such price"):
        subscribe(account, account.customer(), price)
    account.advance(item_of(made).current_period_end + 3_600)
    assert [invoice.amount_paid for invoice in invoices(account, made.id)] == [1_000, 1_000]


def test_a_plan_needs_an_amount_and_a_product(account: Account) -> None:
    """What is missing is named; a one-time price is no plan."""
    form = {"currency": "usd", "interval": "month", "product[name]": "P"}
    missing = account.raw.post("/v1/plans", data=form).json()["error"]
    assert (missing["code"], missing["param"]) == ("parameter_missing", "amount")
    product = account.stripe.products.create({"name": "P"}).id
    once = account.stripe.prices.create({"product": product, "currency": "usd", "unit_amount": 5})
    assert account.raw.get(f"/v1/plans/{once.id}").status_code == 404
