"""Subscriptions over time: first payment, renewal, dunning, changes, cancellation."""

from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from simulators.stripe.settings import Settings
from tests.stripe_sim.conftest import DAY_S, Account
from tests.stripe_sim.stories import fail_from_now_on, invoices, item_of, subscribe


def test_a_subscription_charges_at_once(account: Account) -> None:
    """Creating bills the first period: invoice, payment, charge and status agree."""
    customer, price = account.customer(), account.price(1_000)
    before = len(account.event_types())
    made = subscribe(
        account, customer, price, quantity=3, expand=["latest_invoice.payments", "customer"]
    )
    invoice: Any = made.latest_invoice
    assert made.status == "active"
    assert (invoice.status, invoice.amount_paid, invoice.billing_reason) == (
        "paid",
        3_000,
        "subscription_create",
    )
    assert invoice.parent.subscription_details.subscription == made.id
    [payment] = invoice.payments.data
    assert (payment.status, payment.amount_paid) == ("paid", 3_000)
    [entry] = account.journal(customer)["entries"]
    assert (entry["amount_minor"], entry["invoice"]) == (3_000, invoice.id)
    assert entry["payment_intent"] == payment.payment.payment_intent
    assert account.event_types(before) == [
        "customer.subscription.created",
        "invoice.created",
        "payment_intent.created",
        "invoice.finalized",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice_payment.paid",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
    ]


def test_updated_events_tell_the_old_values(account: Account) -> None:
    """``previous_attributes`` holds what changed, as it was, and nothing else."""
    made = subscribe(account, account.customer(), account.price())
    account.stripe.subscriptions.update(made.id, {"metadata": {"a": "1"}})
    [event, *_] = account.stripe.events.list({"type": "customer.subscription.updated"}).data
    assert event.data.to_dict()["previous_attributes"] == {"metadata": {"a": None}}


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("pm_card_chargeCustomerFail", "card_declined"),
        ("pm_card_authenticationRequired", "authentication_required"),
    ],
)
def test_error_if_incomplete_leaves_only_the_failed_attempt(
    account: Account, card: str, code: str
) -> None:
    """A decline is a 402; no subscription and no invoice remain, the failed charge does."""
    customer, price = account.customer(card), account.price()
    before = len(account.event_types())
    with pytest.raises(stripe.CardError) as caught:
        subscribe(
            account, customer, price, payment_behavior="error_if_incomplete", off_session=True
        )
    assert caught.value.code == code
    assert account.stripe.subscriptions.list({"customer": customer, "status": "all"}).data == []
    assert account.stripe.invoices.list({"customer": customer}).data == []
    [entry] = account.journal(customer)["entries"]
    assert (entry["state"], entry["amount_minor"]) == ("failed", 1_000)
    assert account.event_types(before) == [
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
    ]


def test_an_incomplete_subscription_is_completed_by_paying_its_invoice(account: Account) -> None:
    """By default a decline leaves it incomplete; paying with another card activates it."""
    customer = account.customer("pm_card_chargeCustomerFail")
    made = subscribe(account, customer, account.price())
    assert made.status == "incomplete"
    latest: Any = made.latest_invoice
    invoice = account.stripe.invoices.pay(latest, {"payment_method": "pm_card_visa"})
    assert (invoice.status, invoice.attempt_count) == ("paid", 2)
    assert account.stripe.subscriptions.retrieve(made.id).status == "active"


def test_an_incomplete_subscription_expires(account: Account) -> None:
    """After 23 hours without payment it has expired and its invoice is void."""
    customer = account.customer("pm_card_chargeCustomerFail")
    made = subscribe(account, customer, account.price())
    account.advance(account.now + 24 * 3_600)
    after = account.stripe.subscriptions.retrieve(made.id, {"expand": ["latest_invoice"]})
    invoice: Any = after.latest_invoice
    assert (after.status, invoice.status) == ("incomplete_expired", "void")


def test_default_incomplete_waits_for_the_client(account: Account) -> None:
    """``default_incomplete`` charges nothing until the intent is confirmed."""
    made = subscribe(
        account,
        account.customer(None),
        account.price(),
        payment_behavior="default_incomplete",
        expand=["latest_invoice.payments"],
    )
    assert made.status == "incomplete"
    assert account.journal()["entries"] == []
    invoice: Any = made.latest_invoice
    intent = invoice.payments.data[0].payment.payment_intent
    account.stripe.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})
    assert account.stripe.subscriptions.retrieve(made.id).status == "active"


def test_without_a_payment_method_nothing_is_made(account: Account) -> None:
    """A customer with nothing to pay with cannot subscribe, unless the price is nought."""
    customer = account.customer(None)
    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
        subscribe(account, customer, account.price())
    assert subscribe(account, customer, account.price(0)).status == "active"


def test_renewal_drafts_finalises_and_pays(account: Account) -> None:
    """At the period's end a draft appears; an hour later it is finalised and paid."""
    customer = account.customer()
    made = subscribe(account, customer, account.price(700))
    end = item_of(made).current_period_end
    account.advance(end + 60)
    draft = invoices(account, made.id)[-1]
    assert (draft.status, draft.billing_reason) == ("draft", "subscription_cycle")
    assert draft.automatically_finalizes_at == end + 3_600
    account.advance(end + 3_600)
    paid = invoices(account, made.id)[-1]
    assert (paid.status, paid.amount_paid) == ("paid", 700)
    assert paid.status_transitions.paid_at == end + 3_600
    assert account.journal(customer)["balances"] == {"usd": 1_400}


def test_invoices_are_numbered_per_customer(account: Account) -> None:
    """Numbers run without gaps within a customer, under a prefix of its own."""
    price = account.price()
    for _ in range(2):
        made = subscribe(account, account.customer(), price)
        account.advance(item_of(made).current_period_end + 3_600)
        numbers = [str(invoice.number) for invoice in invoices(account, made.id)]
        prefix = numbers[0].partition("-")[0]
        assert numbers == [f"{prefix}-{n:04d}" for n in range(1, len(numbers) + 1)]


def test_the_anchor_keeps_its_day_in_short_months(account: Account) -> None:
    """Anchored on the 31st it renews on the last day of shorter months, then on the 31st."""
    start = int(datetime(2028, 1, 31, 12, tzinfo=UTC).timestamp())
    account.advance(start)
    made = subscribe(account, account.customer(), account.price())
    ends = []
    for _ in range(4):
        end = item_of(account.stripe.subscriptions.retrieve(made.id)).current_period_end
        ends.append(datetime.fromtimestamp(end, UTC).strftime("%m-%d %H"))
        account.advance(end + 3_600)
    assert ends == ["02-29 12", "03-31 12", "04-30 12", "05-31 12"]


def test_a_failed_renewal_is_past_due_and_retried_until_canceled(account: Account) -> None:
    """Dunning: past due at once, a retry after 3, 5 and 7 days, then canceled."""
    customer = account.customer()
    made = subscribe(account, customer, account.price())
    fail_from_now_on(account, customer)
    end = item_of(made).current_period_end + 3_600
    account.advance(end)
    invoice = invoices(account, made.id)[-1]
    assert account.stripe.subscriptions.retrieve(made.id).status == "past_due"
    assert invoice.next_payment_attempt == end + 3 * DAY_S
    account.advance(end + 15 * DAY_S)
    after = account.stripe.subscriptions.retrieve(made.id)
    assert after.status == "canceled"
    assert after.cancellation_details is not None
    assert after.cancellation_details.reason == "payment_failed"
    failed = [e["at"] for e in account.journal(customer)["entries"] if e["state"] == "failed"]
    assert failed == [end, end + 3 * DAY_S, end + 8 * DAY_S, end + 15 * DAY_S]


def test_a_paid_retry_makes_it_active_again(account: Account) -> None:
    """A new card before the next retry brings a past-due subscription back."""
    customer = account.customer()
    made = subscribe(account, customer, account.price())
    fail_from_now_on(account, customer)
    account.advance(item_of(made).current_period_end + 3_600)
    good = account.stripe.payment_methods.attach("pm_card_visa", {"customer": customer})
    account.stripe.subscriptions.update(made.id, {"default_payment_method": good.id})
    account.advance(account.now + 3 * DAY_S)
    assert account.stripe.subscriptions.retrieve(made.id).status == "active"
    assert account.journal(customer)["balances"] == {"usd": 2_000}


def test_unpaid_by_setting(open_account: Any) -> None:
    """Where settings say so, the last retry leaves it unpaid, with drafts that stay drafts."""
    settings = Settings(seed=2, running=False, dunning_s=(DAY_S,), after_dunning="unpaid")
    account: Account = open_account(settings)
    customer = account.customer()
    made = subscribe(account, customer, account.price())
    fail_from_now_on(account, customer)
    account.advance(item_of(made).current_period_end + 2 * DAY_S)
    after = account.stripe.subscriptions.retrieve(made.id)
    assert after.status == "unpaid"
    account.advance(item_of(after).current_period_end + DAY_S)
    assert invoices(account, made.id)[-1].status == "draft"


def test_a_trial_costs_nothing_until_it_ends(account: Account) -> None:
    """A trial's invoice is nought and paid; three days before its end a warning goes out."""
    customer = account.customer()
    made = subscribe(account, customer, account.price(1_000), trial_period_days=14)
    assert made.status == "trialing"
    assert made.trial_end is not None
    assert [invoice.status for invoice in invoices(account, made.id)] == ["paid"]
    account.advance(made.trial_end - 3 * DAY_S)
    assert account.event_types()[-1] == "customer.subscription.trial_will_end"
    assert account.journal(customer)["entries"] == []
    account.advance(made.trial_end + 3_600)
    assert account.stripe.subscriptions.retrieve(made.id).status == "active"
    assert account.journal(customer)["balances"] == {"usd": 1_000}


def test_ending_a_trial_now_charges_now(account: Account) -> None:
    """``trial_end=now`` bills at once and starts the period now."""
    customer = account.customer()
    made = subscribe(account, customer, account.price(1_000), trial_period_days=14)
    ended = account.stripe.subscriptions.update(made.id, {"trial_end": "now"})
    assert (ended.status, ended.billing_cycle_anchor) == ("active", account.now)
    assert account.journal(customer)["balances"] == {"usd": 1_000}


def test_an_anchor_ahead_prorates_the_first_period(account: Account) -> None:
    """Up to a billing anchor in the future, only the part is charged."""
    customer = account.customer()
    start = int(datetime(2028, 6, 16, tzinfo=UTC).timestamp())
    account.advance(start)
    made = subscribe(
        account, customer, account.price(3_000), billing_cycle_anchor=start + 15 * DAY_S
    )
    assert item_of(made).current_period_end == start + 15 * DAY_S
    assert invoices(account, made.id)[0].amount_paid == 1_500


def test_cancel_at_period_end_and_resume(account: Account) -> None:
    """Planned to end, taken back, planned again: it ends at the period's end, unbilled."""
    customer = account.customer()
    made = subscribe(account, customer, account.price())
    planned = account.stripe.subscriptions.update(made.id, {"cancel_at_period_end": True})
    end = item_of(made).current_period_end
    assert (planned.status, planned.cancel_at) == ("active", end)
    resumed = account.stripe.subscriptions.update(made.id, {"cancel_at_period_end": False})
    assert (resumed.cancel_at, resumed.canceled_at) == (None, None)
    account.stripe.subscriptions.update(made.id, {"cancel_at_period_end": True})
    account.advance(end)
    after = account.stripe.subscriptions.retrieve(made.id)
    assert (after.status, after.ended_at) == ("canceled", end)
    assert account.event_types()[-1] == "customer.subscription.deleted"
    account.advance(end + 40 * DAY_S)
    assert account.journal(customer)["balances"] == {"usd": 1_000}


def test_cancel_now_with_credit(account: Account) -> None:
    """Cancelling with ``prorate`` and ``invoice_now`` credits the unused time."""
    customer = account.customer()
    made = subscribe(account, customer, account.price(1_000))
    canceled = account.stripe.subscriptions.cancel(made.id, {"prorate": True, "invoice_now": True})
    assert canceled.status == "canceled"
    assert account.stripe.customers.retrieve(customer).balance == -1_000
    with pytest.raises(stripe.InvalidRequestError):
        account.stripe.subscriptions.cancel(made.id)
    with pytest.raises(stripe.InvalidRequestError, match="canceled subscription"):
        account.stripe.subscriptions.update(made.id, {"cancel_at_period_end": True})


def test_items_can_be_added_and_removed(account: Account) -> None:
    """Items are changed by themselves too; the last one cannot be removed."""
    made = subscribe(account, account.customer(), account.price(1_000))
    added = account.stripe.subscription_items.create(
        {"subscription": made.id, "price": account.price(500), "quantity": 2}
    )
    assert added.quantity == 2
    assert account.stripe.subscription_items.update(added.id, {"quantity": 3}).quantity == 3
    account.stripe.subscription_items.delete(added.id)
    left = account.stripe.subscription_items.list({"subscription": made.id}).data
    assert [item.id for item in left] == [item_of(made).id]
    with pytest.raises(stripe.InvalidRequestError, match="at least one"):
        account.stripe.subscription_items.delete(item_of(made).id)


def test_deleting_a_customer_ends_its_subscriptions(account: Account) -> None:
    """A deleted customer is a stub; its subscription is canceled and charges no more."""
    customer = account.customer()
    made = subscribe(account, customer, account.price())
    account.stripe.customers.delete(customer)
    assert account.stripe.customers.retrieve(customer).deleted is True
    assert account.stripe.subscriptions.retrieve(made.id).status == "canceled"
    account.advance(account.now + 70 * DAY_S)
    assert len(account.journal(customer)["entries"]) == 1


def test_invoices_by_hand(account: Account) -> None:
    """A draft by hand takes up pending items, is finalised, sent, voided or paid."""
    customer = account.customer()
    account.stripe.invoice_items.create({"customer": customer, "amount": 800, "currency": "usd"})
    draft = account.stripe.invoices.create(
        {"customer": customer, "pending_invoice_items_behavior": "include"}
    )
    assert (draft.status, draft.total) == ("draft", 800)
    opened = account.stripe.invoices.finalize_invoice(draft.id)
    assert (opened.status, opened.amount_due) == ("open", 800)
    assert account.stripe.invoices.pay(draft.id).status == "paid"
    other = account.stripe.invoices.create({"customer": customer})
    account.stripe.invoice_items.create(
        {"customer": customer, "amount": 900, "currency": "usd", "invoice": other.id}
    )
    account.stripe.invoices.finalize_invoice(other.id)
    assert account.stripe.invoices.mark_uncollectible(other.id).status == "uncollectible"
    assert account.stripe.invoices.void_invoice(other.id).status == "void"
    assert account.journal(customer)["balances"] == {"usd": 800}


def test_a_trial_without_a_card_ends_as_set(account: Account) -> None:
    """A trial whose end finds nothing to pay with cancels, where ``trial_settings`` say so."""
    settings = {"end_behavior": {"missing_payment_method": "cancel"}}
    made = subscribe(
        account,
        account.customer(None),
        account.price(),
        trial_period_days=7,
        trial_settings=settings,
    )
    account.advance(account.now + 8 * DAY_S)
    assert account.stripe.subscriptions.retrieve(made.id).status == "canceled"
    assert account.journal()["entries"] == []


def test_a_first_payment_can_leave_its_card_behind(account: Account) -> None:
    """``on_subscription`` keeps the card of the first payment: attached, and the default."""
    made = subscribe(
        account,
        account.customer(None),
        account.price(),
        payment_behavior="default_incomplete",
        payment_settings={"save_default_payment_method": "on_subscription"},
        expand=["latest_invoice.payments"],
    )
    invoice: Any = made.latest_invoice
    intent = invoice.payments.data[0].payment.payment_intent
    account.stripe.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})
    after = account.stripe.subscriptions.retrieve(made.id, {"expand": ["default_payment_method"]})
    method: Any = after.default_payment_method
    assert method.customer == made.customer
