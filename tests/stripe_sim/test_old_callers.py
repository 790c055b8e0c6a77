"""Callers of older versions: what they may still say, and how discounts and previews look to them.

Before basil there were ``coupon``, ``price`` of an invoice item and ``/v1/invoices/upcoming``;
before clover a discount carried its coupon whole.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.stripe_sim.conformance import problems
from tests.stripe_sim.conftest import DAY_S, Account, Receiver
from tests.stripe_sim.stories import item_of, subscribe
from tests.stripe_sim.test_versions import NEWEST, OLDEST, objects_in, old_problems, with_sources

BASIL = "2025-08-27.basil"


def call(
    account: Account, method: str, path: str, version: str, form: dict[str, Any] | None = None
) -> Any:
    """Send a form, or a query, in a version; return the answer."""
    sent: Any = {"params" if method == "GET" else "data": form or {}}
    headers = {"Stripe-Version": version}
    return account.raw.request(method, f"/v1/{path}", headers=headers, **sent)


def basil_problems(shown: Any) -> list[str]:
    """Return what does not have basil's shape: the newest one, but for discounts."""
    discounts = [obj for obj in objects_in(shown) if obj["object"] == "discount"]
    found = [f"{each['id']}.source: not yet" for each in discounts if "source" in each]
    coupons = [problem for each in discounts for problem in problems(each["coupon"])]
    return [*found, *coupons, *problems(with_sources(shown))]


PROBLEMS: dict[str, Callable[[Any], list[str]]] = {
    OLDEST: old_problems,
    BASIL: basil_problems,
    NEWEST: problems,
}


def coupon(account: Account) -> str:
    """Return a new coupon that lasts."""
    return account.stripe.coupons.create({"percent_off": 25, "duration": "forever"}).id


@pytest.fixture
def discounted(account: Account) -> dict[str, str]:
    """Return a customer and a subscription, each with a coupon of its own."""
    customer = account.customer()
    given: Any = {"coupon": coupon(account)}
    account.stripe.customers.update(customer, given)
    made = subscribe(account, customer, account.price(), discounts=[{"coupon": coupon(account)}])
    account.advance(item_of(made).current_period_end + DAY_S)
    return {"customer": customer, "subscription": made.id}


@pytest.mark.parametrize("version", PROBLEMS)
def test_discounts_and_previews_have_the_versions_shape(
    account: Account, discounted: dict[str, str], version: str
) -> None:
    """Wherever a discount is shown: carried, listed by id and expanded, on a preview."""
    expand = {"expand[]": ["data.discounts", "data.customer"]}
    shown = [
        call(account, "GET", "customers", version),
        call(account, "GET", "subscriptions", version, expand),
        call(account, "GET", "invoices", version, expand),
        call(account, "POST", "invoices/create_preview", version, discounted),
    ]
    assert [each.status_code for each in shown] == [200] * 4
    assert [problem for each in shown for problem in PROBLEMS[version](each.json())] == []
    found = [o for each in shown for o in objects_in(each.json()) if o["object"] == "discount"]
    assert len(found) >= 4


def test_events_about_discounts_have_their_endpoints_shape(
    account: Account, open_receiver: Callable[..., Receiver]
) -> None:
    """One change of a discount, three endpoints, three shapes, previous attributes too."""
    receivers = {version: open_receiver() for version in PROBLEMS}
    for version, receiver in receivers.items():
        params: Any = {"url": receiver.url, "enabled_events": ["*"], "api_version": version}
        account.stripe.webhook_endpoints.create(params)
    customer = account.customer(None)
    for _ in range(2):
        given: Any = {"coupon": coupon(account)}
        account.stripe.customers.update(customer, given)
    account.settle()
    for version, receiver in receivers.items():
        events = [json.loads(body) for _, body in receiver.received]
        assert [problem for each in events for problem in PROBLEMS[version](each)] == []
        [changed] = [e["data"] for e in events if e["type"] == "customer.discount.updated"]
        name = "source" if version == NEWEST else "coupon"
        assert changed["previous_attributes"].keys() == {name}


def test_a_coupon_of_its_own(account: Account) -> None:
    """``coupon`` discounts a subscription for an old caller, an empty one ends that."""
    customer, name = account.customer(), coupon(account)
    form = {"customer": customer, "items[0][price]": account.price(), "coupon": name}
    made = call(account, "POST", "subscriptions", OLDEST, form).json()
    assert made["discount"]["coupon"]["id"] == name
    path = f"subscriptions/{made['id']}"
    assert call(account, "POST", path, OLDEST, {"coupon": ""}).json()["discount"] is None
    both = {"coupon": name, "discounts[0][coupon]": name}
    assert call(account, "POST", path, OLDEST, both).json()["error"]["param"] == "coupon"
    for version in (BASIL, NEWEST):
        refused = call(account, "POST", "subscriptions", version, form)
        assert refused.json()["error"]["code"] == "parameter_unknown"


def test_the_price_of_an_invoice_item(account: Account) -> None:
    """``price`` stands where ``pricing[price]`` stands now; a newer caller cannot say it."""
    product = account.stripe.products.create({"name": "Once"}).id
    price = account.stripe.prices.create(
        {"product": product, "currency": "usd", "unit_amount": 450}
    ).id
    form = {"customer": account.customer(), "price": price, "quantity": "2"}
    item = call(account, "POST", "invoiceitems", OLDEST, form).json()
    assert (item["amount"], item["price"]["id"]) == (900, price)
    refused = call(account, "POST", "invoiceitems", BASIL, form).json()["error"]
    assert (refused["code"], refused["param"]) == ("parameter_unknown", "price")


def test_the_upcoming_invoice(account: Account) -> None:
    """An old caller's upcoming invoice is the preview that a new caller gets."""
    made = subscribe(account, account.customer(), account.price(1_000))
    item, better = item_of(made).id, account.price(3_000)
    change = {"[items][0][id]": item, "[items][0][price]": better, "[proration_behavior]": "none"}
    new = {f"subscription_details{name}": value for name, value in change.items()}
    old = {f"subscription_{name[1:].replace(']', '', 1)}": value for name, value in change.items()}
    new["subscription"] = old["subscription"] = made.id
    seen = call(account, "GET", "invoices/upcoming", OLDEST, old).json()
    assert old_problems(seen) == []
    preview = call(account, "POST", "invoices/create_preview", NEWEST, new).json()
    assert seen["total"] == preview["total"] == 3_000
    assert seen["lines"]["data"][0]["price"]["id"] == better
    assert call(account, "GET", "invoices/upcoming", BASIL).status_code == 404
    assert len(account.stripe.invoices.list().data) == 1
