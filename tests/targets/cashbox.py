"""What each of these services asks of Stripe in the same way; what each sells stays its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.targets.plumbing import stripe_client, stripe_said

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import stripe

_ALIVE = ("active", "past_due", "unpaid", "trialing")


def about(thing: Any) -> dict[str, str]:
    """Give the metadata of something of Stripe's."""
    return thing.to_dict().get("metadata") or {}


class Cashbox:
    """Cards, subscriptions and invoices at Stripe.

    Every method raises `Refusal` or `Doubt`, and no Stripe error.
    """

    def __init__(self, api_base: str, api_key: str, *, retries: int = 1) -> None:
        self._v1 = stripe_client(api_base, api_key, retries).v1

    @staticmethod
    def said() -> AbstractContextManager[None]:
        """Turn Stripe's errors into the service's own."""
        return stripe_said()

    def keep_card(self, customer: str, token: str) -> str:
        """Attach a payment method, and make it the one that pays."""
        with self.said():
            card = self._v1.payment_methods.attach(token, {"customer": customer}).id
        self.prefer(customer, card)
        return card

    def prefer(self, customer: str, card: str) -> None:
        """Make a payment method the one that pays."""
        settings: Any = {"invoice_settings": {"default_payment_method": card}}
        with self.said():
            self._v1.customers.update(customer, settings)

    def drop_card(self, card: str) -> None:
        """Detach a payment method."""
        with self.said():
            self._v1.payment_methods.detach(card)

    def schedule_end(self, subscription: str, *, ends: bool) -> stripe.Subscription:
        """Let a subscription end with its month, or take that back."""
        with self.said():
            return self._v1.subscriptions.update(subscription, {"cancel_at_period_end": ends})

    def end(self, subscription: str) -> stripe.Subscription:
        """End a subscription at once."""
        with self.said():
            return self._v1.subscriptions.cancel(subscription)

    def subscription(self, subscription: str) -> stripe.Subscription:
        """Fetch a subscription as it is now."""
        with self.said():
            return self._v1.subscriptions.retrieve(subscription)

    def invoice(self, invoice: str) -> stripe.Invoice:
        """Fetch an invoice as it is now."""
        with self.said():
            return self._v1.invoices.retrieve(invoice)

    def intents_of(self, invoice: str) -> list[stripe.PaymentIntent]:
        """Give the payments that paid an invoice."""
        with self.said():
            paid = self._v1.invoice_payments.list({"invoice": invoice, "status": "paid"})
            return [
                self._v1.payment_intents.retrieve(str(payment.payment.payment_intent))
                for payment in paid.auto_paging_iter()
            ]

    def refund_now(self, refund: str) -> stripe.Refund:
        """Fetch a refund as it is now."""
        with self.said():
            return self._v1.refunds.retrieve(refund)

    def dispute(self, dispute: str) -> stripe.Dispute:
        """Fetch a dispute as it is now."""
        with self.said():
            return self._v1.disputes.retrieve(dispute)

    def _alive(self, customer: str) -> stripe.Subscription | None:
        """Find the subscription that an unheard answer may have left behind."""
        known = self._v1.subscriptions.list({"customer": customer}).data
        return next((each for each in known if each.status in _ALIVE), None)

    def _month(self, key: str, name: str, amount_minor: int, currency: str) -> str:
        """Find or make the price of a month."""
        for price in self._v1.prices.list({"lookup_keys": [key]}).data:
            return price.id
        return self._v1.prices.create(
            {
                "currency": currency,
                "unit_amount": amount_minor,
                "recurring": {"interval": "month"},
                "product_data": {"name": name},
                "lookup_key": key,
            },
            {"idempotency_key": key},
        ).id
