"""Accounts: where they come from, one for each, nothing earned twice, and what closing leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.e2e.steps import (
    PAID_AFTER_S,
    add_card,
    cancel,
    holding,
    keeps_units,
    paid_minor,
    period_end,
    plan_of,
    renewed,
    sign_up,
    subscribed,
    told,
    units_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.ground import Ground
    from harness.session import Session
    from harness.timeline import Timeline

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
@pytest.mark.parametrize("spelt", [str, str.upper], ids=["as before", "in capitals"])
def test_closing_an_account_and_coming_back_earns_nothing(
    billing: Session, spelt: Callable[[str], str]
) -> None:
    """What an e-mail has earned it does not earn again: its next account has nothing."""
    has_cards = "add_payment_method" in billing.target.operations
    email = billing.names.email()
    for address, leaves in ((email, True), (spelt(email), False)):
        billing.ok("create_customer", email=address, name="Ada", source="direct")
        if has_cards:
            add_card(billing, billing.customers[-1])
        if leaves:
            billing.ok("close_customer", customer=billing.customers[-1])
    units = units_of(billing, billing.customers[-1])
    assert units == 0, f"an account that was closed and made anew has {units} units for nothing"


@pytest.mark.requires("close_customer", "subscribe", "get_subscription", provider=True)
@pytest.mark.requirement("BH-4", "BH-8", "BH-E2E-CLOSING")
def test_an_account_with_a_running_subscription_does_not_close_on_it(
    billing: Session, clock: Timeline, ground: Ground
) -> None:
    """Closing is refused and the subscription goes on, or it ends and never bills again."""
    _, plan = plan_of(billing, "pro")
    customer, answer, before = subscribed(billing)
    end = period_end(billing, customer, answer)
    closing = billing.perform("close_customer", customer=customer)
    assert closing.kind in {"ok", "refused"}, f"closing was {closing}"
    clock.advance_to(end + PAID_AFTER_S)
    periods = 1 if closing.kind == "ok" else 2
    paid, due = paid_minor(ground, customer), [plan.price_minor] * periods
    assert paid == due, (
        f"closing was {closing}, and then in all {told(paid, billing)} was taken,"
        f" where {told(due, billing)} is due"
    )
    if closing.kind == "refused" and keeps_units(billing):
        units = units_of(billing, customer)
        assert units == renewed(plan, before), f"who could not close was renewed to {units} units"


@pytest.mark.requires("close_customer", "subscribe", "cancel_subscription", provider=True)
@pytest.mark.requirement("BH-8", "BH-E2E-CLOSING")
def test_whoever_cancels_may_close_and_pays_no_more(billing: Session, ground: Ground) -> None:
    """After the subscription's end the account closes, and no money moves any more."""
    _, plan = plan_of(billing, "pro")
    customer, answer, _ = subscribed(billing)
    cancel(billing, customer, answer, at_period_end=False)
    billing.ok("close_customer", customer=customer)
    name, _ = plan_of(billing, "pro")
    billing.refused("subscribe", customer=customer, plan=name, quantity=1)
    paid = paid_minor(ground, customer)
    assert paid == [plan.price_minor], f"a closed account paid {told(paid[1:], billing)} more"
