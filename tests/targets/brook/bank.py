"""What Brook asks of Stripe. Every method raises `Refusal` or `Doubt`, and no Stripe error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.targets.brook.books import CURRENCY, PLANS
from tests.targets.cashbox import Cashbox, about
from tests.targets.plumbing import Doubt, Refusal

if TYPE_CHECKING:
    from sqlite3 import Row

    import stripe

_PRICE = "brook_river_month"


class Bank(Cashbox):
    """Stripe as Brook needs it."""

    def open_customer(self, customer: str, email: str) -> str:
        """Make a customer at Stripe."""
        with self.said():
            return self._v1.customers.create(
                {"email": email, "metadata": {"customer": customer}},
                {"idempotency_key": f"customer-{customer}"},
            ).id

    def charge(self, stripe_id: str, usage: Row) -> stripe.PaymentIntent:
        """Charge what a usage asks for to its payment method."""
        with self.said():
            intent = self._v1.payment_intents.create(
                {
                    "amount": usage["asked"],
                    "currency": CURRENCY,
                    "customer": stripe_id,
                    "payment_method": usage["source"],
                    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                    "confirm": True,
                    "off_session": True,
                    "metadata": {"usage": usage["id"]},
                },
                {"idempotency_key": f"usage-{stripe_id}-{usage['id']}-{usage['attempt']}"},
            )
        if intent.status == "processing":
            raise Doubt(over=False)
        if intent.status != "succeeded":
            raise Refusal(402, "card_declined", "The card did not pay.")
        return intent

    def charged(self, stripe_id: str, usage: str) -> stripe.PaymentIntent | None:
        """Look up what was charged for a usage; None where Stripe knows of nothing."""
        with self.said():
            intents = self._v1.payment_intents.list({"customer": stripe_id, "limit": 100})
            for intent in intents.auto_paging_iter():
                if intent.status == "succeeded" and about(intent).get("usage") == usage:
                    return intent
        return None

    def begin(self, customer: Row, seats: int) -> stripe.Subscription:
        """Subscribe to river, or find the subscription that an unheard answer left behind."""
        with self.said():
            if known := self._alive(customer["stripe_id"]):
                return known
            return self._v1.subscriptions.create(
                {
                    "customer": customer["stripe_id"],
                    "items": [{"price": self._price(), "quantity": seats}],
                    "payment_behavior": "error_if_incomplete",
                    "off_session": True,
                },
                {"idempotency_key": f"river-{customer['id']}-{customer['attempt']}"},
            )

    def set_seats(self, subscription: str, seats: int) -> stripe.Subscription:
        """Set the seats; what is left of the month is prorated on the next invoice."""
        with self.said():
            item = self._v1.subscriptions.retrieve(subscription)["items"]["data"][0]["id"]
            items: Any = [{"id": item, "quantity": seats}]
            return self._v1.subscriptions.update(subscription, {"items": items})

    def give_back(self, charge: str, amount: int | None, key: str, attempt: int) -> stripe.Refund:
        """Give money back, or find what an unheard answer under this key gave back."""
        with self.said():
            known = self._v1.refunds.list({"charge": charge, "limit": 100})
            for refund in known.auto_paging_iter():
                if about(refund).get("key") == key:
                    return refund
            asked: Any = {"charge": charge, "metadata": {"key": key}}
            if amount is not None:
                asked["amount"] = amount
            return self._v1.refunds.create(asked, {"idempotency_key": f"refund-{key}-{attempt}"})

    def _price(self) -> str:
        return self._month(_PRICE, "Brook river", PLANS["river"].month_minor, CURRENCY)
