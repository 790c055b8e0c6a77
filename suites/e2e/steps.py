"""Steps that several stories take; every number comes from the target's catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.session import Customer, Session
    from harness.target.profile import Plan
    from harness.target.protocol import Outcome


def sign_up(billing: Session) -> Customer:
    """Make a customer and give it."""
    billing.ok("create_customer", email=billing.names.email(), name="Ada", source="direct")
    return billing.customers[-1]


def add_card(billing: Session, customer: Customer, card: str = "pm_card_visa") -> Outcome:
    """Add a payment method, with consent to be billed."""
    return billing.ok("add_payment_method", customer=customer, token=card, consent=True)


def use(billing: Session, customer: Customer, times: int = 1) -> list[Outcome]:
    """Record one unit of usage so many times, each under an id of its own."""
    return [
        billing.ok(
            "record_usage", customer=customer, usage_id=billing.names.new("usage"), quantity=1
        )
        for _ in range(times)
    ]


def units_of(billing: Session, customer: Customer) -> int:
    """Read the balance in units."""
    units = billing.ok("get_balance", customer=customer).get("units")
    assert isinstance(units, int), f"get_balance shows {units!r} units, where a number is due"
    return units


def plan_of(billing: Session, role: str) -> tuple[str, Plan]:
    """Give the name and facts of the plan that plays a part, or skip where there is none."""
    catalog = billing.target.profile.catalog
    for name, plan in catalog.plans.items():
        if (plan.role or name) == role:
            return name, plan
    pytest.skip(f"the catalogue has no plan that plays {role}")


def sign_up_grant(billing: Session) -> int:
    """Give the units that come with signing up, or skip where there are none."""
    granted = billing.target.profile.catalog.grants.sign_up
    if not granted:
        pytest.skip("the catalogue grants nothing at sign-up")
    return granted
