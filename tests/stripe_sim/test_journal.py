"""The journal: by customer, invoice, intent and key, with balances and the reason to bill."""

from typing import Any

from tests.stripe_sim.breaking import pay
from tests.stripe_sim.conftest import DAY_S, Account
from tests.stripe_sim.stories import item_of, subscribe


def entries(account: Account, **wanted: str) -> dict[str, Any]:
    """Return the journal, filtered."""
    answer: dict[str, Any] = account.raw.get("/simulator/journal", params=wanted).json()
    return answer


def test_entries_are_found_by_invoice_intent_and_key(account: Account) -> None:
    """Each filter alone and together; balances are of what is shown."""
    first, second = account.customer(), account.customer()
    made = subscribe(account, first, account.price())
    pay(account, "one", customer=second)
    pay(account, "two", customer=first, amount="700")
    assert entries(account)["balances"] == {"usd": 4_200}
    assert entries(account, customer=first)["balances"] == {"usd": 1_700}
    assert entries(account, invoice=str(made.latest_invoice))["balances"] == {"usd": 1_000}
    [entry] = entries(account, idempotency_key="one")["entries"]
    assert entries(account, payment_intent=entry["payment_intent"])["entries"] == [entry]
    assert entries(account, idempotency_key="one", customer=first)["entries"] == []


def test_an_entry_says_why_its_invoice_was_made(account: Account) -> None:
    """The reason of the invoice that it pays, also when refunded; none for a plain payment."""
    customer = account.customer()
    made = subscribe(account, customer, account.price())
    account.advance(item_of(made).current_period_end + DAY_S)
    account.stripe.refunds.create({"charge": account.stripe.charges.list().data[0].id})
    pay(account)
    assert [entry["billing_reason"] for entry in entries(account)["entries"]] == [
        "subscription_create",
        "subscription_cycle",
        "subscription_cycle",
        None,
    ]
