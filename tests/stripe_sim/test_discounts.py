"""Coupons, and what they take off invoices, prorations and renewals."""

from typing import Any

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from simulators.stripe.billing.discounts import _distribute
from tests.stripe_sim.conftest import Account
from tests.stripe_sim.stories import invoices, item_of, subscribe


def coupon(account: Account, **given: Any) -> str:
    """Return a new coupon."""
    return account.stripe.coupons.create(given or {"percent_off": 25}).id  # type: ignore[arg-type]  # typed by its keys


def totals(account: Account, subscription: str) -> list[int]:
    """Return what the subscription's invoices came to, oldest first."""
    return [invoice.total for invoice in invoices(account, subscription)]


def renew(account: Account, subscription: str, times: int = 1) -> None:
    """Let a subscription renew."""
    for _ in range(times):
        item = item_of(account.stripe.subscriptions.retrieve(subscription))
        account.advance(item.current_period_end + 3_600)


def test_a_coupon_for_good_comes_off_every_invoice(account: Account) -> None:
    """The invoice tells subtotal, total and which discount took what from which line."""
    made = subscribe(
        account,
        account.customer(),
        account.price(999),
        discounts=[{"coupon": coupon(account, percent_off=33.3, duration="forever")}],
        expand=["discounts.source.coupon"],
    )
    [discount] = made.discounts
    shown: Any = discount
    assert shown.source.coupon.percent_off == 33.3
    renew(account, made.id)
    assert totals(account, made.id) == [666, 666]
    [invoice, _] = invoices(account, made.id)
    [total] = invoice.total_discount_amounts or []
    [line] = invoice.lines.data
    [off] = line.discount_amounts or []
    assert (invoice.subtotal, total.amount, off.amount, off.discount) == (999, 333, 333, shown.id)


def test_a_coupon_for_once_is_used_up(account: Account) -> None:
    """It lowers the first invoice alone; one for months lasts that long."""
    customer, price = account.customer(), account.price(1_000)
    once = subscribe(account, customer, price, discounts=[{"coupon": coupon(account)}])
    months = coupon(account, percent_off=50, duration="repeating", duration_in_months=2)
    longer = subscribe(account, customer, price, discounts=[{"coupon": months}])
    for _ in range(2):
        renew(account, once.id)
    assert totals(account, once.id) == [750, 1_000, 1_000]
    assert totals(account, longer.id) == [500, 500, 1_000]
    assert account.stripe.subscriptions.retrieve(once.id).discounts == []


def test_an_amount_off_never_pays_out(account: Account) -> None:
    """It takes at most what is due; an invoice of nothing is paid at once, without a card."""
    off = coupon(account, amount_off=5_000, currency="usd", duration="forever")
    made = subscribe(
        account, account.customer(None), account.price(1_000), discounts=[{"coupon": off}]
    )
    assert made.status == "active"
    assert [(each.status, each.total) for each in invoices(account, made.id)] == [("paid", 0)]
    assert account.journal()["entries"] == []


def test_prorations_have_the_discount_in_them(account: Account) -> None:
    """A subscription that costs nothing earns no credit by changing."""
    free = coupon(account, percent_off=100, duration="forever")
    half = coupon(account, percent_off=50, duration="forever")
    customer = account.customer()
    for name, credit in ((free, 0), (half, -500)):
        made = subscribe(account, customer, account.price(1_000), discounts=[{"coupon": name}])
        account.stripe.subscriptions.cancel(made.id, {"prorate": True})
        [item] = account.stripe.invoice_items.list({"customer": customer, "limit": 1}).data
        assert item.amount == credit


def test_a_customers_coupon_is_for_all_without_their_own(account: Account) -> None:
    """The subscription's own discount comes first; taken away, nothing is off."""
    customer = account.customer()
    forever, other = (coupon(account, percent_off=each, duration="forever") for each in (10, 20))
    given: Any = {"coupon": forever}
    discount: Any = account.stripe.customers.update(customer, given).discount
    assert discount.source.coupon == forever
    price = account.price(1_000)
    plain = subscribe(account, customer, price)
    own = subscribe(account, customer, price, discounts=[{"coupon": other}])
    given["coupon"] = other
    account.stripe.customers.update(customer, given)
    third = subscribe(account, customer, price)
    account.stripe.customers.delete_discount(customer)
    account.stripe.subscriptions.delete_discount(own.id)
    assert [totals(account, each.id) for each in (plain, own, third)] == [[900], [800], [800]]
    renew(account, own.id)
    assert totals(account, own.id) == [800, 1_000]
    assert account.stripe.customers.retrieve(customer).discount is None
    with pytest.raises(stripe.InvalidRequestError, match="No active discount"):
        account.stripe.customers.delete_discount(customer)


def test_a_subscriptions_discounts_are_replaced(account: Account) -> None:
    """An update takes the old ones away and gives the new; ``""`` takes all."""
    first, second = (coupon(account, percent_off=each, duration="forever") for each in (10, 20))
    made = subscribe(
        account, account.customer(), account.price(1_000), discounts=[{"coupon": first}]
    )
    account.stripe.subscriptions.update(made.id, {"discounts": [{"coupon": second}]})
    renew(account, made.id)
    account.stripe.subscriptions.update(made.id, {"discounts": ""})
    renew(account, made.id)
    assert totals(account, made.id) == [900, 800, 1_000]


def test_coupons_run_out(account: Account) -> None:
    """After its last redemption, or deleted, a coupon is refused; discounts stay."""
    limited = coupon(account, percent_off=10, max_redemptions=1, duration="forever")
    customer, price = account.customer(), account.price(1_000)
    made = subscribe(account, customer, price, discounts=[{"coupon": limited}])
    assert not account.stripe.coupons.retrieve(limited).valid
    with pytest.raises(stripe.InvalidRequestError) as caught:
        subscribe(account, customer, price, discounts=[{"coupon": limited}])
    assert caught.value.code == "coupon_expired"
    assert account.stripe.coupons.delete(limited).deleted
    assert account.stripe.coupons.list().data == []
    renew(account, made.id)
    assert totals(account, made.id) == [900, 900]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({}, "exactly one"),
        ({"percent_off": "10", "amount_off": "5"}, "exactly one"),
        ({"amount_off": "5"}, "currency"),
        ({"percent_off": "100.5"}, "Invalid decimal"),
        ({"percent_off": "0"}, "Invalid decimal"),
        ({"percent_off": "5", "duration": "repeating"}, "repeating"),
    ],
)
def test_a_coupon_must_make_sense(account: Account, form: dict[str, str], said: str) -> None:
    """What it takes off, and for how long, is said exactly once."""
    answer = account.raw.post("/v1/coupons", data=form)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


def test_a_coupons_name_changes_and_its_id_is_taken(account: Account) -> None:
    """Name and metadata can be changed; an id is used once."""
    named = coupon(account, id="SPRING", percent_off=10)
    changed = account.stripe.coupons.update(named, {"name": "Spring", "metadata": {"a": "1"}})
    assert (changed.name, changed.id) == ("Spring", "SPRING")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        coupon(account, id="SPRING", percent_off=20)
    assert caught.value.code == "resource_already_exists"


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**7), max_size=8))
def test_a_discounts_shares_add_up(amount: int, bases: list[int]) -> None:
    """However lines divide a discount, no cent is lost and no line goes below nought."""
    off = min(amount, sum(bases))
    shares = _distribute(off, bases)
    assert sum(shares) == off
    assert all(0 <= share <= base for share, base in zip(shares, bases, strict=True))
