"""Money that comes late, goes back, or is taken back: debits, refunds, disputes, releases."""

from typing import Any

import pytest
import stripe

from tests.stripe_sim.conftest import DAY_S, Account

SLOW_IBAN = "AT32 1904 3002 3547 3204"


def pay(account: Account, card: str = "pm_card_visa", **given: Any) -> stripe.PaymentIntent:
    """Confirm a payment of 2000 with a test card."""
    params: Any = {
        "amount": 2_000,
        "currency": "usd",
        "payment_method": card,
        "payment_method_types": ["card"],
        "confirm": True,
        **given,
    }
    return account.stripe.payment_intents.create(params)


def debit(account: Account, iban: str) -> stripe.PaymentIntent:
    """Confirm a payment of 2000 by direct debit."""
    params: Any = {
        "amount": 2_000,
        "currency": "eur",
        "confirm": True,
        "payment_method_types": ["sepa_debit"],
        "payment_method_data": {
            "type": "sepa_debit",
            "sepa_debit": {"iban": iban},
            "billing_details": {"name": "B. Uyer", "email": "buyer@example.com"},
        },
        "mandate_data": {"customer_acceptance": {"type": "offline"}},
    }
    return account.stripe.payment_intents.create(params)


def dispute_of(account: Account, intent: stripe.PaymentIntent) -> stripe.Dispute:
    """Return the one dispute of a payment."""
    [found] = account.stripe.disputes.list({"payment_intent": intent.id}).data
    return found


def balance(account: Account) -> int:
    """Return the sum of all balance transactions' net amounts."""
    return sum(each.net for each in account.stripe.balance_transactions.list().auto_paging_iter())


def test_a_debit_is_processed_for_a_while(account: Account) -> None:
    """It is pending in charge and journal, then succeeds under the same journal entry."""
    intent = debit(account, SLOW_IBAN)
    charge: Any = intent.latest_charge
    assert intent.status == "processing"
    assert account.stripe.charges.retrieve(charge).status == "pending"
    [pending] = account.journal()["entries"]
    assert (pending["state"], account.journal()["balances"]) == ("pending", {})
    with pytest.raises(stripe.InvalidRequestError, match="status of processing"):
        account.stripe.payment_intents.cancel(intent.id)
    account.advance(account.now + 180)
    assert account.stripe.payment_intents.retrieve(intent.id).status == "succeeded"
    [entry] = account.journal()["entries"]
    assert (entry["id"], entry["state"]) == (pending["id"], "succeeded")
    assert account.journal()["balances"] == {"eur": 2_000}
    types = account.event_types()
    assert types.index("charge.pending") < types.index("payment_intent.processing")
    assert types.index("charge.succeeded") < types.index("payment_intent.succeeded")


def test_a_debit_can_be_refused_after_days(account: Account) -> None:
    """A refused debit takes no money, and the payment wants another method."""
    intent = debit(account, "AT051904300235473205")
    account.advance(account.now + 180)
    failed = account.stripe.payment_intents.retrieve(intent.id)
    assert failed.status == "requires_payment_method"
    assert account.journal()["balances"] == {}
    with pytest.raises(stripe.InvalidRequestError, match="IBAN"):
        debit(account, "AT000000000000000000")


def test_a_debit_can_be_disputed(account: Account) -> None:
    """A bank account's owner who never agreed gets the money back."""
    intent = debit(account, "AT591904300235473203")
    account.settle()
    dispute = dispute_of(account, intent)
    assert (dispute.reason, dispute.status) == ("debit_not_authorized", "needs_response")
    assert account.journal()["balances"] == {"eur": 0}


def test_a_chargeback_takes_money_and_fee(account: Account) -> None:
    """Opening one moves the balance, marks the charge and forbids a refund."""
    intent = pay(account, "pm_card_createDispute", expand=["latest_charge"])
    dispute = dispute_of(account, intent)
    charge: Any = intent.latest_charge
    assert (dispute.status, dispute.reason) == ("needs_response", "fraudulent")
    assert charge.disputed
    assert account.journal()["balances"] == {"usd": 0}
    [moved] = dispute.balance_transactions
    assert (moved.type, moved.amount, moved.fee) == ("adjustment", -2_000, 1_500)
    assert account.event_types()[-2:] == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
    ]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        account.stripe.refunds.create({"charge": charge.id})
    assert caught.value.code == "charge_disputed"


def test_winning_a_dispute_gives_the_money_back(account: Account) -> None:
    """Stripe's winning evidence reinstates funds and fee."""
    intent = pay(account, "pm_card_createDispute")
    before = balance(account)
    won = account.stripe.disputes.update(
        dispute_of(account, intent).id, {"evidence": {"uncategorized_text": "winning_evidence"}}
    )
    assert (won.status, won.evidence_details.submission_count) == ("won", 1)
    assert account.journal()["balances"] == {"usd": 2_000}
    assert balance(account) == before + 3_500
    assert account.event_types()[-3:] == [
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_reinstated",
    ]
    with pytest.raises(stripe.InvalidRequestError, match="closed"):
        account.stripe.disputes.close(won.id)


def test_losing_evidence_loses(account: Account) -> None:
    """Evidence can be staged first; the losing one ends the dispute when it is submitted."""
    disputes = account.stripe.disputes
    dispute = dispute_of(account, pay(account, "pm_card_createDisputeProductNotReceived"))
    assert dispute.reason == "product_not_received"
    staged = disputes.update(
        dispute.id, {"evidence": {"customer_name": "B. Uyer"}, "submit": False}
    )
    assert (staged.status, staged.evidence_details.has_evidence) == ("needs_response", True)
    sent = disputes.update(dispute.id, {"evidence": {"uncategorized_text": "anything"}})
    assert sent.status == "under_review"
    lost = disputes.update(dispute.id, {"evidence": {"uncategorized_text": "losing_evidence"}})
    assert lost.status == "lost"
    assert account.journal()["balances"] == {"usd": 0}


def test_a_dispute_without_an_answer_is_lost(account: Account) -> None:
    """When the time to answer is up, the dispute closes by itself."""
    dispute = dispute_of(account, pay(account, "pm_card_createDispute"))
    due_by = dispute.evidence_details.due_by
    assert due_by is not None
    account.advance(due_by)
    late = account.stripe.disputes.retrieve(dispute.id)
    assert (late.status, late.evidence_details.past_due) == ("lost", True)


def test_an_inquiry_moves_no_money(account: Account) -> None:
    """It can be answered, or closed, and the charge can still be refunded."""
    first, second = pay(account, "pm_card_createDisputeInquiry"), None
    second = pay(account, "pm_card_createDisputeInquiry")
    assert account.journal()["balances"] == {"usd": 4_000}
    closed = account.stripe.disputes.close(dispute_of(account, first).id)
    assert closed.status == "warning_closed"
    won = account.stripe.disputes.update(
        dispute_of(account, second).id, {"evidence": {"uncategorized_text": "winning_evidence"}}
    )
    assert won.status == "warning_closed"
    assert account.stripe.refunds.create({"payment_intent": second.id}).status == "succeeded"


def test_refunds_in_parts_and_no_further(account: Account) -> None:
    """Parts add up to the charge; one cent more is refused."""
    intent = pay(account)
    refunds = account.stripe.refunds
    refunds.create({"payment_intent": intent.id, "amount": 500})
    with pytest.raises(stripe.InvalidRequestError, match=r"\$15.01"):
        refunds.create({"payment_intent": intent.id, "amount": 1_501})
    refunds.create({"payment_intent": intent.id, "reason": "requested_by_customer"})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        refunds.create({"payment_intent": intent.id})
    assert caught.value.code == "charge_already_refunded"
    charge: Any = intent.latest_charge
    listed: Any = account.stripe.charges.retrieve(charge, {"expand": ["refunds"]}).refunds
    assert [each.amount for each in listed.data] == [1_500, 500]
    assert account.raw.get(f"/v1/charges/{charge}/refunds").json()["data"][0]["amount"] == 1_500
    assert [each.amount for each in refunds.list({"charge": charge}).data] == [1_500, 500]


def test_a_refund_can_fail_later(account: Account) -> None:
    """It looks done, then the bank sends the money back: charge, journal and balance agree."""
    intent = pay(account, "pm_card_refundFail")
    refund = account.stripe.refunds.create({"payment_intent": intent.id})
    assert (refund.status, account.journal()["balances"]) == ("succeeded", {"usd": 0})
    account.advance(account.now + 60)
    failed = account.stripe.refunds.retrieve(refund.id, {"expand": ["failure_balance_transaction"]})
    transaction: Any = failed.failure_balance_transaction
    assert (failed.status, transaction.amount) == ("failed", 2_000)
    charge: Any = intent.latest_charge
    assert account.stripe.charges.retrieve(charge).amount_refunded == 0
    assert account.journal()["balances"] == {"usd": 2_000}
    assert account.event_types()[-3:] == [
        "refund.updated",
        "charge.refund.updated",
        "refund.failed",
    ]


def test_a_refund_can_wait(account: Account) -> None:
    """A pending refund becomes one that succeeded, with events of both names."""
    intent = pay(account, "pm_card_pendingRefund")
    refund = account.stripe.refunds.create({"payment_intent": intent.id})
    assert (refund.status, account.journal()["balances"]) == ("pending", {"usd": 2_000})
    account.advance(account.now + 60)
    assert account.stripe.refunds.retrieve(refund.id).status == "succeeded"
    assert account.journal()["balances"] == {"usd": 0}


def test_a_part_that_is_captured_releases_the_rest(account: Account) -> None:
    """What is not captured counts as refunded, and only what was can still be given back."""
    intent = pay(account, capture_method="manual")
    captured = account.stripe.payment_intents.capture(
        intent.id, {"amount_to_capture": 1_500, "expand": ["latest_charge"]}
    )
    charge: Any = captured.latest_charge
    assert (charge.amount_captured, charge.amount_refunded, charge.refunded) == (1_500, 500, False)
    account.stripe.refunds.create({"payment_intent": intent.id})
    whole = account.stripe.charges.retrieve(charge.id)
    assert (whole.amount_refunded, whole.refunded) == (2_000, True)
    assert account.journal()["balances"] == {"usd": 0}


def test_cancelling_an_authorisation_releases_it(account: Account) -> None:
    """The charge is refunded though no money moved; left alone, it expires after seven days."""
    cancelled, forgotten = (pay(account, capture_method="manual") for _ in range(2))
    account.stripe.payment_intents.cancel(cancelled.id)
    charge: Any = cancelled.latest_charge
    released = account.stripe.charges.retrieve(charge)
    assert (released.refunded, released.amount_captured) == (True, 0)
    account.advance(account.now + 7 * DAY_S)
    expired = account.stripe.payment_intents.retrieve(forgotten.id)
    assert (expired.status, expired.cancellation_reason) == ("canceled", "automatic")
    assert account.journal()["entries"] == []
    assert account.event_types().count("charge.expired") == 1


def test_a_token_is_charged_directly(account: Account) -> None:
    """``/v1/charges`` needs no payment intent; a decline is an error with its charge."""
    charge = account.stripe.charges.create(
        {"amount": 700, "currency": "usd", "source": "tok_visa", "metadata": {"order": "7"}}
    )
    assert (charge.status, charge.payment_intent, charge.captured) == ("succeeded", None, True)
    updated = account.stripe.charges.update(charge.id, {"description": "Seven", "metadata": {}})
    assert (updated.description, updated.metadata.to_dict()) == ("Seven", {"order": "7"})
    assert account.journal()["entries"][0]["metadata"] == {"order": "7"}
    with pytest.raises(stripe.CardError) as caught:
        account.stripe.charges.create(
            {"amount": 700, "currency": "usd", "source": "tok_chargeDeclined"}
        )
    body: Any = caught.value.json_body
    assert body["error"]["charge"].startswith("ch_")
    with pytest.raises(stripe.InvalidRequestError, match="source or customer"):
        account.stripe.charges.create({"amount": 700, "currency": "usd"})


def test_a_direct_charge_is_captured_later(account: Account) -> None:
    """Authorised, then taken in part; never twice, never more, and gone after seven days."""
    charges = account.stripe.charges

    def authorise() -> str:
        return charges.create(
            {"amount": 700, "currency": "usd", "source": "tok_visa", "capture": False}
        ).id

    first, forgotten = authorise(), authorise()
    with pytest.raises(stripe.InvalidRequestError) as caught:
        charges.capture(first, {"amount": 701})
    assert caught.value.code == "amount_too_large"
    assert charges.capture(first, {"amount": 600}).amount_refunded == 100
    with pytest.raises(stripe.InvalidRequestError) as caught:
        charges.capture(first)
    assert caught.value.code == "charge_already_captured"
    intent = pay(account, capture_method="manual")
    of_intent: Any = intent.latest_charge
    assert charges.capture(of_intent).captured
    account.advance(account.now + 7 * DAY_S)
    assert charges.retrieve(forgotten).refunded
    assert account.journal()["balances"] == {"usd": 2_600}


def test_a_charge_gets_a_customer_once(account: Account) -> None:
    """A charge without a customer can be given one; it never changes hands."""
    charge = account.stripe.charges.create({"amount": 700, "currency": "usd", "source": "tok_visa"})
    owner, other = account.customer(), account.customer()
    assert account.stripe.charges.update(charge.id, {"customer": owner}).customer == owner
    with pytest.raises(stripe.InvalidRequestError, match="customer of a charge"):
        account.stripe.charges.update(charge.id, {"customer": other})
    assert [each.id for each in account.stripe.charges.list({"customer": owner}).data] == [
        charge.id
    ]
