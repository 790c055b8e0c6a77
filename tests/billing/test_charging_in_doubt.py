"""A charge whose answer was lost: looked up first, never made twice, never lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulators.billing.core import Answer, InFlight
from simulators.billing.idempotency import unkeyed_slot
from simulators.billing.operations import charging
from simulators.billing.operations.charging import Charge, Fix
from simulators.billing.problems import Problem
from simulators.billing.worker.loop import Worker

if TYPE_CHECKING:
    from tests.billing.conftest import Bench
    from tests.billing.fake_stripe import Fault

FIX = Fix("fix-1", None)
PRICE = 2900


def pay(bench: Bench, customer_id: str, fix: Fix = FIX) -> Answer:
    """Do what the route does, without waiting for others."""
    slot = unkeyed_slot(bench.core)
    while True:
        step = charging.begin(bench.core, customer_id, fix, slot)
        if isinstance(step, Charge):
            step = charging.carry_out(bench.core, step, slot)
            if isinstance(step, InFlight):
                continue
        assert isinstance(step, Answer), "another request is at it"
        return step


def assert_charged_once(bench: Bench, customer_id: str) -> None:
    """One charge at Stripe, one payment, one credit bought and used."""
    assert bench.stripe.taken_minor == PRICE
    assert [p.amount_minor for p in bench.payments(customer_id)] == [PRICE]
    sources = [e.source for e in bench.entries(customer_id)]
    assert sources.count("purchased") == sources.count("consumed") == 1
    assert bench.entries(customer_id)[-1].balance_after == 0


@pytest.mark.parametrize(
    "fault", ["lost_request", "lost_answer", "busy", "stored_500", "late_500", "nonsense"]
)
def test_doubt_is_answered_503_and_the_retry_charges_once(bench: Bench, fault: Fault) -> None:
    """Whatever became of the first request, a later one for the same fix ends in one charge."""
    customer_id = bench.customer()
    bench.stripe.faults.append(fault)
    with pytest.raises(Problem) as doubt:
        pay(bench, customer_id)
    assert (doubt.value.status, doubt.value.code) == (503, "charge_unsettled")
    bench.pass_time(60)
    assert pay(bench, customer_id).body["outcome"] == "charged"
    assert_charged_once(bench, customer_id)
    assert pay(bench, customer_id).body["charged_minor"] == PRICE
    assert_charged_once(bench, customer_id)


@pytest.mark.parametrize("fault", ["lost_request", "lost_answer", "busy", "nonsense"])
def test_the_worker_settles_what_no_client_asks_for_again(bench: Bench, fault: Fault) -> None:
    """A charge in doubt is settled in the background too."""
    customer_id = bench.customer()
    bench.stripe.faults.append(fault)
    with pytest.raises(Problem, match="not known yet"):
        pay(bench, customer_id)
    worker = Worker(bench.core)
    assert worker.pending() == 1
    bench.pass_time(60)
    worker.step()
    assert worker.pending() == 0
    assert_charged_once(bench, customer_id)


def test_doubt_after_doubt_keeps_one_idempotency_key(bench: Bench) -> None:
    """However often the answer is lost, Stripe sees one key until it has refused for certain."""
    customer_id = bench.customer()
    bench.stripe.faults.extend(["lost_request", "lost_request", "lost_answer"])
    for _ in range(3):
        with pytest.raises(Problem, match="not known yet"):
            pay(bench, customer_id)
        bench.pass_time(60)
    assert pay(bench, customer_id).body["outcome"] == "charged"
    assert_charged_once(bench, customer_id)
    assert (
        len({p["metadata[ledger_id]"] for p in bench.stripe.sent("POST", "/v1/payment_intents")})
        == 1
    )


def test_a_stored_failure_does_not_block_the_fix_for_a_day(bench: Bench) -> None:
    """Stripe replays a 500 under its key: when nothing was charged, a new attempt is made."""
    customer_id = bench.customer()
    bench.stripe.faults.append("stored_500")
    with pytest.raises(Problem):
        pay(bench, customer_id)
    bench.pass_time(60)
    assert pay(bench, customer_id).body["outcome"] == "charged"
    assert_charged_once(bench, customer_id)


def test_a_request_that_is_under_way_is_not_disturbed(bench: Bench) -> None:
    """While one request is at a fix, another gets to wait and makes no call to Stripe."""
    customer_id = bench.customer()
    slot = unkeyed_slot(bench.core)
    first = charging.begin(bench.core, customer_id, FIX, slot)
    assert isinstance(first, Charge)
    assert isinstance(charging.begin(bench.core, customer_id, FIX, slot), InFlight)
    assert bench.stripe.sent("POST", "/v1/payment_intents") == []
    charging.carry_out(bench.core, first, slot)
    assert_charged_once(bench, customer_id)


def test_two_resolvers_of_one_doubt_charge_once(bench: Bench) -> None:
    """A slow first request and an impatient second one for the same attempt end in one charge."""
    customer_id = bench.customer()
    slot = unkeyed_slot(bench.core)
    slow = charging.begin(bench.core, customer_id, FIX, slot)
    assert isinstance(slow, Charge)
    bench.pass_time(60)
    assert pay(bench, customer_id).body["outcome"] == "charged"
    charging.carry_out(bench.core, slow, slot)
    assert_charged_once(bench, customer_id)


def test_a_rate_limit_while_another_is_at_it_calls_nothing_off(bench: Bench) -> None:
    """Only the newest request for an attempt may call it off; an older one leaves it open."""
    customer_id = bench.customer()
    slot = unkeyed_slot(bench.core)
    older = charging.begin(bench.core, customer_id, FIX, slot)
    assert isinstance(older, Charge)
    bench.pass_time(60)
    newer = charging.begin(bench.core, customer_id, FIX, slot)
    assert isinstance(newer, Charge)
    bench.stripe.faults.append("rate_limited")
    with pytest.raises(Problem, match="not known yet"):
        charging.carry_out(bench.core, older, slot)
    charging.carry_out(bench.core, newer, slot)
    assert_charged_once(bench, customer_id)


def test_a_decline_is_final_and_a_new_attempt_may_succeed(bench: Bench) -> None:
    """A declined fix costs nothing, and asking again makes a second attempt with its own key."""
    customer_id = bench.customer()
    bench.stripe.declines.append("card_declined")
    with pytest.raises(Problem) as refused:
        pay(bench, customer_id)
    assert (refused.value.status, refused.value.code) == (402, "card_declined")
    assert bench.payments(customer_id) == []
    assert pay(bench, customer_id).body["outcome"] == "charged"
    assert_charged_once(bench, customer_id)


def test_a_decline_whose_answer_was_lost_is_found(bench: Bench) -> None:
    """A lookup that finds a declined intent refuses as the first answer would have."""
    customer_id = bench.customer()
    bench.stripe.declines.append("card_declined")
    bench.stripe.faults.append("lost_answer")
    with pytest.raises(Problem, match="not known yet"):
        pay(bench, customer_id)
    bench.pass_time(60)
    with pytest.raises(Problem, match="declined"):
        pay(bench, customer_id)
    assert bench.stripe.taken_minor == 0


def test_authentication_is_offered_and_its_completion_found(bench: Bench) -> None:
    """A customer who confirmed the payment is not charged again when asking again."""
    customer_id = bench.customer()
    bench.stripe.declines.append("authentication_required")
    with pytest.raises(Problem) as refused:
        pay(bench, customer_id)
    assert refused.value.code == "authentication_required"
    assert refused.value.extra["client_secret"] == "pi_secret_of_the_customer"
    (intent,) = bench.stripe.intents.values()
    intent |= {"status": "succeeded", "last_payment_error": None}
    assert pay(bench, customer_id).body["outcome"] == "charged"
    assert_charged_once(bench, customer_id)


def test_an_abandoned_authentication_can_no_longer_be_completed(bench: Bench) -> None:
    """Asking again without confirming cancels the old intent before the new one is made."""
    customer_id = bench.customer()
    bench.stripe.declines.append("authentication_required")
    with pytest.raises(Problem):
        pay(bench, customer_id)
    assert pay(bench, customer_id).body["outcome"] == "charged"
    assert sorted(i["status"] for i in bench.stripe.intents.values()) == ["canceled", "succeeded"]
    assert_charged_once(bench, customer_id)


def test_a_charge_names_whose_it_is(bench: Bench) -> None:
    """Every charge carries customer, fix, ledger id and environment."""
    customer_id = bench.customer()
    pay(bench, customer_id)
    (sent,) = bench.stripe.sent("POST", "/v1/payment_intents")
    assert sent["metadata[customer_id]"] == customer_id
    assert sent["metadata[fix_id]"] == "fix-1"
    assert sent["metadata[environment]"] == "test"
    assert sent["metadata[ledger_id]"].startswith("att_")
