"""Changes of a running subscription, and what they cost to the second."""

from fractions import Fraction
from typing import Any

import pytest
import stripe

from tests.stripe_sim.conftest import DAY_S, Account
from tests.stripe_sim.stories import fail_from_now_on, invoices, item_of, subscribe


def test_a_quantity_change_is_prorated_to_the_second(account: Account) -> None:
    """A third into the period, 1 → 4: credit and debit are the rest's exact share.

    A second of this price costs about a cent, so that being a second out shows.
    """
    customer = account.customer()
    made = subscribe(account, customer, account.price(2_600_001))
    item = item_of(made)
    whole = item.current_period_end - item.current_period_start
    at = item.current_period_start + whole // 3
    account.advance(at)
    account.stripe.subscriptions.update(made.id, {"items": [{"id": item.id, "quantity": 4}]})
    rest = item.current_period_end - at
    pending = account.stripe.invoice_items.list({"customer": customer, "pending": True}).data
    amounts = {str(entry.description).split()[0]: entry.amount for entry in pending}
    assert amounts == {
        "Unused": -round(Fraction(2_600_001 * rest, whole)),
        "Remaining": round(Fraction(4 * 2_600_001 * rest, whole)),
    }
    account.advance(item.current_period_end + 3_600)
    last = invoices(account, made.id)[-1]
    assert last.amount_paid == 4 * 2_600_001 + sum(amounts.values())
    assert account.stripe.invoice_items.list({"customer": customer, "pending": True}).data == []


def test_always_invoice_charges_the_difference_now(account: Account) -> None:
    """``always_invoice`` bills an upgrade's proration at once."""
    customer = account.customer()
    made = subscribe(account, customer, account.price(1_000))
    upgraded = account.stripe.subscriptions.update(
        made.id,
        {
            "items": [{"id": item_of(made).id, "price": account.price(3_000)}],
            "proration_behavior": "always_invoice",
            "expand": ["latest_invoice"],
        },
    )
    invoice: Any = upgraded.latest_invoice
    assert (invoice.billing_reason, invoice.amount_paid) == ("subscription_update", 2_000)
    assert account.journal(customer)["balances"] == {"usd": 3_000}


def test_a_declined_upgrade_changes_nothing(account: Account) -> None:
    """With ``error_if_incomplete`` a decline leaves items, invoices and balance as they were."""
    customer = account.customer()
    made = subscribe(account, customer, account.price(1_000))
    fail_from_now_on(account, customer)
    with pytest.raises(stripe.CardError):
        account.stripe.subscriptions.update(
            made.id,
            {
                "items": [{"id": item_of(made).id, "quantity": 5}],
                "proration_behavior": "always_invoice",
                "payment_behavior": "error_if_incomplete",
            },
        )
    after = account.stripe.subscriptions.retrieve(made.id)
    assert (item_of(after).quantity, after.status) == (1, "active")
    assert len(invoices(account, made.id)) == 1
    assert account.stripe.invoice_items.list({"customer": customer}).data == []


def test_a_downgrade_credits_the_balance(account: Account) -> None:
    """What a downgrade gives back is kept as credit and lowers the next invoice."""
    customer = account.customer()
    made = subscribe(account, customer, account.price(3_000))
    account.stripe.subscriptions.update(
        made.id,
        {
            "items": [{"id": item_of(made).id, "price": account.price(1_000)}],
            "proration_behavior": "always_invoice",
        },
    )
    assert account.stripe.customers.retrieve(customer).balance == -2_000
    account.advance(item_of(made).current_period_end + 3_600)
    assert account.stripe.customers.retrieve(customer).balance == -1_000
    assert account.journal(customer)["balances"] == {"usd": 3_000}


def test_another_interval_starts_a_new_period(account: Account) -> None:
    """From month to year: the rest is credited, a year is billed from now."""
    customer = account.customer()
    made = subscribe(account, customer, account.price(1_000))
    account.advance(account.now + 10 * DAY_S)
    changed = account.stripe.subscriptions.update(
        made.id, {"items": [{"id": item_of(made).id, "price": account.price(9_000, "year")}]}
    )
    item = item_of(changed)
    assert (changed.billing_cycle_anchor, item.current_period_start) == (account.now, account.now)
    period = item_of(made)
    whole = period.current_period_end - period.current_period_start
    credit = round(1_000 * (whole - 10 * DAY_S) / whole)
    assert invoices(account, made.id)[-1].amount_paid == 9_000 - credit
