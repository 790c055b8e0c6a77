"""Accounts: where they come from, one for each, nothing earned twice, and what closing leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.e2e.steps import add_card, holding, keeps_units, sign_up, units_of

if TYPE_CHECKING:
    from harness.session import Session

pytestmark = pytest.mark.requires("create_customer", "get_balance")


def _needs(billing: Session, operation: str, *, given: str = "", shown: str = "") -> None:
    """Skip where the target's operation does not take this input or show this output."""
    mapping = billing.target.profile.operations.get(operation)
    if mapping is None or (shown and shown not in mapping.reply):
        pytest.skip(f"the target's {operation} does not show {shown}")
    if given and f"{{{given}}}" not in repr((mapping.body, mapping.query)):
        pytest.skip(f"the target's {operation} does not take {given}")


@pytest.mark.requires("get_customer")
@pytest.mark.requirement("BH-E2E-MARKETPLACE")
def test_a_marketplace_customer_keeps_its_source(billing: Session) -> None:
    """Who came from the marketplace is told so from the first moment to the last change."""
    _needs(billing, "create_customer", given="installation")
    _needs(billing, "get_customer", shown="source")
    billing.ok(
        "create_customer",
        email=billing.names.email(),
        source="marketplace",
        installation=billing.names.new("install"),
    )
    customer = billing.customers[-1]
    if "add_payment_method" in billing.target.operations:
        add_card(billing, customer)
    source = billing.ok("get_customer", customer=customer).get("source")
    assert source == "marketplace", f"the customer's source is told as {source!r}"


@pytest.mark.requirement("BH-4", "BH-E2E-MARKETPLACE")
def test_an_installation_has_one_account(billing: Session) -> None:
    """The same installation told again, under another e-mail, is refused and grants nothing."""
    _needs(billing, "create_customer", given="installation")
    install = billing.names.new("install")
    email, other = billing.names.email(), billing.names.email()
    billing.ok("create_customer", email=email, source="marketplace", installation=install)
    before = units_of(billing, billing.customers[-1])
    billing.refused("create_customer", email=other, source="marketplace", installation=install)
    units = units_of(billing, billing.customers[0])
    assert units == before, f"an installation told again turned {before} units into {units}"


@pytest.mark.requirement("BH-2", "BH-4", "BH-E2E-TRIAL")
def test_an_email_has_one_account(billing: Session) -> None:
    """Signing up again with the same e-mail, in other letters too, is refused."""
    email = billing.names.email()
    billing.ok("create_customer", email=email, name="Ada", source="direct")
    before = holding(billing, billing.customers[0])
    for again in (email, email.upper()):
        billing.refused("create_customer", email=again, name="Ada", source="direct")
    after = holding(billing, billing.customers[0])
    assert after == before, f"signing up three times turned {before} into {after}"
    if keeps_units(billing):
        granted = billing.target.profile.catalog.grants.sign_up
        assert after["units"] == granted, f"signing up three times left {after['units']} units"


@pytest.mark.requires("add_payment_method", "list_payment_methods", "remove_payment_method")
@pytest.mark.requirement("BH-2", "BH-E2E-FARMING")
def test_removing_and_adding_a_card_earns_nothing(billing: Session) -> None:
    """The units for the first card come once in an account's life, however often it is added."""
    grants = billing.target.profile.catalog.grants
    customer = sign_up(billing)
    for _ in range(2):
        add_card(billing, customer)
        cards = billing.ok("list_payment_methods", customer=customer)["items"]
        for card in cards:
            billing.ok(
                "remove_payment_method",
                customer=customer,
                payment_method=card["payment_method"],
            )
    add_card(billing, customer)
    units = units_of(billing, customer)
    due = grants.sign_up + grants.billing_added
    assert units == due, f"one card added three times left {units} units, where {due} are due"


@pytest.mark.requires("close_customer", "record_usage")
@pytest.mark.requirement("BH-4", "BH-E2E-CLOSING")
def test_a_closed_account_uses_and_pays_nothing(billing: Session) -> None:
    """After closing, the old credential opens nothing, and no usage is taken."""
    customer = sign_up(billing)
    billing.ok("close_customer", customer=customer)
    billing.refused(
        "record_usage", customer=customer, usage_id=billing.names.new("usage"), quantity=1
    )


@pytest.mark.requires("close_customer")
@pytest.mark.requirement("BH-2", "BH-E2E-FARMING")
def test_closing_an_account_and_coming_back_earns_nothing(billing: Session) -> None:
    """The sign-up units come once in an e-mail's life: a new account of the old one has none."""
    email = billing.names.email()
    billing.ok("create_customer", email=email, name="Ada", source="direct")
    billing.ok("close_customer", customer=billing.customers[-1])
    billing.ok("create_customer", email=email, name="Ada", source="direct")
    units = units_of(billing, billing.customers[-1])
    assert units == 0, f"an account that was closed and made anew has {units} units for nothing"
