"""Subscribing to the plan with a monthly price, and leaving it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.e2e.steps import (
    assert_paid,
    cancel,
    holding,
    keeps_units,
    plan_of,
    sign_up,
    subscribed,
    units_of,
)

if TYPE_CHECKING:
    from harness.ground import Ground
    from harness.session import Session

pytestmark = [
    pytest.mark.requires("create_customer", "add_payment_method", "subscribe", "get_balance"),
    pytest.mark.smoke,
]


@pytest.mark.requirement("BH-2", "BH-3", "BH-E2E-SUBSCRIBE")
def test_subscribing_pays_once_and_grants_the_plans_units(billing: Session, ground: Ground) -> None:
    """A paid subscription adds what the plan includes, once, to the units that were there."""
    customer, _, due = subscribed(billing)
    if not keeps_units(billing):
        assert_paid(billing, ground, customer, [plan_of(billing, "pro")[1].price_minor])
        return
    units = units_of(billing, customer)
    assert units == due, f"subscribing left {units} units, the catalogue makes it {due}"


@pytest.mark.requirement("BH-4", "BH-E2E-SUBSCRIBE")
def test_subscribing_without_a_card_is_refused(billing: Session) -> None:
    """A subscription without a payment method is refused, and nothing is granted or paid."""
    name, _ = plan_of(billing, "pro")
    customer = sign_up(billing)
    before = holding(billing, customer)
    billing.refused("subscribe", customer=customer, plan=name, quantity=1)
    after = holding(billing, customer)
    assert after == before, f"a refused subscription turned {before} into {after}"


@pytest.mark.requirement("BH-1", "BH-E2E-SUBSCRIBE")
def test_subscribing_twice_is_refused_and_paid_once(billing: Session) -> None:
    """A customer who is subscribed cannot subscribe again; the second asking costs nothing."""
    name, _ = plan_of(billing, "pro")
    customer, _, _ = subscribed(billing)
    before = holding(billing, customer)
    billing.refused("subscribe", customer=customer, plan=name, quantity=1)
    after = holding(billing, customer)
    assert after == before, f"a refused second subscription turned {before} into {after}"


@pytest.mark.requires("cancel_subscription")
@pytest.mark.requirement("BH-8", "BH-E2E-CANCEL")
def test_cancelling_at_once_keeps_the_units(billing: Session) -> None:
    """A subscription that is cancelled at once ends; its units stay."""
    customer, answer, due = subscribed(billing)
    cancel(billing, customer, answer, at_period_end=False)
    units = units_of(billing, customer)
    assert units == due, f"cancelling left {units} units, where {due} are due"
