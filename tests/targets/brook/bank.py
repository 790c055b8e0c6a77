"""What Brook asks of Stripe. Every method raises `Refusal` or `Doubt`, and no Stripe error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.targets.brook.books import CURRENCY, PLANS
from tests.targets.plumbing import Doubt, Refusal, stripe_client, stripe_said

if TYPE_CHECKING:
    from sqlite3 import Row

    import stripe

_ALIVE = ("active", "past_due", "unpaid", "trialing")
_PRICE = "brook_river_month"


def _about(thing: Any) -> dict[str, str]:
    """Give the metadata of something of Stripe's."""
    return thing.to_dict().get("metadata") or {}


class Bank:
    """Stripe as Brook needs it."""

    def __init__(self, api_base: str, api_key: str) -> None:
        self._v1 = stripe_client(api_base, api_key).v1

    def open_customer(self, customer: str, email: str) -> str:
        """Make a customer at Stripe."""
        with stripe_said():
            return self._v1.customers.create(
                {"email": email, "metadata": {"customer": customer}},
                {"idempotency_key": f"customer-{customer}"},
            ).id

    def keep_source(self, stripe_id: str, token: str) -> str:
        """Attach a payment method, and make it the one that pays."""
        with stripe_said():
            source = self._v1.payment_methods.attach(token, {"customer": stripe_id}).id
        self.prefer(stripe_id, source)
        return source

    def prefer(self, stripe_id: str, source: str) -> None:
        """Make a payment method the one that pays."""
        with stripe_said():
            settings: Any = {"invoice_settings": {"default_payment_method": source}}
            self._v1.customers.update(stripe_id, settings)

    def drop_source(self, source: str) -> None:
        """Detach a payment method."""
        with stripe_said():
            self._v1.payment_methods.detach(source)

    def charge(self, stripe_id: str, usage: Row) -> stripe.PaymentIntent:
        """Charge what a usage asks for to its payment method."""
        with stripe_said():
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
        with stripe_said():
            intents = self._v1.payment_intents.list({"customer": stripe_id, "limit": 100})
            for intent in intents.auto_paging_iter():
                if intent.status == "succeeded" and _about(intent).get("usage") == usage:
                    return intent
        return None

    def begin(self, customer: Row, seats: int) -> stripe.Subscription:
        """Subscribe to river, or find the subscription that an unheard answer left behind."""
        with stripe_said():
            known = self._v1.subscriptions.list({"customer": customer["stripe_id"]})
            for subscription in known.data:
                if subscription.status in _ALIVE:
                    return subscription
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
        with stripe_said():
            item = self._v1.subscriptions.retrieve(subscription)["items"]["data"][0]["id"]
            items: Any = [{"id": item, "quantity": seats}]
            return self._v1.subscriptions.update(subscription, {"items": items})

    def schedule_end(self, subscription: str, *, ends: bool) -> stripe.Subscription:
        """Let a subscription end with its month, or take that back."""
        with stripe_said():
            return self._v1.subscriptions.update(subscription, {"cancel_at_period_end": ends})

    def end(self, subscription: str) -> stripe.Subscription:
        """End a subscription at once."""
        with stripe_said():
            return self._v1.subscriptions.cancel(subscription)

    def subscription(self, subscription: str) -> stripe.Subscription:
        """Fetch a subscription as it is now."""
        with stripe_said():
            return self._v1.subscriptions.retrieve(subscription)

    def invoice(self, invoice: str) -> stripe.Invoice:
        """Fetch an invoice as it is now."""
        with stripe_said():
            return self._v1.invoices.retrieve(invoice)

    def charges_of(self, invoice: str) -> list[stripe.PaymentIntent]:
        """Give the payments that paid an invoice."""
        with stripe_said():
            paid = self._v1.invoice_payments.list({"invoice": invoice, "status": "paid"})
            return [
                self._v1.payment_intents.retrieve(str(payment.payment.payment_intent))
                for payment in paid.auto_paging_iter()
            ]

    def give_back(self, charge: str, amount: int | None, key: str, attempt: int) -> stripe.Refund:
        """Give money back, or find what an unheard answer under this key gave back."""
        with stripe_said():
            known = self._v1.refunds.list({"charge": charge, "limit": 100})
            for refund in known.auto_paging_iter():
                if _about(refund).get("key") == key:
                    return refund
            asked: Any = {"charge": charge, "metadata": {"key": key}}
            if amount is not None:
                asked["amount"] = amount
            return self._v1.refunds.create(asked, {"idempotency_key": f"refund-{key}-{attempt}"})

    def refund(self, refund: str) -> stripe.Refund:
        """Fetch a refund as it is now."""
        with stripe_said():
            return self._v1.refunds.retrieve(refund)

    def dispute(self, dispute: str) -> stripe.Dispute:
        """Fetch a dispute as it is now."""
        with stripe_said():
            return self._v1.disputes.retrieve(dispute)

    def _price(self) -> str:
        for price in self._v1.prices.list({"lookup_keys": [_PRICE]}).data:
            return price.id
        return self._v1.prices.create(
            {
                "currency": CURRENCY,
                "unit_amount": PLANS["river"].month_minor,
                "recurring": {"interval": "month"},
                "product_data": {"name": "Brook river"},
                "lookup_key": _PRICE,
            },
            {"idempotency_key": _PRICE},
        ).id
