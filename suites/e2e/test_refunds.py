"""Money that goes back: refunds and disputes, to the cent, with what they had bought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from suites.e2e.steps import (
    add_card,
    cancel,
    insist,
    keeps_units,
    needs_units,
    plan_of,
    settle,
    sign_up,
    subscribed,
    told,
    units_of,
    use,
)

if TYPE_CHECKING:
    from harness.ground import Ground
    from harness.provider import SimulatorProvider
    from harness.session import Customer, Session
    from harness.target.protocol import Outcome

pytestmark = pytest.mark.requires(
    *("create_customer", "add_payment_method", "subscribe", "get_balance"),
    *("list_payments", "refund_payment"),
    provider=True,
)
# Amounts that a binary fraction does not hold: 0.29 * 100 is 28.999999999999996.
AWKWARD_MINOR = (29, 57, 58, 113, 1999)
SLOW_S = 0.5
# More often than a client tries within one request.
LOST: dict[str, Any] = {"method": "POST", "effect": "kept", "count": 4}


def _payment(billing: Session, customer: Customer) -> str:
    """Give the target's id of the newest charge."""
    items: list[dict[str, Any]] = billing.ok("list_payments", customer=customer)["items"]
    charge = next((item for item in items if item["amount_minor"] > 0), None)
    if charge is None or not charge.get("payment"):
        pytest.skip("list_payments shows no id of a payment")
    return str(charge["payment"])


def _part_of_it(billing: Session, customer: Customer) -> dict[str, Any]:
    """Give what asks for a part of the newest charge back, under a key of its own."""
    return {
        "customer": customer,
        "payment": _payment(billing, customer),
        "amount_minor": AWKWARD_MINOR[-1],
        "idempotency_key": billing.names.new("key"),
    }


def _given_back(ground: Ground, customer: Customer) -> list[int]:
    """Give what the provider gave back, in minor units, oldest first."""
    assert ground.provider is not None
    assert customer.provider_customer is not None
    journal = ground.provider.journal(frozenset({customer.provider_customer}))
    return [-m.amount_minor for m in journal.movements if m.type == "refund"]


@pytest.mark.requirement("BH-2", "BH-3", "BH-E2E-REFUND")
def test_a_refund_takes_back_what_it_had_bought(billing: Session, ground: Ground) -> None:
    """A plan's price given back in full takes the plan's units with it."""
    _, plan = plan_of(billing, "pro")
    customer, _, before = subscribed(billing)
    billing.ok("refund_payment", customer=customer, payment=_payment(billing, customer))
    due = before - plan.included_units
    settle(billing, ground)
    back = _given_back(ground, customer)
    assert back == [plan.price_minor], f"the provider gave {told(back, billing)} back"
    if keeps_units(billing):
        units = units_of(billing, customer)
        assert units == due, f"a refund left {units} units, where {due} are due"


@pytest.mark.requires("record_usage", "cancel_subscription")
@pytest.mark.requirement("BH-2", "BH-E2E-REFUND")
def test_what_is_owed_is_taken_from_the_next_grant(billing: Session) -> None:
    """Units that were used and then refunded are owed, and come off what is granted next."""
    _, plan = plan_of(billing, "pro")
    needs_units(billing)
    customer, answer, units = subscribed(billing)
    left = plan.included_units // 4
    use(billing, customer, units - left)
    billing.ok("refund_payment", customer=customer, payment=_payment(billing, customer))
    billing.until(lambda b: b.get("units") == 0, "get_balance", customer=customer)
    cancel(billing, customer, answer, at_period_end=False)
    name, _ = plan_of(billing, "pro")
    billing.ok("subscribe", customer=customer, plan=name, quantity=1)
    balance = billing.until(lambda b: b.get("units") > 0, "get_balance", customer=customer)
    # Of what the refund took back, so much was there to be taken; the rest is owed.
    assert balance["units"] == left, (
        f"with {plan.included_units - left} units owed a new grant left {balance['units']},"
        f" where {left} are due"
    )


@pytest.mark.requirement("BH-3", "BH-E2E-REFUND")
def test_a_partial_refund_is_exact_to_the_cent(billing: Session, ground: Ground) -> None:
    """Whatever amount is asked to be given back, that amount is, and not a cent less."""
    customer, _, _ = subscribed(billing)
    about: dict[str, Any] = {"customer": customer, "payment": _payment(billing, customer)}
    for amount_minor in AWKWARD_MINOR:
        billing.ok("refund_payment", amount_minor=amount_minor, **about)
    back = _given_back(ground, customer)
    assert back == list(AWKWARD_MINOR), (
        f"the provider gave {told(back, billing)} back, {told(AWKWARD_MINOR, billing)} were asked"
    )


@pytest.mark.requirement("BH-3", "BH-4", "BH-E2E-REFUND")
def test_refunds_never_exceed_their_charge(billing: Session, ground: Ground) -> None:
    """What was given back in full is not given back again, though two ask at once."""
    _, plan = plan_of(billing, "pro")
    customer, _, _ = subscribed(billing)
    about: dict[str, Any] = {"customer": customer, "payment": _payment(billing, customer)}
    act = lambda: billing.perform(  # noqa: E731 - one act, twice
        "refund_payment", amount_minor=plan.price_minor, **about
    )
    billing.together([act, act])
    billing.refused("refund_payment", amount_minor=1, **about)
    back = _given_back(ground, customer)
    assert back == [plan.price_minor], (
        f"of {told([plan.price_minor], billing)} the provider gave {told(back, billing)} back"
    )


@pytest.mark.requirement("BH-4", "BH-E2E-REFUND")
@pytest.mark.parametrize("amount_minor", [0, -100])
def test_a_refund_of_nothing_is_refused(
    billing: Session, ground: Ground, amount_minor: int
) -> None:
    """Nothing, or less than nothing, cannot be given back, and moves no money."""
    customer, _, _ = subscribed(billing)
    about: dict[str, Any] = {"customer": customer, "payment": _payment(billing, customer)}
    billing.refused("refund_payment", amount_minor=amount_minor, **about)
    back = _given_back(ground, customer)
    assert back == [], f"a refund of {amount_minor} gave {told(back, billing)} back"


@pytest.mark.requirement("BH-3", "BH-E2E-LOST-ANSWER")
def test_a_refund_whose_answer_is_lost_is_made_once(
    billing: Session, ground: Ground, simulator: SimulatorProvider
) -> None:
    """Given back, and the provider's answer never came: asked again, it is not given twice."""
    customer, _, _ = subscribed(billing)
    about = _part_of_it(billing, customer)
    with simulator.fault("reset", "refunds", customer=str(customer.provider_customer), **LOST):
        billing.perform("refund_payment", **about)
    insist(billing, "refund_payment", **about)
    back = _given_back(ground, customer)
    assert back == [AWKWARD_MINOR[-1]], f"one refund gave {told(back, billing)} back"


@pytest.mark.requirement("BH-3", "BH-E2E-KEYS")
def test_a_refund_asked_again_before_its_answer_is_made_once(
    billing: Session, ground: Ground, simulator: SimulatorProvider
) -> None:
    """Asked twice under one key while the provider takes its time, a refund is given once."""
    if billing.target.profile.target.idempotency_header is None:
        pytest.skip("the target takes no idempotency key")
    customer, _, _ = subscribed(billing)
    about = _part_of_it(billing, customer)

    def refund() -> Outcome:
        return billing.perform("refund_payment", **about)

    slow = {"method": "POST", "effect": "last", "seconds": SLOW_S}
    with simulator.fault("latency", "refunds", customer=str(customer.provider_customer), **slow):
        billing.together([refund] * 2)
    insist(billing, "refund_payment", **about)
    back = _given_back(ground, customer)
    assert back == [AWKWARD_MINOR[-1]], f"one refund asked twice gave {told(back, billing)} back"


@pytest.mark.requirement("BH-2", "BH-3", "BH-E2E-DISPUTE")
def test_a_dispute_is_booked_and_takes_back_what_it_had_bought(billing: Session) -> None:
    """A charge that its holder disputes takes the units it had bought, and stands in the books."""
    name, plan = plan_of(billing, "pro")
    customer = sign_up(billing)
    add_card(billing, customer, "pm_card_createDispute")
    before = units_of(billing, customer) if keeps_units(billing) else None
    billing.ok("subscribe", customer=customer, plan=name, quantity=1)
    payments = billing.until(
        lambda page: any(item["amount_minor"] < 0 for item in page["items"]),
        "list_payments",
        customer=customer,
    )
    moved = sum(item["amount_minor"] for item in payments["items"])
    assert moved == 0, f"a disputed charge of {told([plan.price_minor], billing)} left {moved}"
    if before is not None:
        balance = billing.until(lambda b: b["units"] <= before, "get_balance", customer=customer)
        assert balance["units"] == before, f"a dispute left {balance['units']} units, not {before}"
