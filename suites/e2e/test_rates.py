"""What a unit costs: on each plan, after each change, and what the customer is warned of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.e2e.steps import (
    add_card,
    assert_paid,
    cancel,
    charge_of_next,
    holding,
    keeps_units,
    plan_of,
    sign_up,
    sign_up_grant,
    subscribed,
    told,
    units_of,
    use,
    used_up,
)

if TYPE_CHECKING:
    from harness.ground import Ground
    from harness.provider import SimulatorProvider
    from harness.session import Customer, Session

# Zones are whole quarters of an hour apart; two clocks that follow each other are not.
CLOCKS_APART_S = 120

pytestmark = pytest.mark.requires(
    "create_customer", "add_payment_method", "record_usage", "get_balance"
)


def _shown(billing: Session, customer: Customer, output: str) -> object:
    """Read one output of the balance; skip where the target does not show it."""
    if output not in billing.target.profile.operations["get_balance"].reply:
        pytest.skip(f"the target does not show {output}")
    return billing.ok("get_balance", customer=customer).get(output)


def _assert_costs(billing: Session, customer: Customer, due: int | None) -> None:
    charged = charge_of_next(billing, customer)
    assert charged == due, (
        f"the next usage was charged {told([charged], billing)},"
        f" the catalogue says {told([due], billing)}"
    )


@pytest.mark.requires("subscribe")
@pytest.mark.requirement("BH-3", "BH-E2E-OVERAGE")
def test_usage_beyond_the_plan_is_charged_at_its_own_rate(billing: Session) -> None:
    """A subscriber who has used every unit pays the plan's rate for the next."""
    _, plan = plan_of(billing, "pro")
    customer, _, units = subscribed(billing)
    use(billing, customer, units)
    _assert_costs(billing, customer, plan.overage_minor)


@pytest.mark.requires("subscribe", "cancel_subscription")
@pytest.mark.requirement("BH-8", "BH-E2E-CANCEL")
def test_after_cancelling_at_once_usage_costs_the_payg_rate(billing: Session) -> None:
    """An immediate cancellation keeps the units and ends the plan's rate with them."""
    _, payg = plan_of(billing, "payg")
    customer, answer, units = subscribed(billing)
    cancel(billing, customer, answer, at_period_end=False)
    use(billing, customer, units)
    _assert_costs(billing, customer, payg.overage_minor)


@pytest.mark.requires("subscribe", "cancel_subscription")
@pytest.mark.requirement("BH-8", "BH-E2E-CANCEL")
def test_a_scheduled_end_keeps_the_plan_until_then(billing: Session) -> None:
    """Who cancels for the end of the period keeps the plan's rate while it lasts."""
    _, plan = plan_of(billing, "pro")
    customer, answer, units = subscribed(billing)
    cancel(billing, customer, answer, at_period_end=True)
    use(billing, customer, units)
    _assert_costs(billing, customer, plan.overage_minor)


@pytest.mark.requires("subscribe", "cancel_subscription")
@pytest.mark.requirement("BH-2", "BH-3", "BH-E2E-RESUBSCRIBE")
def test_subscribing_again_pays_and_grants_again(billing: Session, ground: Ground) -> None:
    """A second subscription after a cancelled one is paid for, and brings its own units."""
    customer, answer, _ = subscribed(billing)
    cancel(billing, customer, answer, at_period_end=False)
    name, plan = plan_of(billing, "pro")
    if not keeps_units(billing):
        subscribed(billing, customer)
        assert_paid(billing, ground, customer, [plan.price_minor] * 2)
        return
    before = units_of(billing, customer)
    billing.ok("subscribe", customer=customer, plan=name, quantity=1)
    billing.until(lambda b: b.get("units") != before, "get_balance", customer=customer)
    units = units_of(billing, customer)
    kept = {before, min(before, plan.rollover_cap or before)}  # a rollover is the target's to make
    assert units - plan.included_units in kept, f"subscribing again turned {before} into {units}"


@pytest.mark.requires("subscribe")
@pytest.mark.requirement("BH-2", "BH-3", "BH-E2E-QUANTITY")
def test_quantity_multiplies_price_and_units(billing: Session, ground: Ground) -> None:
    """Three seats cost three times the plan, and bring three times its units."""
    customer, _, due = subscribed(billing, quantity=3)
    if not keeps_units(billing):
        assert_paid(billing, ground, customer, [plan_of(billing, "pro")[1].price_minor * 3])
        return
    units = units_of(billing, customer)
    assert units == due, f"three seats left {units} units, where {due} are due"


@pytest.mark.requires("subscribe", "list_invoices", "list_payments")
@pytest.mark.requirement("BH-10", "BH-E2E-QUANTITY")
def test_invoices_and_payments_show_the_same_amounts(billing: Session) -> None:
    """What the invoice of three seats says was paid is what the payments show, to the cent."""
    customer, _, _ = subscribed(billing, quantity=3)
    invoices = billing.ok("list_invoices", customer=customer)["items"]
    payments = billing.ok("list_payments", customer=customer)["items"]
    invoiced = sorted(item["amount_minor"] for item in invoices)
    paid = sorted(item["amount_minor"] for item in payments)
    assert invoiced == paid, (
        f"the invoices show {told(invoiced, billing)}, the payments {told(paid, billing)}"
    )


@pytest.mark.requires("subscribe", "change_subscription", provider=True)
@pytest.mark.requirement("BH-2", "BH-E2E-QUANTITY")
def test_a_seat_more_in_mid_period_grants_nothing_by_itself(billing: Session) -> None:
    """Units come with a period's start and its payment, never with a change in between."""
    customer, answer, before = subscribed(billing)
    billing.ok(
        "change_subscription",
        customer=customer,
        subscription=answer.get("subscription"),
        quantity=2,
    )
    units = units_of(billing, customer)
    assert units == before, f"one seat more turned {before} units into {units}"


@pytest.mark.requires("subscribe")
@pytest.mark.requirement("BH-4", "BH-E2E-DECLINED")
@pytest.mark.parametrize("card", ["pm_card_chargeCustomerFail", "pm_card_authenticationRequired"])
def test_a_subscription_that_is_not_paid_grants_nothing(billing: Session, card: str) -> None:
    """A card that declines or asks its holder leaves no subscription's units behind."""
    name, _ = plan_of(billing, "pro")
    customer = sign_up(billing)
    add_card(billing, customer, card)
    before = holding(billing, customer)
    billing.refused("subscribe", customer=customer, plan=name, quantity=1)
    after = holding(billing, customer)
    assert after == before, f"an unpaid subscription turned {before} into {after}"


@pytest.mark.requirement("BH-4", "BH-E2E-DECLINED")
def test_usage_that_asks_the_cards_holder_is_refused(billing: Session) -> None:
    """A charge that waits for its holder moves neither units nor money."""
    customer = used_up(billing, "pm_card_authenticationRequired")
    billing.refused(
        "record_usage", customer=customer, usage_id=billing.names.new("usage"), quantity=1
    )
    assert units_of(billing, customer) == 0, "a charge that waits for its holder left units"


@pytest.mark.requirement("BH-2", "BH-4", "BH-E2E-DECLINED")
@pytest.mark.parametrize(
    "card",
    [
        "pm_card_visa_chargeDeclined",
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        "pm_card_visa_chargeDeclinedExpiredCard",
    ],
)
def test_a_card_that_its_bank_declines_is_not_added(billing: Session, card: str) -> None:
    """A declined card is refused, brings no units, and is not there to be charged."""
    customer = sign_up(billing)
    before = holding(billing, customer)
    billing.refused("add_payment_method", customer=customer, token=card, consent=True)
    after = holding(billing, customer)
    assert after == before, f"a declined card turned {before} into {after}"
    if keeps_units(billing):
        use(billing, customer, units_of(billing, customer))
    billing.refused(
        "record_usage", customer=customer, usage_id=billing.names.new("usage"), quantity=1
    )


@pytest.mark.requirement("BH-1", "BH-E2E-DECLINED")
def test_usage_refused_by_one_card_is_charged_to_the_next(billing: Session) -> None:
    """The same usage told again after a new card came is charged once, to that card."""
    _, payg = plan_of(billing, "payg")
    customer = used_up(billing, "pm_card_chargeCustomerFail")
    usage_id = billing.names.new("usage")
    billing.refused("record_usage", customer=customer, usage_id=usage_id, quantity=1)
    add_card(billing, customer)
    used = billing.ok("record_usage", customer=customer, usage_id=usage_id, quantity=1)
    charged = used.get("charged_minor")
    assert charged in {None, payg.overage_minor}, (
        f"the usage was charged {told([charged], billing)},"
        f" the catalogue says {told([payg.overage_minor], billing)}"
    )


@pytest.mark.requirement("BH-10", "BH-E2E-WARNINGS")
def test_few_units_left_are_warned_of(billing: Session) -> None:
    """At the catalogue's threshold the balance warns, and above it it does not."""
    granted = sign_up_grant(billing)
    threshold = billing.target.profile.catalog.low_credit_threshold
    if not threshold or threshold >= granted:
        pytest.skip("the catalogue has no threshold below its sign-up units")
    customer = sign_up(billing)
    assert not _shown(billing, customer, "warning"), "a full balance warns"
    use(billing, customer, granted - threshold)
    warning = _shown(billing, customer, "warning")
    assert warning == "low_credits", f"{threshold} units left are told as {warning!r}"


@pytest.mark.requirement("BH-10", "BH-E2E-WARNINGS")
def test_no_units_and_no_card_are_warned_of(billing: Session) -> None:
    """Who has neither units nor a card is warned that the next usage will be refused."""
    customer = used_up(billing, card=None)
    warning = _shown(billing, customer, "warning")
    assert warning == "out_of_credits_no_billing", f"an empty balance is told as {warning!r}"


@pytest.mark.requirement("BH-10", "BH-E2E-USAGE")
def test_the_next_price_shown_is_the_price_charged(billing: Session) -> None:
    """What the balance says of the next usage's price is what it then costs."""
    customer = used_up(billing) if keeps_units(billing) else subscribed(billing)[0]
    shown = _shown(billing, customer, "next_price_minor")
    charged = charge_of_next(billing, customer)
    assert shown == charged, (
        f"the balance showed {shown} for the next usage, it was charged {told([charged], billing)}"
    )


@pytest.mark.requires("list_ledger")
@pytest.mark.requirement("BH-10", "BH-E2E-USAGE")
def test_an_entry_is_dated_when_it_was_made(billing: Session, simulator: SimulatorProvider) -> None:
    """The ledger dates each entry by when it was made, in Unix time, whatever the office's zone."""
    began = simulator.now()
    customer = sign_up(billing)
    use(billing, customer)
    ended = simulator.now()
    entries = billing.ok("list_ledger", customer=customer)["items"]
    dated = [entry["at"] for entry in entries if isinstance(entry.get("at"), int)]
    if not dated:
        pytest.skip("list_ledger shows no times")
    off_s = max(max(began - at, at - ended) for at in dated)
    assert off_s <= CLOCKS_APART_S, f"an entry of this minute is dated {off_s} s off"
