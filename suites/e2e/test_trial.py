"""From signing up to the first usage, with units at hand and without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.e2e.steps import add_card, sign_up, sign_up_grant, units_of, use

if TYPE_CHECKING:
    from harness.session import Session

pytestmark = [
    pytest.mark.requires("create_customer", "record_usage", "get_balance"),
    pytest.mark.smoke,
]


@pytest.mark.requirement("BH-2", "BH-E2E-TRIAL")
def test_signing_up_grants_the_trial_units(billing: Session) -> None:
    """A new customer has the catalogue's sign-up units, and nothing else."""
    granted = sign_up_grant(billing)
    customer = sign_up(billing)
    units = units_of(billing, customer)
    assert units == granted, f"signing up left {units} units, the catalogue grants {granted}"


@pytest.mark.requirement("BH-1", "BH-E2E-TRIAL")
def test_first_usage_consumes_a_unit_and_charges_nothing(billing: Session) -> None:
    """The first usage of a trial costs one unit and no money."""
    granted = sign_up_grant(billing)
    customer = sign_up(billing)
    (first,) = use(billing, customer)
    units = units_of(billing, customer)
    assert units == granted - 1, f"one usage left {units} units of {granted}"
    assert not first.get("charged_minor"), f"a unit at hand was charged {first['charged_minor']}"


@pytest.mark.requirement("BH-1", "BH-E2E-TRIAL")
def test_usage_told_twice_counts_once(billing: Session) -> None:
    """The same usage told again gets its first answer and consumes nothing more."""
    granted = sign_up_grant(billing)
    customer = sign_up(billing)
    usage_id = billing.names.new("usage")
    for _ in range(2):
        billing.ok("record_usage", customer=customer, usage_id=usage_id, quantity=1)
    units = units_of(billing, customer)
    assert units == granted - 1, f"one usage told twice left {units} units of {granted}"


@pytest.mark.requirement("BH-4", "BH-E2E-BLOCKED")
def test_without_units_and_billing_usage_is_refused(billing: Session) -> None:
    """A trial that has used its units up and has no payment method is refused, and keeps all."""
    granted = sign_up_grant(billing)
    customer = sign_up(billing)
    use(billing, customer, granted)
    for _ in range(2):
        billing.refused(
            "record_usage", customer=customer, usage_id=billing.names.new("usage"), quantity=1
        )
    units = units_of(billing, customer)
    assert units == 0, f"a refused usage left {units} units, where 0 are due"


@pytest.mark.requires("add_payment_method")
@pytest.mark.requirement("BH-4", "BH-E2E-BLOCKED")
def test_a_refused_usage_goes_through_once_a_card_is_there(billing: Session) -> None:
    """What was refused for want of billing may be told again under its id after a card came."""
    granted = sign_up_grant(billing)
    customer = sign_up(billing)
    use(billing, customer, granted)
    usage_id = billing.names.new("usage")
    billing.refused("record_usage", customer=customer, usage_id=usage_id, quantity=1)
    add_card(billing, customer)
    billing.ok("record_usage", customer=customer, usage_id=usage_id, quantity=1)
