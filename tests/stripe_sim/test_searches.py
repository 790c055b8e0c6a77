"""Stripe's search query language."""

from typing import Any

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from simulators.stripe.errors import InvalidRequest
from simulators.stripe.resources.searches import parse
from tests.stripe_sim.conftest import Account
from tests.stripe_sim.stories import subscribe

CUSTOMER: dict[str, Any] = {
    "created": 1_000,
    "email": "Jane@Example.com",
    "metadata": {"plan": "gold", 'a"b': "x"},
    "name": "Jane Doe",
    "phone": None,
}


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ('email:"jane@example.com"', True),
        ("email:'jane@example.com'", True),
        ('email~"EXAMPLE"', True),
        ('name~"Doe" AND created>999', True),
        ("created>=1000 created<=1000", True),
        ("created<1000 OR created>1000", False),
        ("created:1000", True),
        ('name:"John" OR metadata["plan"]:"gold"', True),
        ('name:"Jane Doe" and -metadata["plan"]:"gold"', False),
        ("metadata['plan']:'silver'", False),
        ('metadata["none"]:null', True),
        ("-phone:null", False),
        ('phone:"1"', False),
        (r'name:"Jane \"D\" Doe"', False),
    ],
)
def test_queries_find_what_they_say(query: str, *, holds: bool) -> None:
    """Equality, parts, comparison, null, negation, AND and OR."""
    assert parse(query, "customer")(CUSTOMER) is holds


@pytest.mark.parametrize(
    "query",
    [
        "",
        "email",
        'email:"a" AND',
        'AND email:"a"',
        'email:"a" AND name:"b" OR name:"c"',
        'nothing:"a"',
        'email>"a"',
        'email~"ab"',
        "created:yesterday",
        "created>null",
        'metadata:"a"',
        'email["x"]:"a"',
        " AND ".join(['name:"a"'] * 11),
    ],
)
def test_queries_that_make_no_sense_are_refused(query: str) -> None:
    """Unknown fields, wrong operators, mixed AND and OR, halves of clauses, too many."""
    with pytest.raises(InvalidRequest):
        parse(query, "customer")


@given(st.text(alphabet="ab :~-\"'[]><=AND OR1null\\.", max_size=30))
def test_any_text_is_a_query_or_refused(query: str) -> None:
    """Nothing else than an error of the API comes of any text."""
    try:
        finds = parse(query, "customer")
    except InvalidRequest:
        return
    finds(CUSTOMER)


def test_what_is_stored_is_found_page_by_page(account: Account) -> None:
    """Results come newest first, with a token for the next page, through the official package."""
    made = [
        account.stripe.customers.create({"name": "Jane", "metadata": {"n": str(number)}}).id
        for number in range(5)
    ]
    account.stripe.customers.delete(made[2])
    first = account.stripe.customers.search({"query": 'name:"jane"', "limit": 3})
    assert [each.id for each in first.data] == [made[4], made[3], made[1]]
    assert first.has_more
    assert [each.id for each in first.auto_paging_iter()] == [made[4], made[3], made[1], made[0]]
    [one] = account.stripe.customers.search({"query": 'metadata["n"]:"3"'}).data
    assert one.id == made[3]
    with pytest.raises(stripe.InvalidRequestError, match="unable to parse"):
        account.stripe.customers.search({"query": "name"})


def test_money_and_billing_are_found(account: Account) -> None:
    """Payments, charges, subscriptions, invoices, products and prices by their own fields."""
    customer = account.customer()
    made = subscribe(account, customer, account.price(1_234), metadata={"order": "7"})
    found = account.stripe
    invoice: Any = made.latest_invoice
    query = f'customer:"{customer}" AND status:"paid" AND total>1000'
    assert [each.id for each in found.invoices.search({"query": query}).data] == [invoice]
    query = f'subscription:"{made.id}"'
    assert [each.id for each in found.invoices.search({"query": query}).data] == [invoice]
    query = 'status:"active" AND metadata["order"]:"7"'
    assert [each.id for each in found.subscriptions.search({"query": query}).data] == [made.id]
    query = 'amount:1234 AND currency:"usd" AND status:"succeeded"'
    assert len(found.payment_intents.search({"query": query}).data) == 1
    query = 'payment_method_details.card.last4:"4242" AND refunded:"false"'
    charges = found.charges.search({"query": query, "expand": ["data.customer"]}).data
    owner: Any = charges[0].customer
    assert owner.id == customer
    assert len(found.products.search({"query": 'name~"Pro" AND active:"true"'}).data) == 1
    assert len(found.prices.search({"query": 'type:"recurring"'}).data) == 1
