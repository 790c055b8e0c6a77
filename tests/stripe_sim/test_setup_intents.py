"""Cards made ready for later: setup intents, and sources of the older API."""

from typing import Any

import pytest
import stripe

from tests.stripe_sim.conftest import Account
from tests.stripe_sim.stories import invoices, subscribe


def set_up(account: Account, card: str, **given: Any) -> stripe.SetupIntent:
    """Confirm a setup of a test card."""
    params: Any = {"payment_method": card, "confirm": True, **given}
    return account.stripe.setup_intents.create(params)


def charge_later(account: Account, customer: str, method: str) -> stripe.PaymentIntent:
    """Charge a customer who is not there."""
    return account.stripe.payment_intents.create(
        {
            "amount": 900,
            "currency": "usd",
            "customer": customer,
            "payment_method": method,
            "confirm": True,
            "off_session": True,
        }
    )


def answer(account: Account, setup: stripe.SetupIntent, *, succeed: bool) -> None:
    """Answer the bank's question in the customer's place."""
    path = f"/simulator/setup_intents/{setup.id}/authenticate"
    assert account.raw.post(path, json={"succeed": succeed}).status_code == 200


def test_a_setup_attaches_the_card(account: Account) -> None:
    """What was set up for a customer is attached to them and can be charged later."""
    customer = account.customer(None)
    setup = set_up(account, "pm_card_visa", customer=customer, metadata={"a": "1"})
    assert setup.status == "succeeded"
    method: Any = setup.payment_method
    assert account.stripe.payment_methods.retrieve(method).customer == customer
    assert charge_later(account, customer, method).status == "succeeded"
    assert account.event_types()[1:4] == [
        "setup_intent.created",
        "payment_method.attached",
        "setup_intent.succeeded",
    ]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        account.stripe.setup_intents.cancel(setup.id)
    assert caught.value.code == "setup_intent_unexpected_state"


def test_a_card_that_wants_it_once_is_content_after_a_setup(account: Account) -> None:
    """Off session it fails before the customer authenticated a setup, and works after."""
    customer = account.customer(None)
    attached = account.stripe.payment_methods.attach(
        "pm_card_authenticationRequiredOnSetup", {"customer": customer}
    )
    with pytest.raises(stripe.CardError) as caught:
        charge_later(account, customer, attached.id)
    assert caught.value.code == "authentication_required"
    setup = set_up(account, attached.id, customer=customer)
    action: Any = setup.next_action
    assert (setup.status, action.type) == ("requires_action", "use_stripe_sdk")
    answer(account, setup, succeed=True)
    assert account.stripe.setup_intents.retrieve(setup.id).status == "succeeded"
    assert charge_later(account, customer, attached.id).status == "succeeded"


def test_a_payment_that_keeps_the_card_authenticates_it_too(account: Account) -> None:
    """On session with ``setup_future_usage`` the customer is asked once, for good."""
    customer = account.customer(None)
    intent = account.stripe.payment_intents.create(
        {
            "amount": 900,
            "currency": "usd",
            "customer": customer,
            "payment_method": "pm_card_authenticationRequiredOnSetup",
            "setup_future_usage": "off_session",
            "confirm": True,
        }
    )
    path = f"/simulator/payment_intents/{intent.id}/authenticate"
    assert account.raw.post(path, json={}).status_code == 200
    method: Any = account.stripe.payment_intents.retrieve(intent.id).payment_method
    assert charge_later(account, customer, method).status == "succeeded"


def test_a_setup_that_fails_waits_for_another_card(account: Account) -> None:
    """A decline and a failed authentication leave an error and no payment method."""
    with pytest.raises(stripe.CardError) as caught:
        set_up(account, "pm_card_chargeDeclined")
    body: Any = caught.value.json_body
    declined = account.stripe.setup_intents.retrieve(body["error"]["setup_intent"]["id"])
    assert (declined.status, declined.payment_method) == ("requires_payment_method", None)
    asked = set_up(account, "pm_card_authenticationRequired")
    answer(account, asked, succeed=False)
    failed = account.stripe.setup_intents.retrieve(asked.id)
    error: Any = failed.last_setup_error
    assert error.code == "setup_intent_authentication_failure"
    again = account.stripe.setup_intents.confirm(failed.id, {"payment_method": "pm_card_visa"})
    assert (again.status, again.last_setup_error) == ("succeeded", None)
    refused = account.raw.post(f"/simulator/setup_intents/{again.id}/authenticate", json={})
    assert refused.status_code == 400


def test_a_setup_is_changed_and_confirmed_later(account: Account) -> None:
    """It goes from no payment method to confirmed, and is listed by its customer."""
    customer = account.customer(None)
    setups = account.stripe.setup_intents
    given: Any = {"payment_method_types": ["card"], "usage": "on_session"}
    setup = setups.create(given)
    assert (setup.status, setup.usage) == ("requires_payment_method", "on_session")
    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method"):
        setups.confirm(setup.id)
    data: Any = {"type": "card", "card": {"number": "4242424242424242", "cvc": "123"}}
    changed = setups.update(
        setup.id, {"customer": customer, "metadata": {"k": "v"}, "payment_method_data": data}
    )
    assert (changed.status, changed.customer) == ("requires_confirmation", customer)
    assert setups.confirm(setup.id).status == "succeeded"
    assert [each.id for each in setups.list({"customer": customer}).data] == [setup.id]
    with pytest.raises(stripe.InvalidRequestError, match="cannot change"):
        setups.update(setup.id, {"description": "late"})


def test_a_bank_account_is_set_up_without_a_question(account: Account) -> None:
    """A direct debit's account can be kept; a card that declines later is kept as well."""
    customer = account.customer(None)
    data: Any = {"type": "sepa_debit", "sepa_debit": {"iban": "AT611904300234573201"}}
    given: Any = {"customer": customer, "confirm": True, "payment_method_data": data}
    given["payment_method_types"] = ["sepa_debit"]
    setup = account.stripe.setup_intents.create(given)
    assert setup.status == "succeeded"
    assert set_up(account, "pm_card_chargeCustomerFail", customer=customer).status == "succeeded"
    kept = account.stripe.payment_methods.list({"customer": customer, "type": "sepa_debit"}).data
    assert [each.type for each in kept] == ["sepa_debit"]


def test_a_source_pays_for_everything(account: Account) -> None:
    """A customer made with a token is charged directly and for subscriptions alike."""
    customer = account.stripe.customers.create({"source": "tok_visa"})
    source: Any = customer.default_source
    assert source.startswith("card_")
    charge = account.stripe.charges.create(
        {"amount": 700, "currency": "usd", "customer": customer.id}
    )
    assert (charge.payment_method, charge.customer) == (source, customer.id)
    made = subscribe(account, customer.id, account.price(1_000))
    assert [invoice.status for invoice in invoices(account, made.id)] == ["paid"]


def test_sources_are_added_changed_and_removed(account: Account) -> None:
    """They are listed in their older form; without one left, nothing can be charged."""
    customer = account.customer(None)
    path = f"/v1/customers/{customer}/sources"
    first = account.raw.post(path, data={"source": "tok_visa", "metadata[a]": "1"}).json()
    assert (first["object"], first["brand"], first["metadata"]) == ("card", "Visa", {"a": "1"})
    second = account.raw.post(path, data={"source": "tok_mastercard"}).json()
    account.stripe.customers.update(customer, {"source": "tok_amex"})
    listed = account.raw.get(path, params={"object": "card"}).json()["data"]
    assert [each["brand"] for each in listed] == ["Amex", "Mastercard", "Visa"]
    form = {"name": "B. Uyer", "exp_year": "2031", "metadata[a]": ""}
    changed = account.raw.post(f"{path}/{second['id']}", data=form).json()
    assert (changed["name"], changed["exp_year"]) == ("B. Uyer", 2031)
    assert account.raw.get(f"{path}/{second['id']}").json() == changed
    for each in listed:
        assert account.raw.delete(f"{path}/{each['id']}").json()["deleted"]
    assert account.stripe.customers.retrieve(customer).default_source is None
    with pytest.raises(stripe.CardError):
        account.stripe.charges.create({"amount": 700, "currency": "usd", "customer": customer})
    assert account.raw.get(f"{path}/{first['id']}").status_code == 404


def test_a_source_must_be_a_token_of_a_good_card(account: Account) -> None:
    """Unknown tokens are refused as missing, and a card that declines is not kept."""
    customer = account.customer(None)
    path = f"/v1/customers/{customer}/sources"
    unknown = account.raw.post(path, data={"source": "tok_nobody"})
    assert unknown.json()["error"]["code"] == "resource_missing"
    declined = account.raw.post(path, data={"source": "tok_chargeDeclined"})
    assert (declined.status_code, declined.json()["error"]["type"]) == (402, "card_error")
    assert account.raw.get(path).json()["data"] == []
