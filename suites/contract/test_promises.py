"""What every client of a billing API relies on, whatever its document says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import Unknown
from harness.operations import OPERATIONS
from harness.target.wire import Reply
from suites.contract.guests import Guests
from suites.e2e.steps import add_card, settle, told, use, used_up
from suites.security.tenants import STATE, Tenant, attempt, ids_in, inputs_for, settled_tenant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.ground import Ground
    from harness.session import Session
    from harness.target.protocol import Outcome

pytestmark = [pytest.mark.requires("create_customer"), pytest.mark.group("promises")]
HUGE = 10**6
# What a customer without units, card or subscription asks for in vain, and what one with all does.
POOR: Mapping[str, Mapping[str, Any]] = {
    "record_usage": {},
    "add_payment_method": {"token": "pm_card_chargeDeclined", "consent": False},
    "set_plan": {},
    "subscribe": {},
    "change_subscription": {},
    "cancel_subscription": {},
    "resume_subscription": {},
    "adjust_credits": {"units": -HUGE},
    "remove_payment_method": {"payment_method": "pm_nobodys"},
    "revoke_key": {"key": "key_nobodys"},
    "rotate_key": {"key": "key_nobodys"},
    "exchange_credentials": {"providers": ["nobodys"]},
}
RICH: Mapping[str, Mapping[str, Any]] = {
    "subscribe": {},
    "change_subscription": {"quantity": 0},
    "set_plan": {},
    "remove_payment_method": {},
    "add_payment_method": {"consent": False},
    "refund_payment": {"amount_minor": HUGE},
    "create_key": {},
}


def _state(billing: Session, tenant: Tenant) -> dict[str, object]:
    """Read everything that the target shows to a customer, refusals too."""
    found: dict[str, object] = {}
    for operation in STATE:
        mapping = billing.target.profile.operations.get(operation)
        if mapping is None or not ids_in(mapping) <= tenant.ids.keys():
            continue
        outcome = attempt(billing, operation, tenant.ids, tenant.customer, "customer")
        if outcome.kind == "unknown":
            raise Unknown(f"{operation} was {outcome}")
        found[operation] = outcome.outputs if outcome.kind == "ok" else outcome.code
    return found


def _refusals(
    billing: Session, tenant: Tenant, asked: Mapping[str, Mapping[str, Any]]
) -> dict[str, Outcome]:
    """Ask for each in turn; hold that what is refused changes nothing, and give what was refused.

    What a target takes on instead is its own affair: the next is asked of what it left.
    """
    refused: dict[str, Outcome] = {}
    before = _state(billing, tenant)
    for operation, said in asked.items():
        mapping = billing.target.profile.operations.get(operation)
        if mapping is None or not ids_in(mapping) <= tenant.ids.keys() | said.keys():
            continue
        outcome = attempt(billing, operation, tenant.ids, tenant.customer, "customer", said=said)
        if outcome.kind == "unknown":
            raise Unknown(f"{operation} was {outcome}")
        after = _state(billing, tenant)
        changed = [name for name in before if before[name] != after[name]]
        if outcome.kind == "refused":
            refused[operation] = outcome
            assert not changed, f"{operation} was {outcome}, and changed {', '.join(changed)}"
        before = after
    return refused or pytest.skip("nothing was refused")


@pytest.mark.smoke
@pytest.mark.requires("record_usage", "get_balance")
@pytest.mark.requirement("BH-4", "RFC 9110")
def test_what_is_refused_without_a_card_changes_nothing(billing: Session) -> None:
    """Who has no units, card or subscription is refused what needs them, and nothing changes."""
    customer = used_up(billing, card=None)
    _refusals(billing, Tenant(customer, {"customer": customer.id}), POOR)


@pytest.mark.requires("subscribe")
@pytest.mark.requirement("BH-4", "RFC 9110")
def test_what_is_refused_within_a_subscription_changes_nothing(
    billing: Session, ground: Ground
) -> None:
    """A second subscription, a quantity of none or too large a refund is refused without effect."""
    tenant = settled_tenant(billing)
    settle(billing, ground)
    _refusals(billing, tenant, RICH)


@pytest.mark.requirement("BH-1", "BH-2", "BH-4")
def test_a_retry_with_the_same_key_has_one_effect_and_the_same_answer(
    billing: Session, ground: Ground
) -> None:
    """Each operation that a key makes safe answers a retry as it did at first, and does nothing."""
    if billing.target.profile.target.idempotency_header is None:
        pytest.skip("the target takes no idempotency key")
    guests = Guests(billing)
    keyed = [name for name, known in OPERATIONS.items() if known.repeat == "key"]
    for operation in [name for name in keyed if name in billing.target.operations]:
        tenant = guests.come_prepared(operation)
        said = inputs_for(billing, operation, tenant.ids)
        said["idempotency_key"] = billing.names.new("key")
        first = _answer(billing, operation, tenant, said)
        settle(billing, ground)
        before = _state(billing, tenant)
        again = _answer(billing, operation, tenant, said)
        assert again == first, (
            f"{operation} answered {_shown(first)}, and to a retry with the same key"
            f" {_shown(again)}: a client that lost the first answer is told something else"
        )
        settle(billing, ground)
        after = _state(billing, tenant)
        changed = [name for name in before if before[name] != after[name]]
        assert not changed, f"{operation} told again with its key changed {', '.join(changed)}"


def _answer(
    billing: Session, operation: str, tenant: Tenant, said: Mapping[str, Any]
) -> tuple[int, Any]:
    outcome = attempt(billing, operation, tenant.ids, tenant.customer, "customer", said=said)
    reply = billing.last_reply
    if outcome.kind == "unknown" or not isinstance(reply, Reply):
        raise Unknown(f"{operation} was {outcome}, so its retry says nothing")
    return reply.status, reply.json() if reply.body else None


def _shown(answer: tuple[int, Any]) -> str:
    """Name what an answer has, not what it says: a key may be in it."""
    status, body = answer
    return (
        f"HTTP {status} with {', '.join(body) if isinstance(body, dict) else type(body).__name__}"
    )


@pytest.mark.smoke
@pytest.mark.requires("get_balance", "list_ledger")
@pytest.mark.requirement("BH-2", "BH-10")
def test_the_balance_is_what_its_ledger_adds_up_to(billing: Session) -> None:
    """The detail shows as many units as the list adds up to, and as its newest entry leaves."""
    tenant = settled_tenant(billing)
    if "record_usage" in billing.target.operations:
        use(billing, tenant.customer, 2)
    units = billing.ok("get_balance", customer=tenant.customer).get("units")
    entries = billing.ok("list_ledger", customer=tenant.customer)["items"]
    total = sum(entry["units"] for entry in entries)
    assert units == total, f"the balance shows {units} units, and its ledger adds up to {total}"
    left = [entry["balance_after"] for entry in entries if entry.get("balance_after") is not None]
    assert not left or units in (left[0], left[-1]), (
        f"the balance shows {units} units, and neither end of its ledger leaves as many: {left}"
    )


@pytest.mark.requires("subscribe", "get_subscription")
@pytest.mark.requirement("BH-8", "BH-10")
def test_a_subscription_is_the_same_wherever_it_is_shown(billing: Session) -> None:
    """The subscription's detail and the customer's tell one plan, quantity and state."""
    tenant = settled_tenant(billing)
    subscribed = next(r for r in billing.records if r.operation == "subscribe")
    shown = attempt(billing, "get_subscription", tenant.ids, tenant.customer, "customer")
    assert shown.kind == "ok", f"get_subscription was {shown} for a subscription that there is"
    for output, due in (
        ("status", subscribed.outcome.get("status")),
        ("plan", subscribed.inputs["plan"]),
        ("quantity", subscribed.inputs["quantity"]),
    ):
        told = shown.get(output)
        assert told is None or due is None or str(told) == str(due), (
            f"a subscription of {output} {due} is shown with {told}"
        )
    if "get_customer" in billing.target.operations and shown.get("plan"):
        plan = billing.ok("get_customer", customer=tenant.customer).get("plan")
        assert plan in (None, shown["plan"]), (
            f"the customer is shown on {plan}, and the subscription on {shown['plan']}"
        )


@pytest.mark.requires("record_usage", "add_payment_method", "list_payments")
@pytest.mark.requirement("BH-3", "BH-10")
def test_a_charge_is_listed_with_the_amount_that_was_told(billing: Session) -> None:
    """What the answer to a usage says it cost is what the list of payments shows, once."""
    customer = used_up(billing)
    (used,) = use(billing, customer)
    cost = used.get("charged_minor")
    if cost is None:
        pytest.skip("the target does not tell what a usage cost")
    listed = [p["amount_minor"] for p in billing.ok("list_payments", customer=customer)["items"]]
    assert listed == [cost], (
        f"a usage was told to cost {told([cost], billing)},"
        f" and the payments show {told(listed, billing)}"
    )


@pytest.mark.smoke
@pytest.mark.requires("add_payment_method", "list_payment_methods")
@pytest.mark.requirement("BH-10")
def test_a_card_that_was_added_is_listed(billing: Session) -> None:
    """A payment method is in the list once it was added, under the id that was given for it."""
    customer = Guests(billing).come("get_customer", is_good=True).customer
    added = add_card(billing, customer).get("payment_method")
    cards = billing.ok("list_payment_methods", customer=customer)["items"]
    listed = [card.get("payment_method") for card in cards]
    if added is None:
        assert listed, "a card was added, and no payment method is listed"
    else:
        assert listed.count(added) == 1, f"the card {added} was added, and listed are {listed}"


@pytest.mark.smoke
@pytest.mark.requirement("BH-4", "RFC 9110")
def test_reading_changes_nothing(billing: Session, ground: Ground) -> None:
    """Whatever is read, however often, moves no money and leaves everything as it was."""
    tenant = settled_tenant(billing)
    settle(billing, ground)
    customer = tenant.customer.provider_customer
    about = frozenset({customer} if customer else ())
    moved = ground.provider.journal(about).movements if ground.provider else ()
    first, second, third = (_state(billing, tenant) for _ in range(3))
    changed = [name for name in first if not first[name] == second[name] == third[name]]
    assert not changed, f"reading changed {', '.join(changed)}"
    now = ground.provider.journal(about).movements if ground.provider else ()
    assert now == moved, f"reading moved money: {len(now) - len(moved)} movements more"
