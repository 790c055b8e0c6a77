"""Whether what is sent could be Stripe's: whole, conforming, and in agreement with itself."""

from __future__ import annotations

from typing import Any

import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.webhooks.commands.catalogue import KINDS, find_kind
from simulators.webhooks.commands.composing import compose
from simulators.webhooks.commands.life import whole_life
from simulators.webhooks.commands.parameters import AMOUNT_MAX, Parameters
from simulators.webhooks.shapes.scene import API_VERSION, month_later
from tests.stripe_sim.conformance import problems

NOW = 1_767_225_599
"""31 December 2025, 23:59:59 UTC: the month before has fewer days."""
CASES = [(kind.type, reason) for kind in KINDS.values() for reason in (None, *kind.reasons)]
CURRENCIES = st.sampled_from(["usd", "EUR", "jpy", "kwd", "ugx"])


def built(event: str, **given_parameters: Any) -> list[dict[str, Any]]:
    """Build an event, and whatever is sent with it."""
    return compose(find_kind(event), Parameters(**given_parameters), NOW)


def has_order(event: str) -> bool:
    """Tell whether another event comes before or after this one."""
    return find_kind(event).before is not None or any(k.before == event for k in KINDS.values())


def nonconforming(event: dict[str, Any]) -> list[str]:
    """Walk an event; the walker knows a checkout session only by its class."""
    if event["type"].startswith("checkout."):
        inner = event["data"]["object"]
        return problems(inner, stripe.checkout.Session)
    return problems(event)


@pytest.mark.parametrize(("event", "reason"), CASES)
def test_every_event_conforms_to_the_official_package(event: str, reason: str | None) -> None:
    """Each event fits the annotations of the newest version, whatever the reason."""
    (only,) = built(event, reason=reason)
    assert nonconforming(only) == []
    assert only["api_version"] == API_VERSION == stripe.api_version
    assert only["type"] == event


def test_failures_and_zero_amounts_conform() -> None:
    """What options add fits the annotations too."""
    events = [
        *built("invoice.payment_failed", failure_code="expired_card", next_retry="none"),
        *built("invoice.paid", amount_cents=0, reason="subscription_create"),
        *built("charge.failed", failure_code="lost_card"),
        *built("charge.refunded", refund_cents=1),
        *built("checkout.session.completed", amount_cents=0),
    ]
    assert [problem for event in events for problem in nonconforming(event)] == []


@given(
    unit=st.integers(0, 9_999),
    quantity=st.integers(1, 9_999),
    currency=CURRENCIES,
    event=st.sampled_from(["invoice.created", "invoice.paid", "invoice.payment_succeeded"]),
)
def test_an_invoice_adds_up(unit: int, quantity: int, currency: str, event: str) -> None:
    """Total, lines, unit price times quantity, and paid plus remaining are one amount."""
    amount = unit * quantity
    (found,) = built(event, amount_cents=amount, quantity=quantity, currency=currency)
    invoice = found["data"]["object"]
    (line,) = invoice["lines"]["data"]
    assert invoice["total"] == invoice["subtotal"] == invoice["amount_due"] == amount
    assert sum(each["amount"] for each in invoice["lines"]["data"]) == amount
    assert int(line["pricing"]["unit_amount_decimal"]) * line["quantity"] == amount
    assert invoice["amount_paid"] + invoice["amount_remaining"] == amount
    assert invoice["amount_paid"] == (0 if event == "invoice.created" else amount)
    assert {invoice["currency"], line["currency"]} == {currency.lower()}


@given(
    amount=st.integers(1, AMOUNT_MAX),
    share=st.floats(0, 1, exclude_min=True),
    currency=CURRENCIES,
)
def test_payments_add_up(amount: int, share: float, currency: str) -> None:
    """Charge, refund, dispute and intent agree, also on what is left."""
    part = max(1, int(amount * share))
    (refunded,) = built("charge.refunded", amount_cents=amount, refund_cents=part)
    charge = refunded["data"]["object"]
    assert (charge["amount"], charge["amount_refunded"]) == (amount, part)
    assert charge["refunded"] is (part == amount)
    same = {"amount_cents": amount, "currency": currency}
    intent = built("payment_intent.succeeded", **same)[0]["data"]["object"]
    assert (intent["amount"], intent["amount_received"]) == (amount, amount)
    payment = built("invoice_payment.paid", **same)[0]["data"]["object"]
    assert payment["amount_paid"] == payment["amount_requested"] == amount
    dispute = built("charge.dispute.created", **same)[0]["data"]["object"]
    (withdrawn,) = dispute["balance_transactions"]
    assert (dispute["amount"], withdrawn["amount"]) == (amount, -amount)
    assert withdrawn["net"] == withdrawn["amount"] - withdrawn["fee"]
    assert {each["currency"] for each in (intent, payment, dispute)} == {currency.lower()}


@given(amount=st.integers(0, AMOUNT_MAX), quantity=st.integers(1, 100))
def test_an_amount_that_units_cannot_share_is_refused(amount: int, quantity: int) -> None:
    """An amount is taken exactly where the quantity divides it."""
    given_parameters = Parameters(amount_cents=amount, quantity=quantity)
    if amount % quantity:
        with pytest.raises(Exception, match="no multiple"):
            given_parameters.amount_minor()
    else:
        assert given_parameters.amount_minor() == amount


UPDATES = [case for case in CASES if case[0] in {"customer.updated", "charge.refunded"}] + [
    case for case in CASES if case[0] == "customer.subscription.updated"
]


@pytest.mark.parametrize(("event", "reason"), UPDATES)
def test_previous_attributes_hold_exactly_what_changed(event: str, reason: str | None) -> None:
    """Every old value differs from the new one, and nothing else is said."""
    (only,) = built(event, reason=reason)
    previous, now = only["data"]["previous_attributes"], only["data"]["object"]
    assert previous
    assert all(now[name] != value for name, value in previous.items() if name != "items")
    expected = {
        None: {"email", "amount_refunded", "refunded", "items"},
        "subscription_update": {"items"},
        "subscription_cycle": {"items", "latest_invoice"},
        "payment_failed": {"status"},
        "payment_succeeded": {"status"},
    }
    ending = {"cancel_at", "cancel_at_period_end", "canceled_at", "cancellation_details"}
    assert set(previous) <= expected.get(reason, ending)


def test_a_change_of_quantity_shows_the_item_before_and_after() -> None:
    """The old item differs in quantity alone, and a unit costs the same."""
    (event,) = built("customer.subscription.updated", quantity=3, amount_cents=900)
    (before,) = event["data"]["previous_attributes"]["items"]["data"]
    (after,) = event["data"]["object"]["items"]["data"]
    assert {name for name in after if after[name] != before[name]} == {"quantity"}
    assert (before["quantity"], after["quantity"], after["price"]["unit_amount"]) == (2, 3, 300)


def test_only_updates_say_what_changed() -> None:
    """No other event has previous attributes, but for a refund, as at Stripe."""
    told = {e["type"] for kind in KINDS for e in built(kind) if "previous_attributes" in e["data"]}
    assert told == {"customer.updated", "customer.subscription.updated", "charge.refunded"}


@given(
    amount=st.integers(1, 9_999),
    quantity=st.integers(1, 99),
    currency=CURRENCIES,
    now=st.integers(1_000_000_000, 2_000_000_000),
)
@settings(max_examples=25)
def test_a_whole_life_tells_one_story(amount: int, quantity: int, currency: str, now: int) -> None:
    """What an event says was so before is what the last event about that object said."""
    parameters = Parameters(amount_cents=amount * quantity, quantity=quantity, currency=currency)
    events = whole_life(parameters, now)
    last: dict[str, dict[str, Any]] = {}
    for event in events:
        now_so = event["data"]["object"]
        if "previous_attributes" in event["data"]:
            assert undone(now_so, event["data"]["previous_attributes"]) == last[now_so["id"]]
        last[now_so["id"]] = now_so
    assert [event["created"] for event in events] == sorted(event["created"] for event in events)
    assert len({event["id"] for event in events}) == len(events)
    items = [o["items"]["data"][0]["id"] for o in last.values() if o["object"] == "subscription"]
    lines = [
        line["parent"]["subscription_item_details"]["subscription_item"]
        for invoice in last.values()
        if invoice["object"] == "invoice"
        for line in invoice["lines"]["data"]
    ]
    assert len(lines) == 2
    assert set(lines) == set(items)
    owners = {e["data"]["object"].get("customer") for e in events} - {None}
    assert len(owners) == 1
    paid = [e["data"]["object"] for e in events if e["type"] == "invoice.paid"]
    taken = [e["data"]["object"]["amount"] for e in events if e["type"] == "charge.succeeded"]
    assert [invoice["amount_paid"] for invoice in paid] == taken == [amount * quantity]


def undone(now_so: dict[str, Any], previous: dict[str, Any]) -> dict[str, Any]:
    """Return the object with its old values; hashes are merged, as Stripe means them."""
    found = dict(now_so)
    for name, old in previous.items():
        is_part = isinstance(old, dict) and isinstance(now_so.get(name), dict)
        found[name] = undone(now_so[name], old) if is_part else old
    return found


def test_a_whole_life_conforms() -> None:
    """Every event of a life fits the annotations."""
    events = whole_life(Parameters(), NOW)
    assert [problem for event in events for problem in nonconforming(event)] == []


@given(moment=st.integers(0, 4_000_000_000), months=st.integers(-30, 30))
def test_a_month_later_and_back_never_gains_a_day(moment: int, months: int) -> None:
    """Going some months on and back again loses at most the days that a short month lacks."""
    back = month_later(month_later(moment, months), -months)
    assert 0 <= moment - back <= 3 * 86_400


@pytest.mark.parametrize("reason", ["subscription_cycle", "subscription_create"])
def test_periods_stand_on_items_and_lines(reason: str) -> None:
    """The line bills the month that runs, and the invoice looks back where there is a month."""
    (event,) = built("invoice.paid", reason=reason)
    invoice = event["data"]["object"]
    period = invoice["lines"]["data"][0]["period"]
    assert period["start"] <= NOW < period["end"]
    assert invoice["period_end"] == period["start"]
    assert (invoice["period_start"] < invoice["period_end"]) is (reason == "subscription_cycle")
    (created,) = built("customer.subscription.created")
    item = created["data"]["object"]["items"]["data"][0]
    assert item["current_period_start"] == NOW == created["data"]["object"]["created"]


ORDERED = [case for case in CASES if has_order(case[0])]


@pytest.mark.parametrize(("event", "reason"), ORDERED)
@pytest.mark.parametrize("more", [{}, {"plan_to": "price_pro"}, {"quantity": 3}], ids=str)
def test_two_events_out_of_order_tell_one_story(
    event: str, reason: str | None, more: dict[str, Any]
) -> None:
    """The later event's old values are those of the earlier one, and both conform."""
    options = find_kind(event).options
    said = {name: value for name, value in more.items() if name in options}
    kind, parameters = find_kind(event), Parameters(reason=reason, **said)
    later, earlier = compose(kind, parameters, NOW, is_out_of_order=True)
    assert nonconforming(later) + nonconforming(earlier) == []
    assert later["created"] > earlier["created"]
    now_so, before = later["data"]["object"], earlier["data"]["object"]
    assert now_so["id"] == before["id"]
    if "previous_attributes" in later["data"]:
        assert undone(now_so, later["data"]["previous_attributes"]) == before
    same = {"created", "customer", "currency", "quantity"} & now_so.keys() & before.keys()
    assert {name: now_so[name] for name in same} == {name: before[name] for name in same}
    asked_for = later if later["type"] == event else earlier
    assert asked_for["type"] == event
