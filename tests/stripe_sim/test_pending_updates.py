"""``payment_behavior=pending_if_incomplete``: an update that holds once it is paid for."""

from typing import Any

import pytest
import stripe

from tests.stripe_sim.conftest import Account
from tests.stripe_sim.stories import fail_from_now_on, invoices, item_of, subscribe
from tests.stripe_sim.test_versions import OLDEST, old_problems

HOUR_S = 3_600


def upgrade(account: Account, made: stripe.Subscription, **given: Any) -> stripe.Subscription:
    """Ask for four instead of one, and for another item, if that can be paid."""
    items = [{"id": item_of(made).id, "quantity": 4}, {"price": account.price(500)}]
    params: Any = {
        "items": items,
        "payment_behavior": "pending_if_incomplete",
        "proration_behavior": "always_invoice",
        **given,
    }
    return account.stripe.subscriptions.update(made.id, params)


def quantities(account: Account, subscription: str) -> list[int]:
    """Return how many of each item there are."""
    listed = account.stripe.subscription_items.list({"subscription": subscription})
    return sorted(item.quantity or 0 for item in listed.data)


@pytest.fixture
def declined(account: Account) -> stripe.Subscription:
    """Return an active subscription whose customer's card declines from now on."""
    customer = account.customer()
    made = subscribe(account, customer, account.price(1_000))
    fail_from_now_on(account, customer)
    return made


def test_what_can_be_paid_holds_at_once(account: Account) -> None:
    """Nothing waits, and the invoice is paid."""
    made = subscribe(account, account.customer(), account.price(1_000))
    changed = upgrade(account, made)
    assert changed.pending_update is None
    assert quantities(account, made.id) == [1, 4]
    assert invoices(account, made.id)[-1].status == "paid"
    assert "customer.subscription.pending_update_applied" not in account.event_types()


def test_a_declined_update_waits(account: Account, declined: stripe.Subscription) -> None:
    """The subscription goes on as it was, beside it what it will be, for 23 hours."""
    before = len(account.event_types())
    waiting = upgrade(account, declined)
    update: Any = waiting.pending_update
    assert update.expires_at == account.now + 23 * HOUR_S
    assert [item.quantity for item in update.subscription_items] == [4, 1]
    assert (waiting.status, quantities(account, declined.id)) == ("active", [1])
    open_invoice = invoices(account, declined.id)[-1]
    assert (open_invoice.status, open_invoice.next_payment_attempt) == ("open", None)
    assert waiting.latest_invoice == open_invoice.id
    assert account.event_types(before).count("customer.subscription.updated") == 1
    shown = account.raw.get(
        f"/v1/subscriptions/{declined.id}", headers={"Stripe-Version": OLDEST}
    ).json()
    assert old_problems(shown) == []
    assert "current_period_end" not in shown["pending_update"]["subscription_items"][0]


def test_paying_lets_it_hold(account: Account, declined: stripe.Subscription) -> None:
    """Once its invoice is paid the items are the new ones, and nothing is billed twice."""
    waiting = upgrade(account, declined)
    latest: Any = waiting.latest_invoice
    paid = account.stripe.invoices.pay(latest, {"payment_method": "pm_card_visa"})
    assert paid.amount_paid == 3 * 1_000 + 500
    after = account.stripe.subscriptions.retrieve(declined.id)
    assert (after.pending_update, quantities(account, declined.id)) == (None, [1, 4])
    assert account.event_types()[-1] == "customer.subscription.pending_update_applied"
    account.advance(account.now + 24 * HOUR_S)
    assert quantities(account, declined.id) == [1, 4]
    pending: Any = {"customer": after.customer, "pending": True}
    assert account.stripe.invoice_items.list(pending).data == []


def test_unpaid_it_expires(account: Account, declined: stripe.Subscription) -> None:
    """After 23 hours the invoice is void, the update forgotten, and the renewal as ever."""
    upgrade(account, declined)
    account.advance(account.now + 23 * HOUR_S)
    after = account.stripe.subscriptions.retrieve(declined.id)
    assert (after.pending_update, after.status) == (None, "active")
    assert invoices(account, declined.id)[-1].status == "void"
    assert account.event_types()[-1] == "customer.subscription.pending_update_expired"
    account.advance(item_of(after).current_period_end + HOUR_S)
    assert invoices(account, declined.id)[-1].amount_due == 1_000


def test_it_waits_no_longer_than_the_period(account: Account) -> None:
    """Near a period's end that comes first, and the renewal is for what held."""
    customer = account.customer()
    made = subscribe(account, customer, account.price(1_000_000))
    fail_from_now_on(account, customer)
    end = item_of(made).current_period_end
    account.advance(end - HOUR_S)
    update: Any = upgrade(account, made).pending_update
    assert update.expires_at == end
    account.advance(end + HOUR_S)
    assert account.stripe.subscriptions.retrieve(made.id).pending_update is None
    renewal = invoices(account, made.id)[-1]
    assert (renewal.billing_reason, renewal.amount_due) == ("subscription_cycle", 1_000_000)


@pytest.mark.parametrize("how", ["void", "change", "cancel"])
def test_it_is_forgotten(account: Account, declined: stripe.Subscription, how: str) -> None:
    """Voiding its invoice, another change, and the subscription's end each discard it."""
    latest: Any = upgrade(account, declined).latest_invoice
    if how == "void":
        account.stripe.invoices.void_invoice(latest)
    elif how == "change":
        items: Any = [{"id": item_of(declined).id, "quantity": 2}]
        account.stripe.subscriptions.update(declined.id, {"items": items})
    else:
        account.stripe.subscriptions.cancel(declined.id)
    after = account.stripe.subscriptions.retrieve(declined.id)
    assert after.pending_update is None
    account.advance(account.now + 24 * HOUR_S)
    assert quantities(account, declined.id) == [2 if how == "change" else 1]
    assert "customer.subscription.pending_update_expired" not in account.event_types()
    assert account.stripe.invoices.retrieve(latest).status == (
        "open" if how == "cancel" else "void"
    )


def test_the_holder_is_asked(account: Account) -> None:
    """A card that must be authenticated lets the update wait until its holder answers."""
    customer = account.customer()
    made = subscribe(account, customer, account.price(1_000))
    asks = account.stripe.payment_methods.attach(
        "pm_card_authenticationRequired", {"customer": customer}
    )
    account.stripe.customers.update(
        customer, {"invoice_settings": {"default_payment_method": asks.id}}
    )
    latest: Any = upgrade(account, made, expand=["latest_invoice.payments"]).latest_invoice
    intent = latest.payments.data[0].payment.payment_intent
    assert account.stripe.payment_intents.retrieve(intent).status == "requires_action"
    account.raw.post(f"/simulator/payment_intents/{intent}/authenticate").raise_for_status()
    assert quantities(account, made.id) == [1, 4]


def test_what_cannot_wait_is_refused(account: Account, declined: stripe.Subscription) -> None:
    """Only what makes an invoice can wait, and no subscription can begin so."""
    with pytest.raises(stripe.InvalidRequestError, match="supported parameters") as caught:
        upgrade(account, declined, metadata={"a": "b"})
    assert caught.value.param == "metadata"
    with pytest.raises(stripe.InvalidRequestError, match="payment_behavior"):
        subscribe(
            account,
            account.customer(),
            account.price(),
            payment_behavior="pending_if_incomplete",
        )
    assert quantities(account, declined.id) == [1]
