"""The rules of plans, grants and reversals, over wide inputs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.billing.domain import grants, plans
from simulators.billing.domain.plans import Catalogue
from simulators.billing.stripe_gateway.facts import InvoiceFacts

CATALOGUE = Catalogue(
    currency="usd",
    sign_up_credits=5,
    first_card_credits=5,
    payg_fix_price_minor=2900,
    pro_price_minor=59900,
    pro_included_credits=60,
    pro_fix_price_minor=1500,
    pro_rollover_cap=10,
    low_credit_threshold=3,
    free_coupons=frozenset({"FRIENDS"}),
)
RENEWAL = InvoiceFacts(
    id="in_2",
    stripe_customer_id="cus_1",
    subscription="sub_1",
    status="paid",
    billing_reason="subscription_cycle",
    amount_due_minor=59900,
    amount_paid_minor=59900,
    currency="usd",
    quantity=1,
    period_start=2000,
    period_end=3000,
    created_at=2000,
)
FIRST = replace(RENEWAL, id="in_1", billing_reason="subscription_create", period_start=1000)
balances = st.integers(min_value=0, max_value=10**6)


@given(balance=balances, quantity=st.integers(1, 1000))
def test_a_renewal_keeps_at_most_the_cap_and_adds_the_plans_credits(
    balance: int, quantity: int
) -> None:
    """After a renewal the balance is min(left, 10) + 60 for each unit, whatever was left."""
    invoice = replace(RENEWAL, quantity=quantity)
    units = grants.units_for_invoice(invoice, frozenset(), CATALOGUE)
    change = grants.renewal(invoice, units, balance, 10, rolled_through=1000)
    assert balance - change.expired + change.granted == min(balance, 10) + 60 * quantity
    assert change.expired >= 0


@given(balance=balances)
def test_the_first_paid_invoice_expires_nothing(balance: int) -> None:
    """Trial credits stay when a subscription starts."""
    assert grants.renewal(FIRST, 60, balance, 10, None) == grants.Renewal(0, 60)


@given(balance=balances)
def test_an_old_invoice_paid_late_grants_without_a_second_rollover(balance: int) -> None:
    """Rollover happens once per period, and never for a period that has passed."""
    assert grants.renewal(RENEWAL, 60, balance, 10, 2000) == grants.Renewal(0, 60)
    assert grants.renewal(RENEWAL, 60, balance, 10, 3000) == grants.Renewal(0, 60)


@pytest.mark.parametrize(
    ("changes", "coupons", "units"),
    [
        ({}, set(), 60),
        ({"billing_reason": "subscription_create"}, set(), 60),
        ({"quantity": 3}, set(), 180),
        ({"billing_reason": "subscription_update"}, set(), 0),
        ({"billing_reason": "manual"}, set(), 0),
        ({"billing_reason": None}, set(), 0),
        ({"amount_paid_minor": 0}, set(), 0),
        ({"amount_paid_minor": 0}, {"STOLEN"}, 0),
        ({"amount_paid_minor": 0}, {"FRIENDS"}, 60),
        ({"amount_paid_minor": 1}, set(), 60),
    ],
)
def test_only_paid_starts_and_renewals_bring_credits(
    changes: dict[str, object], coupons: set[str], units: int
) -> None:
    """Prorations, manual invoices and unexplained zeros bring none."""
    invoice = replace(RENEWAL, **changes)  # type: ignore[arg-type]  # each value fits its field
    assert grants.units_for_invoice(invoice, coupons, CATALOGUE) == units


@given(
    units=st.integers(0, 600),
    amount_minor=st.integers(1, 10**8),
    parts=st.lists(st.integers(1, 10**7), max_size=8),
)
def test_partial_refunds_take_back_what_the_charge_bought_and_no_more(
    units: int, amount_minor: int, parts: list[int]
) -> None:
    """However a charge is refunded, the credits that go back follow the money, rounded down."""
    lost = taken = 0
    for part in parts:
        change = grants.units_lost(units, amount_minor, lost, part)
        assert change >= 0
        lost, taken = lost + part, taken + change
    assert taken == units * min(lost, amount_minor) // amount_minor


@pytest.mark.parametrize(
    ("plan", "balance", "has_billing", "expected"),
    [
        ("trial", 4, False, None),
        ("trial", 3, False, "low_credits"),
        ("trial", 1, True, "low_credits"),
        ("trial", 0, False, "out_of_credits_no_billing"),
        ("trial", 0, True, "low_credits"),
        ("payg", 0, True, None),
        ("payg", 2, True, "low_credits"),
        ("payg", 0, False, "out_of_credits_no_billing"),
        ("pro", 3, True, "low_credits"),
        ("pro", 60, True, None),
    ],
)
def test_warnings_come_in_time(
    plan: str,
    balance: int,
    *,
    has_billing: bool,
    expected: str | None,
) -> None:
    """A customer is warned at the threshold, and when nothing is left to pay with."""
    assert plans.warning(plan, balance, 3, has_billing=has_billing) == expected


@pytest.mark.parametrize(
    ("status", "before", "after"),
    [
        ("active", "trial", "pro"),
        ("trialing", "payg", "pro"),
        ("past_due", "pro", "pro"),
        ("canceled", "pro", "payg"),
        ("unpaid", "pro", "payg"),
        ("paused", "pro", "payg"),
        ("incomplete", "trial", "trial"),
        ("incomplete_expired", "payg", "payg"),
    ],
)
def test_a_plan_follows_its_subscription(status: str, before: str, after: str) -> None:
    """Pro lasts as long as the subscription pays or may yet pay; a failed start changes nothing."""
    assert plans.plan_under(status, before) == after


def test_a_fix_costs_what_its_plan_says() -> None:
    """Trial customers with a card pay the payg price; pro has its own."""
    prices = {plan: CATALOGUE.fix_price_minor(plan) for plan in ("trial", "payg", "pro")}
    assert prices == {"trial": 2900, "payg": 2900, "pro": 1500}
