"""Payment intents, charges, refunds, payment methods: what moves money at once."""

from typing import Any

import pytest
import stripe

from tests.stripe_sim.conftest import Account


def pay(account: Account, method: str = "pm_card_visa", **given: Any) -> stripe.PaymentIntent:
    """Create an intent and confirm it at once."""
    params: Any = {"amount": 2_500, "currency": "usd", "payment_method": method, "confirm": True}
    params.update(given)
    return account.stripe.payment_intents.create(params)


def test_a_confirmed_intent_succeeds_with_a_charge_and_a_journal_entry(account: Account) -> None:
    """A card that works pays: intent, charge, balance transaction and journal agree."""
    customer = account.customer()
    method = account.stripe.payment_methods.list({"customer": customer}).data[0].id
    intent = pay(
        account,
        method,
        customer=customer,
        off_session=True,
        metadata={"order": "7"},
        expand=["latest_charge.balance_transaction"],
    )
    charge: Any = intent.latest_charge
    assert (intent.status, intent.amount_received) == ("succeeded", 2_500)
    assert (charge.status, charge.paid, charge.captured) == ("succeeded", True, True)
    assert (charge.balance_transaction.fee, charge.balance_transaction.net) == (102, 2_398)
    [entry] = account.journal(customer)["entries"]
    assert entry | {"idempotency_key": "", "request_id": "", "at": 0} == {
        "id": charge.balance_transaction.id,
        "type": "charge",
        "provider_id": charge.id,
        "payment_intent": intent.id,
        "invoice": None,
        "customer": customer,
        "amount_minor": 2_500,
        "currency": "usd",
        "state": "succeeded",
        "failure_code": None,
        "at": 0,
        "idempotency_key": "",
        "request_id": "",
        "metadata": {"order": "7"},
        "billing_reason": None,
        "description": None,
    }
    assert account.journal()["balances"] == {"usd": 2_500}


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
    ],
)
def test_a_declined_card_is_a_402_and_leaves_a_failed_charge(
    account: Account, card: str, code: str, decline_code: str
) -> None:
    """A decline carries its codes, the intent waits for another card, no money moves."""
    with pytest.raises(stripe.CardError) as caught:
        pay(account, card)
    error: Any = caught.value.error
    assert (caught.value.http_status, error.type) == (402, "card_error")
    assert (error.code, error.decline_code) == (code, decline_code)
    intent = account.stripe.payment_intents.retrieve(error.payment_intent.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.code == code
    charge = account.stripe.charges.retrieve(error.charge)
    assert (charge.status, charge.paid, charge.failure_code) == ("failed", False, code)
    [entry] = account.journal()["entries"]
    assert (entry["state"], entry["failure_code"]) == ("failed", code)
    assert account.journal()["balances"] == {}
    assert account.event_types() == [
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
    ]


def test_a_declined_intent_can_be_paid_with_another_card(account: Account) -> None:
    """After a decline the same intent is confirmed with a card that works: two charges."""
    with pytest.raises(stripe.CardError) as caught:
        pay(account, "pm_card_chargeDeclined")
    error: Any = caught.value.error
    intent = account.stripe.payment_intents.confirm(
        error.payment_intent.id, {"payment_method": "pm_card_mastercard"}
    )
    assert intent.status == "succeeded"
    charges = account.stripe.charges.list({"payment_intent": intent.id}).data
    assert [charge.status for charge in charges] == ["succeeded", "failed"]


def test_off_session_authentication_is_refused(account: Account) -> None:
    """Without the customer present, a card that must authenticate declines."""
    with pytest.raises(stripe.CardError) as caught:
        pay(account, "pm_card_authenticationRequired", off_session=True)
    assert caught.value.code == "authentication_required"


@pytest.mark.parametrize("succeed", [True, False])
def test_on_session_authentication_waits_for_the_customer(
    account: Account, *, succeed: bool
) -> None:
    """With the customer present the intent waits; the answer pays it or sends it back."""
    intent = pay(account, "pm_card_authenticationRequired")
    assert intent.status == "requires_action"
    assert account.journal()["entries"] == []
    path = f"/simulator/payment_intents/{intent.id}/authenticate"
    account.raw.post(path, json={"succeed": succeed}).raise_for_status()
    after = account.stripe.payment_intents.retrieve(intent.id).status
    assert after == ("succeeded" if succeed else "requires_payment_method")


def test_manual_capture_takes_part_of_the_money(account: Account) -> None:
    """An authorisation moves no money; its capture moves what is captured."""
    intent = pay(account, capture_method="manual")
    assert (intent.status, intent.amount_capturable) == ("requires_capture", 2_500)
    assert account.journal()["entries"] == []
    captured = account.stripe.payment_intents.capture(intent.id, {"amount_to_capture": 900})
    assert (captured.status, captured.amount_received) == ("succeeded", 900)
    assert account.journal()["balances"] == {"usd": 900}


def test_an_intent_goes_through_its_states(account: Account) -> None:
    """Created empty, given a card, confirmed; a paid intent cannot be canceled."""
    intent = account.stripe.payment_intents.create({"amount": 500, "currency": "eur"})
    assert intent.status == "requires_payment_method"
    intent = account.stripe.payment_intents.update(intent.id, {"payment_method": "pm_card_visa"})
    assert intent.status == "requires_confirmation"
    assert account.stripe.payment_intents.confirm(intent.id).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        account.stripe.payment_intents.cancel(intent.id)
    assert caught.value.code == "payment_intent_unexpected_state"
    with pytest.raises(stripe.InvalidRequestError):
        account.stripe.payment_intents.confirm(intent.id)


def test_an_unpaid_intent_can_be_canceled(account: Account) -> None:
    """Cancelling tells when and why, with an event."""
    intent = account.stripe.payment_intents.create({"amount": 500, "currency": "jpy"})
    canceled = account.stripe.payment_intents.cancel(
        intent.id, {"cancellation_reason": "abandoned"}
    )
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    assert account.event_types()[-1] == "payment_intent.canceled"


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [(49, "usd", "amount_too_small"), (29, "gbp", "amount_too_small")],
)
def test_amounts_below_the_minimum_are_refused(
    account: Account, amount: int, currency: str, code: str
) -> None:
    """Each currency has a least amount, and nothing is made below it."""
    with pytest.raises(stripe.InvalidRequestError) as caught:
        account.stripe.payment_intents.create({"amount": amount, "currency": currency})
    assert caught.value.code == code
    assert account.stripe.payment_intents.list().data == []


def test_refunds_up_to_what_was_captured(account: Account) -> None:
    """Several partial refunds add up; one cent more is refused."""
    intent = pay(account)
    account.stripe.refunds.create({"payment_intent": intent.id, "amount": 1_000})
    charge_id: Any = intent.latest_charge
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        account.stripe.refunds.create({"charge": charge_id, "amount": 1_501})
    last = account.stripe.refunds.create({"charge": charge_id, "reason": "duplicate"})
    assert last.amount == 1_500
    charge = account.stripe.charges.retrieve(charge_id, {"expand": ["refunds"]})
    assert (charge.refunded, charge.amount_refunded) == (True, 2_500)
    assert charge.refunds is not None
    assert len(charge.refunds.data) == 2
    with pytest.raises(stripe.InvalidRequestError) as caught:
        account.stripe.refunds.create({"charge": charge_id})
    assert caught.value.code == "charge_already_refunded"
    assert account.journal()["balances"] == {"usd": 0}


def test_most_declining_cards_cannot_be_attached(account: Account) -> None:
    """Attaching a card that the bank refuses fails, and the customer has none."""
    customer = account.stripe.customers.create().id
    with pytest.raises(stripe.CardError):
        account.stripe.payment_methods.attach("pm_card_chargeDeclined", {"customer": customer})
    assert account.stripe.payment_methods.list({"customer": customer}).data == []
    failing = account.stripe.payment_methods.attach(
        "pm_card_chargeCustomerFail", {"customer": customer}
    )
    assert failing.customer == customer


def test_another_customers_card_cannot_be_used(account: Account) -> None:
    """A payment method pays for its own customer only."""
    owner, other = account.customer(), account.customer()
    method = account.stripe.payment_methods.list({"customer": owner}).data[0].id
    with pytest.raises(stripe.InvalidRequestError, match="does not have a payment method"):
        pay(account, method, customer=other)
    with pytest.raises(stripe.InvalidRequestError, match="already been attached"):
        account.stripe.payment_methods.attach(method, {"customer": other})


def test_detaching_forgets_the_default_for_good(account: Account) -> None:
    """A detached card is no default any more, and cannot come back."""
    customer = account.customer()
    method = account.stripe.payment_methods.list({"customer": customer}).data[0].id
    account.stripe.payment_methods.detach(method)
    settings = account.stripe.customers.retrieve(customer).invoice_settings
    assert settings is not None
    assert settings.default_payment_method is None
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        account.stripe.payment_methods.attach(method, {"customer": customer})


def test_cards_by_number_and_token(account: Account) -> None:
    """A test card can be given by number or token; an unknown number is incorrect."""
    number: Any = {"number": "4000000000000341", "exp_month": 3, "exp_year": 2040, "cvc": "123"}
    made = account.stripe.payment_methods.create({"type": "card", "card": number})
    assert made.card is not None
    assert (made.card.last4, made.card.exp_year) == ("0341", 2040)
    by_token = account.stripe.payment_methods.create(
        {"type": "card", "card": {"token": "tok_amex"}}
    )
    assert by_token.card is not None
    assert by_token.card.brand == "amex"
    number["number"] = "4242424242424241"
    with pytest.raises(stripe.CardError) as caught:
        account.stripe.payment_methods.create({"type": "card", "card": number})
    assert caught.value.code == "incorrect_number"
