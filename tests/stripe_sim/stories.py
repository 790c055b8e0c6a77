"""Steps that tests of subscriptions have in common."""

from typing import Any

import stripe

from tests.stripe_sim.conftest import Account


def subscribe(
    account: Account, customer: str, price: str, *, quantity: int = 1, **given: Any
) -> stripe.Subscription:
    """Subscribe a customer to one price."""
    items = [{"price": price, "quantity": quantity}]
    params: Any = {"customer": customer, "items": items, **given}
    return account.stripe.subscriptions.create(params)


def item_of(subscription: stripe.Subscription) -> stripe.SubscriptionItem:
    """Return the first item; ``subscription.items`` is the mapping's method."""
    items: Any = subscription["items"]
    item: stripe.SubscriptionItem = items.data[0]
    return item


def invoices(account: Account, subscription: str) -> list[stripe.Invoice]:
    """Return the subscription's invoices, oldest first."""
    listed = account.stripe.invoices.list({"subscription": subscription, "limit": 100})
    return listed.data[::-1]


def fail_from_now_on(account: Account, customer: str) -> None:
    """Let every later charge of the customer decline."""
    bad = account.stripe.payment_methods.attach(
        "pm_card_chargeCustomerFail", {"customer": customer}
    )
    account.stripe.customers.update(
        customer, {"invoice_settings": {"default_payment_method": bad.id}}
    )
