"""Steps that several stories take; every number comes from the target's catalogue."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import Unknown
from harness.money import spoken
from harness.timeline import HOUR_S, drain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.ground import Ground
    from harness.session import Customer, Session
    from harness.target.profile import Plan
    from harness.target.protocol import Outcome
    from harness.timeline import Timeline

INSIST_S = 15.0
# A renewal is drafted, and finalised and paid an hour later.
PAID_AFTER_S = 2 * HOUR_S
BAD_CARD = "pm_card_chargeCustomerFail"


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


def subscribed(
    billing: Session, customer: Customer | None = None, quantity: int = 1
) -> tuple[Customer, Outcome, int]:
    """Subscribe a customer with a card, a new one if none is given, to the plan that plays pro.

    Gives it, the answer, and the balance once the units are there; 0 of a target without units.
    """
    name, plan = plan_of(billing, "pro")
    if customer is None:
        customer = sign_up(billing)
        add_card(billing, customer)
    if not keeps_units(billing):
        return customer, _paid(billing, customer, name, quantity), 0
    before = units_of(billing, customer)
    answer = billing.ok("subscribe", customer=customer, plan=name, quantity=quantity)
    due = before + plan.included_units * quantity
    billing.until(lambda balance: balance.get("units") >= due, "get_balance", customer=customer)
    return customer, answer, due


def _paid(billing: Session, customer: Customer, plan: str, quantity: int) -> Outcome:
    """Subscribe, and wait until the payments show it where the target lists them."""
    listed = "list_payments" in billing.target.operations
    before = billing.ok("list_payments", customer=customer)["items"] if listed else []
    answer = billing.ok("subscribe", customer=customer, plan=plan, quantity=quantity)
    if listed:
        billing.until(
            lambda page: len(page["items"]) > len(before), "list_payments", customer=customer
        )
    return answer


def cancel(
    billing: Session, customer: Customer, answer: Outcome, *, at_period_end: bool
) -> Outcome:
    """Cancel what was subscribed to, at once or for when the paid period ends."""
    return billing.ok(
        "cancel_subscription",
        customer=customer,
        subscription=answer.get("subscription"),
        at_period_end=at_period_end,
    )


def standing(billing: Session, customer: Customer, answer: Outcome) -> Outcome:
    """Read what was subscribed to."""
    return billing.ok(
        "get_subscription", customer=customer, subscription=answer.get("subscription")
    )


def period_end(billing: Session, customer: Customer, answer: Outcome) -> int:
    """Give when the period that was paid for ends, or skip where that is not shown."""
    end = standing(billing, customer, answer).get("period_end")
    if not isinstance(end, int):
        pytest.skip("get_subscription shows no period_end")
    return end


def renew(billing: Session, clock: Timeline, customer: Customer, answer: Outcome) -> int:
    """Move past the end of the period; give when that was."""
    end = period_end(billing, customer, answer)
    clock.advance_to(end + PAID_AFTER_S)
    return end


def renewed(plan: Plan, units: int, quantity: int = 1) -> int:
    """Give the balance that a paid renewal is to make of one before it."""
    kept = units if plan.rollover_cap is None else min(units, plan.rollover_cap)
    return kept + plan.included_units * quantity


def card_goes_bad(billing: Session, customer: Customer) -> None:
    """Replace the customer's cards by one that declines every charge."""
    cards = billing.ok("list_payment_methods", customer=customer)["items"]
    add_card(billing, customer, BAD_CARD)
    for card in cards:
        billing.ok(
            "remove_payment_method", customer=customer, payment_method=card["payment_method"]
        )


def used_up(billing: Session, card: str | None = "pm_card_visa") -> Customer:
    """Make a customer who has used every unit up, with a card or without.

    Of a target that keeps no units, who has just signed up and has no card has none to use either.
    """
    if card is None and not keeps_units(billing):
        return sign_up(billing)
    needs_units(billing)
    customer = sign_up(billing)
    if card:
        add_card(billing, customer, card)
    use(billing, customer, units_of(billing, customer))
    return customer


def insist(billing: Session, operation: str, **arguments: Any) -> Outcome:
    """Do the same again and again, as a client does that needs to know, until it is known."""
    ends_at = time.monotonic() + INSIST_S
    while (outcome := billing.perform(operation, **arguments)).kind == "unknown":
        if time.monotonic() > ends_at:
            raise Unknown(f"{operation} is not known after {INSIST_S:g} s: {outcome}")
        time.sleep(0.1)  # between two tries of a client, bounded by the deadline above
    return outcome


def settle(billing: Session, ground: Ground) -> None:
    """Let every event arrive and take effect; what has not come then does not come.

    The provider may say at once that not all has arrived, while a neighbour's event is sent again.
    """
    ends_at = time.monotonic() + INSIST_S
    while ground.provider is not None and ground.provider.settle(INSIST_S) is False:
        if time.monotonic() > ends_at:
            raise Unknown(f"events were not delivered within {INSIST_S:g} s")
        time.sleep(0.1)  # between two questions, bounded by the deadline above
    drain(billing, INSIST_S)


def charge_of_next(billing: Session, customer: Customer) -> int:
    """Use a unit more; give what it was charged in minor units, or what it added to the debt.

    Where the usage itself does not tell, the payments do; where neither does, the test is skipped.
    """
    if billing.target.profile.catalog.usage_billed == "at_once":
        before = _booked_minor(billing, customer)
        (used,) = use(billing, customer)
        if "charged_minor" in used.outputs:
            return int(used.get("charged_minor") or 0)
        if before is None:
            pytest.skip("neither record_usage nor list_payments shows what a usage was charged")
        return (_booked_minor(billing, customer) or 0) - before
    before = owed_minor(billing, customer)
    use(billing, customer)
    return owed_minor(billing, customer) - before


def _booked_minor(billing: Session, customer: Customer) -> int | None:
    """Add up the payments that the target lists; None where it lists none."""
    if "list_payments" not in billing.target.operations:
        return None
    items = billing.ok("list_payments", customer=customer)["items"]
    return sum(int(item["amount_minor"]) for item in items if item.get("state") != "failed")


def owed_minor(billing: Session, customer: Customer) -> int:
    """Read what the customer owes in minor units, or skip where the target does not show it."""
    if "owed_minor" not in billing.target.profile.operations["get_balance"].reply:
        pytest.skip("the target's get_balance does not show what is owed")
    owed = billing.ok("get_balance", customer=customer).get("owed_minor")
    assert isinstance(owed, int), f"get_balance shows {owed!r} as owed, where an amount is due"
    return owed


def paid_minor(ground: Ground, customer: Customer) -> list[int]:
    """Give what the payment provider took, in minor units, oldest first."""
    if ground.provider is None or customer.provider_customer is None:
        pytest.skip("the profile names no [payment_provider]")
    journal = ground.provider.journal(frozenset({customer.provider_customer}))
    taken = [m for m in journal.movements if m.type == "charge" and m.state == "succeeded"]
    return [movement.amount_minor for movement in taken]


def assert_paid(
    billing: Session, ground: Ground, customer: Customer, due_minor: Sequence[int]
) -> None:
    """See that the provider took these amounts of a customer, and nothing else."""
    paid = paid_minor(ground, customer)
    assert paid == list(due_minor), (
        f"{told(paid, billing)} was taken, the catalogue says {told(due_minor, billing)}"
    )


def told(amounts: Sequence[int | None], billing: Session) -> str:
    """Tell amounts as people write them, or that there are none."""
    currency = billing.target.profile.catalog.currency
    return " + ".join(spoken(amount or 0, currency) for amount in amounts) or "nothing"


def keeps_units(billing: Session) -> bool:
    """Whether the target keeps units that were granted or bought, and shows how many are left."""
    mapping = billing.target.profile.operations.get("get_balance")
    return mapping is not None and "units" in mapping.reply


def needs_units(billing: Session) -> None:
    """Skip where the target keeps no units."""
    if not keeps_units(billing):
        pytest.skip("the target keeps no units: its get_balance shows none")


def holding(billing: Session, customer: Customer) -> dict[str, object]:
    """Read what a customer has and owes: that which a refused operation must not change."""
    balance = billing.ok("get_balance", customer=customer)
    return {name: balance.get(name) for name in ("units", "owed_minor") if name in balance.outputs}


def units_of(billing: Session, customer: Customer) -> int:
    """Read the balance in units, or skip where the target keeps none."""
    needs_units(billing)
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
