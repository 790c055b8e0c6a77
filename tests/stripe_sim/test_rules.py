"""What payment methods, payment intents and subscriptions refuse, and what they take."""

from typing import Any

import pytest
import stripe

from tests.stripe_sim.conftest import DAY_S, Account
from tests.stripe_sim.stories import invoices, item_of, subscribe


def refusal(account: Account, path: str, **form: Any) -> dict[str, Any]:
    """Return the error of a POST that is refused."""
    answer = account.raw.post(f"/v1/{path}", data=form)
    assert 400 <= answer.status_code < 500, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


def test_a_payment_method_belongs_to_one_customer(account: Account) -> None:
    """It is attached once, used by its owner alone, and never again once detached."""
    methods, owner, other = (
        account.stripe.payment_methods,
        account.customer(None),
        account.customer(),
    )
    method = methods.attach("pm_card_visa", {"customer": owner})
    taken = refusal(account, f"payment_methods/{method.id}/attach", customer=other)
    assert taken["code"] == "payment_method_unexpected_state"
    foreign = refusal(
        account,
        f"customers/{other}",
        **{"invoice_settings[default_payment_method]": method.id},
    )
    assert foreign["param"] == "invoice_settings[default_payment_method]"
    account.stripe.customers.update(
        owner, {"invoice_settings": {"default_payment_method": method.id}}
    )
    made = subscribe(account, owner, account.price(), default_payment_method=method.id)
    methods.detach(method.id)
    settings: Any = account.stripe.customers.retrieve(owner).invoice_settings
    assert settings.default_payment_method is None
    assert account.stripe.subscriptions.retrieve(made.id).default_payment_method is None
    gone = refusal(account, f"payment_methods/{method.id}/attach", customer=owner)
    assert "may not be used again" in gone["message"]
    assert refusal(account, f"payment_methods/{method.id}/detach")["code"]


def test_a_payment_method_is_changed_once_attached(account: Account) -> None:
    """Expiry, owner and metadata; what is attached to nobody stays as it is."""
    methods = account.stripe.payment_methods
    data: Any = {"type": "card", "card": {"token": "tok_mastercard"}, "metadata": {"a": "1"}}
    method = methods.create(data)
    assert refusal(account, f"payment_methods/{method.id}", **{"metadata[a]": "2"})["code"]
    customer = account.customer(None)
    methods.attach(method.id, {"customer": customer})
    changed = methods.update(
        method.id,
        {
            "card": {"exp_year": 2040},
            "billing_details": {"name": "B. Uyer", "address": {"city": "Bern"}},
            "metadata": {"a": ""},
            "allow_redisplay": "always",
        },
    )
    card, owner, metadata = changed.card, changed.billing_details, changed.metadata
    assert card is not None
    assert metadata is not None
    assert (card.exp_year, owner.name, metadata.to_dict()) == (2040, "B. Uyer", {})
    listed = account.raw.get(f"/v1/customers/{customer}/payment_methods").json()["data"]
    assert [each["id"] for each in listed] == [method.id]
    assert [each.id for each in methods.list().data] == [method.id]


def test_a_payment_method_is_made_of_test_data(account: Account) -> None:
    """Test numbers and tokens only; a token can also be looked at."""
    method = account.stripe.payment_methods.retrieve("pm_card_amex")
    assert method.card is not None
    assert method.card.brand == "amex"
    assert account.raw.get("/v1/payment_methods/pm_none").status_code == 404
    wrong = {"type": "card", "card[number]": "4000000000000000"}
    assert refusal(account, "payment_methods", **wrong)["code"] == "incorrect_number"
    unknown = {"type": "card", "card[token]": "tok_nobody"}
    assert refusal(account, "payment_methods", **unknown)["code"] == "resource_missing"
    assert refusal(account, "payment_methods", type="card")["param"] == "card"
    assert refusal(account, "payment_methods", type="sepa_debit")["param"] == "sepa_debit"
    form = {"amount": "500", "currency": "usd", "payment_method": "pm_none"}
    assert refusal(account, "payment_intents", **form)["param"] == "payment_method"


def test_an_intent_is_changed_until_it_is_paid(account: Account) -> None:
    """Amount, customer, method and metadata; afterwards only words about it."""
    intents, customer = account.stripe.payment_intents, account.customer()
    intent = intents.create({"amount": 500, "currency": "usd", "metadata": {"a": "1"}})
    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method"):
        intents.confirm(intent.id)
    changed = intents.update(
        intent.id,
        {
            "amount": 700,
            "customer": customer,
            "metadata": {"b": "2"},
            "payment_method": "pm_card_visa",
            "shipping": {"name": "B. Uyer", "address": {"line1": "1 Way"}},
        },
    )
    assert (changed.amount, changed.status) == (700, "requires_confirmation")
    assert intents.confirm(intent.id, {"receipt_email": "b@example.com"}).status == "succeeded"
    assert intents.update(intent.id, {"description": "paid"}).description == "paid"
    assert refusal(account, f"payment_intents/{intent.id}", amount="900")["code"]
    assert refusal(account, f"payment_intents/{intent.id}/confirm")["code"]
    assert refusal(account, f"payment_intents/{intent.id}/cancel")["code"]
    assert refusal(account, f"payment_intents/{intent.id}/capture")["code"]
    cancelled = intents.cancel(intents.create({"amount": 500, "currency": "usd"}).id)
    again = refusal(account, f"payment_intents/{cancelled.id}/confirm")
    assert again["code"] == "payment_intent_unexpected_state"


def test_an_intent_says_when_it_is_confirmed(account: Account) -> None:
    """What only makes sense with ``confirm`` is refused without it; action can be an error."""
    form = {"amount": "500", "currency": "usd"}
    assert refusal(account, "payment_intents", **form, off_session="true")["param"] == "off_session"
    wants = {"payment_method": "pm_card_authenticationRequired", "confirm": "true"}
    error = refusal(account, "payment_intents", **form, **wants, error_on_requires_action="true")
    assert error["code"] == "authentication_required"


def test_an_invoices_intent_is_the_invoices(account: Account) -> None:
    """It is not cancelled by itself, and a capture takes at most what was authorised."""
    made = subscribe(
        account,
        account.customer(None),
        account.price(),
        payment_behavior="default_incomplete",
        expand=["latest_invoice.payments"],
    )
    latest: Any = made.latest_invoice
    intent = latest.payments.data[0].payment.payment_intent
    assert (
        "created by an invoice" in refusal(account, f"payment_intents/{intent}/cancel")["message"]
    )
    form = {"amount": "500", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true"}
    held = account.raw.post("/v1/payment_intents", data={**form, "capture_method": "manual"}).json()
    path = f"payment_intents/{held['id']}/capture"
    assert refusal(account, path, amount_to_capture="501")["code"] == "amount_too_large"
    assert refusal(account, path, amount_to_capture="0")["code"] == "amount_too_small"


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"items": ""}, "items"),
        ({"items[0][quantity]": "1"}, "items[0][price]"),
        ({"items[0][price]": "PRICE", "items[1][price]": "PRICE"}, "same plan"),
        ({"items[0][price]": "PRICE", "items[1][price]": "YEARLY"}, "interval"),
        ({"items[0][price]": "PRICE", "currency": "eur"}, "expected currency"),
        ({"items[0][price]": "ONCE"}, "one_time"),
        ({"items[0][price]": "PRICE", "collection_method": "send_invoice"}, "days_until_due"),
        ({"items[0][price]": "PRICE", "trial_end": "5"}, "in the future"),
        ({"items[0][price]": "PRICE", "trial_end": "now", "trial_period_days": "3"}, "only"),
        ({"items[0][price]": "PRICE", "billing_cycle_anchor": "5"}, "natural billing date"),
        ({"items[0][price]": "PRICE", "add_invoice_items[0][quantity]": "1"}, "add_invoice_items"),
        ({"items[0][price]": "PRICE", "payment_behavior": "pending_if_incomplete"}, "must be one"),
    ],
)
def test_a_subscription_must_make_sense(account: Account, form: dict[str, str], said: str) -> None:
    """Prices that go together, times in the future, and whatever else is needed."""
    monthly = account.stripe.prices.retrieve(account.price())
    product: Any = monthly.product
    once = account.stripe.prices.create({"product": product, "currency": "usd", "unit_amount": 5})
    names = {"PRICE": monthly.id, "YEARLY": account.price(9, "year"), "ONCE": once.id}
    given = {key: names.get(value, value) for key, value in form.items()}
    error = refusal(account, "subscriptions", customer=account.customer(), **given)
    assert said in error["message"]
    assert account.stripe.subscriptions.list({"status": "all"}).data == []


def test_a_subscription_starts_with_more_than_its_price(account: Account) -> None:
    """A price made in place, an item for once, an end of the trial: all on one invoice."""
    customer = account.customer()
    product = account.stripe.products.create({"name": "P"}).id
    once = account.stripe.prices.create({"product": product, "currency": "usd", "unit_amount": 70})
    price: Any = {
        "currency": "usd",
        "product": product,
        "unit_amount": 900,
        "recurring": {"interval": "month"},
    }
    params: Any = {
        "customer": customer,
        "items": [{"price_data": price}],
        "add_invoice_items": [{"price": once.id, "quantity": 2}],
        "trial_end": "now",
    }
    made = account.stripe.subscriptions.create(params)
    assert invoices(account, made.id)[0].amount_paid == 1_040
    changed: Any = {"items": [{"id": item_of(made).id, "price_data": {**price, "unit_amount": 1}}]}
    updated = account.stripe.subscriptions.update(made.id, changed)
    assert item_of(updated).price.unit_amount == 1


def test_a_cancelled_subscription_keeps_its_last_words(account: Account) -> None:
    """Its feedback and metadata can be changed, nothing else, and it ends once."""
    customer = account.customer()
    made = subscribe(account, customer, account.price())
    subscriptions = account.stripe.subscriptions
    subscriptions.update(made.id, {"cancellation_details": {"comment": "hm"}})
    ended = subscriptions.cancel(
        made.id, {"cancellation_details": {"feedback": "unused"}, "invoice_now": True}
    )
    details = ended.cancellation_details
    assert details is not None
    assert (ended.status, details.feedback) == ("canceled", "unused")
    assert subscriptions.update(made.id, {"metadata": {"a": "1"}}).status == "canceled"
    assert (
        "canceled subscription"
        in refusal(account, f"subscriptions/{made.id}", description="x")["message"]
    )
    assert account.raw.delete(f"/v1/subscriptions/{made.id}").status_code == 404


def test_subscriptions_are_listed_by_what_they_are(account: Account) -> None:
    """By price and status, ended ones only when asked for."""
    customer, first, second = account.customer(), account.price(), account.price(2)
    one, two = subscribe(account, customer, first), subscribe(account, customer, second)
    listed = account.stripe.subscriptions
    assert [each.id for each in listed.list({"price": second}).data] == [two.id]
    listed.cancel(one.id)
    assert [each.id for each in listed.list().data] == [two.id]
    for status, ids in (("ended", [one.id]), ("active", [two.id]), ("all", [two.id, one.id])):
        found = listed.list({"status": status, "customer": customer}).data
        assert [each.id for each in found] == ids


def test_a_subscriptions_plain_facts_change(account: Account) -> None:
    """Payment method, settings, trial's end and words about it."""
    customer = account.customer()
    made = subscribe(account, customer, account.price(), trial_period_days=9)
    method = account.stripe.payment_methods.list({"customer": customer}).data[0].id
    changed = account.stripe.subscriptions.update(
        made.id,
        {
            "default_payment_method": method,
            "description": "mine",
            "payment_settings": {"save_default_payment_method": "on_subscription"},
            "trial_settings": {"end_behavior": {"missing_payment_method": "cancel"}},
            "trial_end": account.now + 20 * DAY_S,
        },
    )
    assert (changed.default_payment_method, changed.description) == (method, "mine")
    assert changed.trial_end == account.now + 20 * DAY_S
    emptied = account.stripe.subscriptions.update(made.id, {"default_payment_method": ""})
    assert emptied.default_payment_method is None
