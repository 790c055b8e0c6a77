"""Told twice, told at once, told again much later: each thing takes effect once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from suites.e2e.steps import (
    add_card,
    insist,
    paid_minor,
    plan_of,
    settle,
    sign_up,
    told,
    units_of,
    use,
    used_up,
)

if TYPE_CHECKING:
    from harness.ground import Ground
    from harness.provider import SimulatorProvider
    from harness.session import Session
    from harness.target.protocol import Outcome
    from harness.timeline import Timeline

pytestmark = pytest.mark.requires("create_customer", "record_usage", "get_balance")
RIVALS = 8
# More often than a client tries within one request.
LOST: dict[str, Any] = {"method": "POST", "effect": "kept", "count": 4}


def _kinds(outcomes: list[Outcome]) -> dict[str, int]:
    """Count outcomes by kind."""
    kinds = [outcome.kind for outcome in outcomes]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


@pytest.mark.requires("add_payment_method", provider=True)
@pytest.mark.requirement("BH-1", "BH-3", "BH-E2E-LOST-ANSWER")
def test_a_charge_whose_answer_is_lost_is_made_once(
    billing: Session, ground: Ground, simulator: SimulatorProvider
) -> None:
    """Charged, and the provider's answer never came: the usage told again is not charged again."""
    _, payg = plan_of(billing, "payg")
    customer = used_up(billing)
    about: dict[str, Any] = {
        "customer": customer,
        "usage_id": billing.names.new("usage"),
        "quantity": 1,
    }
    with simulator.fault("reset", "charges", customer=str(customer.provider_customer), **LOST):
        billing.perform("record_usage", **about)
    insist(billing, "record_usage", **about)
    paid = paid_minor(ground, customer)
    assert paid == [payg.overage_minor], (
        f"one usage whose charge's answer was lost cost {told(paid, billing)},"
        f" where {told([payg.overage_minor], billing)} is due"
    )


@pytest.mark.requires("add_payment_method")
@pytest.mark.requirement("BH-6", "BH-E2E-KEYS")
def test_an_idempotency_key_is_its_tenants_own(billing: Session) -> None:
    """Two customers who happen to use the same key each have their own effect."""
    grants = billing.target.profile.catalog.grants
    key = billing.names.new("key")
    due = grants.sign_up + grants.billing_added
    for _ in range(2):
        customer = sign_up(billing)
        billing.ok(
            "add_payment_method",
            customer=customer,
            token="pm_card_visa",
            consent=True,
            idempotency_key=key,
        )
        units = units_of(billing, customer)
        assert units == due, f"a key that another customer used left {units} units, not {due}"


@pytest.mark.requirement("BH-1", "BH-4", "BH-E2E-KEYS")
def test_a_key_with_another_body_is_refused(billing: Session) -> None:
    """A key stands for one request: another one under it is refused, and consumes nothing."""
    if billing.target.profile.target.idempotency_header is None:
        pytest.skip("the target takes no idempotency key")
    customer = sign_up(billing)
    key, before = billing.names.new("key"), units_of(billing, customer)
    about: dict[str, Any] = {"customer": customer, "quantity": 1, "idempotency_key": key}
    billing.ok("record_usage", usage_id=billing.names.new("usage"), **about)
    billing.refused("record_usage", usage_id=billing.names.new("usage"), **about)
    units = units_of(billing, customer)
    assert units == before - 1, f"one usage and one refusal turned {before} units into {units}"


@pytest.mark.requires("adjust_credits")
@pytest.mark.requirement("BH-2", "BH-E2E-KEYS")
def test_one_key_sent_many_times_at_once_takes_effect_once(billing: Session) -> None:
    """The same request under the same key, many times at once, adds its units once."""
    if billing.target.profile.target.idempotency_header is None:
        pytest.skip("the target takes no idempotency key")
    customer = sign_up(billing)
    key, before = billing.names.new("key"), units_of(billing, customer)

    def adjust() -> Outcome:
        return billing.perform(
            "adjust_credits", customer=customer, units=3, reason="made good", idempotency_key=key
        )

    billing.together([adjust] * RIVALS)
    insist(
        billing,
        "adjust_credits",
        customer=customer,
        units=3,
        reason="made good",
        idempotency_key=key,
    )
    units = units_of(billing, customer)
    assert units == before + 3, f"one key for 3 units turned {before} units into {units}"


@pytest.mark.requires("add_payment_method", provider=True)
@pytest.mark.requirement("BH-1", "BH-E2E-KEYS")
def test_usage_told_again_days_later_is_not_charged_again(
    billing: Session, clock: Timeline, ground: Ground
) -> None:
    """A usage has no day after which it counts anew, though the provider forgets keys."""
    customer = used_up(billing)
    about: dict[str, Any] = {
        "customer": customer,
        "usage_id": billing.names.new("usage"),
        "quantity": 1,
    }
    billing.ok("record_usage", **about)
    clock.advance(days=3)
    billing.ok("record_usage", **about)
    paid = paid_minor(ground, customer)
    assert len(paid) == 1, f"one usage told three days apart cost {told(paid, billing)}"


@pytest.mark.requirement("BH-6", "BH-E2E-KEYS")
def test_a_usage_id_belongs_to_its_customer(billing: Session) -> None:
    """Two customers may use the same id for a usage; each pays for their own."""
    usage_id = billing.names.new("usage")
    for _ in range(2):
        customer = sign_up(billing)
        before = units_of(billing, customer)
        billing.ok("record_usage", customer=customer, usage_id=usage_id, quantity=1)
        units = units_of(billing, customer)
        assert units == before - 1, f"a usage under another's id turned {before} into {units}"


@pytest.mark.requirement("BH-2", "BH-E2E-RIVALS")
def test_usages_at_once_never_overdraw_the_balance(billing: Session) -> None:
    """At the last unit and without a card, of many usages at once one passes, and no more."""
    customer = sign_up(billing)
    use(billing, customer, units_of(billing, customer) - 1)
    usages = [billing.names.new("usage") for _ in range(RIVALS)]
    outcomes = billing.together(
        [
            lambda usage_id=usage_id: billing.perform(  # type: ignore[misc]  # bound now
                "record_usage", customer=customer, usage_id=usage_id, quantity=1
            )
            for usage_id in usages
        ]
    )
    kinds = _kinds(outcomes)
    assert kinds.get("ok", 0) <= 1, f"at one unit, usages at once were {kinds}"
    units = units_of(billing, customer)
    assert units == 1 - kinds.get("ok", 0) or "unknown" in kinds, f"{kinds} left {units} units"


@pytest.mark.requires("add_payment_method", provider=True)
@pytest.mark.requirement("BH-1", "BH-E2E-RIVALS")
def test_one_usage_told_many_times_at_once_is_charged_once(
    billing: Session, ground: Ground
) -> None:
    """The same charged usage told many times at once moves money once."""
    customer = used_up(billing)
    usage_id = billing.names.new("usage")
    act = lambda: billing.perform(  # noqa: E731 - one act, many times
        "record_usage", customer=customer, usage_id=usage_id, quantity=1
    )
    billing.together([act] * RIVALS)
    insist(billing, "record_usage", customer=customer, usage_id=usage_id, quantity=1)
    paid = paid_minor(ground, customer)
    assert len(paid) == 1, f"one usage told {RIVALS} times at once cost {told(paid, billing)}"


@pytest.mark.requires("add_payment_method", "subscribe", provider=True)
@pytest.mark.requirement("BH-1", "BH-8", "BH-E2E-RIVALS")
def test_subscribing_many_times_at_once_is_paid_once(billing: Session, ground: Ground) -> None:
    """Many clicks at once make one subscription, paid once."""
    name, plan = plan_of(billing, "pro")
    customer = sign_up(billing)
    add_card(billing, customer)
    act = lambda: billing.perform(  # noqa: E731 - one act, many times
        "subscribe", customer=customer, plan=name, quantity=1
    )
    outcomes = billing.together([act] * RIVALS)
    settle(billing, ground)
    paid = paid_minor(ground, customer)
    assert paid == [plan.price_minor], (
        f"{RIVALS} clicks at once ({_kinds(outcomes)}) cost {told(paid, billing)}"
    )
