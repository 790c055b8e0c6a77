"""From the trial to paying for what goes beyond it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.e2e.steps import add_card, plan_of, sign_up, told, units_of, use, used_up

if TYPE_CHECKING:
    from harness.ground import Ground
    from harness.session import Session

pytestmark = [
    pytest.mark.requires("create_customer", "add_payment_method", "record_usage", "get_balance"),
    pytest.mark.smoke,
]
CHARGED = 3


@pytest.mark.requirement("BH-2", "BH-E2E-BILLING-ADDED")
def test_the_first_card_grants_its_units_once(billing: Session) -> None:
    """The first payment method brings the catalogue's units; a second one brings none."""
    grants = billing.target.profile.catalog.grants
    customer = sign_up(billing)
    add_card(billing, customer)
    add_card(billing, customer, "pm_card_mastercard")
    due = grants.sign_up + grants.billing_added
    units = units_of(billing, customer)
    assert units == due, f"two cards left {units} units, the catalogue makes it {due}"


@pytest.mark.requirement("BH-4", "BH-E2E-CONSENT")
def test_a_card_without_consent_is_refused(billing: Session) -> None:
    """A payment method without consent to be billed is refused, and grants nothing."""
    catalog = billing.target.profile.catalog
    if not catalog.consent_required:
        pytest.skip("the catalogue asks for no consent")
    customer = sign_up(billing)
    billing.refused("add_payment_method", customer=customer, token="pm_card_visa", consent=False)
    units = units_of(billing, customer)
    assert units == catalog.grants.sign_up, f"a refused card left {units} units"


@pytest.mark.requires(provider=True)
@pytest.mark.requirement("BH-1", "BH-3", "BH-E2E-TRIAL-TO-PAID")
def test_beyond_the_units_each_usage_is_charged_once(billing: Session, ground: Ground) -> None:
    """Beyond the units, as many charges stand in the journal as usages, each of the price."""
    _, payg = plan_of(billing, "payg")
    customer = used_up(billing)
    use(billing, customer, CHARGED)
    assert ground.provider is not None
    assert customer.provider_customer is not None
    journal = ground.provider.journal(frozenset({customer.provider_customer}))
    charged = [m.amount_minor for m in journal.movements if m.state == "succeeded"]
    due = [payg.overage_minor] * CHARGED
    assert charged == due, (
        f"the journal shows charges of {told(charged, billing)},"
        f" the catalogue makes it {told(due, billing)}"
    )


@pytest.mark.requires("list_payments")
@pytest.mark.requirement("BH-3", "BH-E2E-TRIAL-TO-PAID")
def test_every_charge_stands_in_the_payments(billing: Session) -> None:
    """The payments list shows each charged usage with the catalogue's price and currency."""
    catalog = billing.target.profile.catalog
    _, payg = plan_of(billing, "payg")
    customer = used_up(billing)
    use(billing, customer, CHARGED)
    listed = billing.ok("list_payments", customer=customer)["items"]
    shown = [(p["amount_minor"], p.get("currency", catalog.currency)) for p in listed]
    due = [(payg.overage_minor, catalog.currency)] * CHARGED
    amounts = [amount for amount, _ in shown]
    assert shown == due, (
        f"the payments show {told(amounts, billing)},"
        f" the catalogue makes it {told([amount for amount, _ in due], billing)}"
    )


@pytest.mark.requirement("BH-1", "BH-E2E-TRIAL-TO-PAID")
def test_a_charged_usage_told_again_is_not_charged_again(billing: Session) -> None:
    """The same charged usage told three times moves money once."""
    customer = used_up(billing)
    usage_id = billing.names.new("usage")
    for _ in range(3):
        billing.ok("record_usage", customer=customer, usage_id=usage_id, quantity=1)


@pytest.mark.requirement("BH-4", "BH-E2E-DECLINED")
def test_a_declined_card_charges_and_consumes_nothing(billing: Session) -> None:
    """Usage whose charge the card declines is refused; neither units nor money move."""
    customer = used_up(billing, "pm_card_chargeCustomerFail")
    billing.refused(
        "record_usage", customer=customer, usage_id=billing.names.new("usage"), quantity=1
    )
    units = units_of(billing, customer)
    assert units == 0, f"a declined charge left {units} units, where 0 are due"
