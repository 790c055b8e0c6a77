"""What Loom asks of Stripe, and whether it happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.targets.loom.tiers import CURRENCY, TIERS
from tests.targets.plumbing import stripe_client, stripe_said

if TYPE_CHECKING:
    from sqlite3 import Row

    import stripe

_LIVE = ("active", "past_due", "unpaid", "trialing")


class Till:
    """Stripe as Loom needs it. Every method raises `Refusal` or `Doubt`, and no Stripe error."""

    def __init__(self, api_base: str, api_key: str) -> None:
        self._v1 = stripe_client(api_base, api_key).v1

    def open_customer(self, workspace: str, email: str, name: str) -> str:
        """Make the customer of a workspace."""
        with stripe_said():
            return self._v1.customers.create(
                {"email": email, "name": name, "metadata": {"workspace": workspace}},
                {"idempotency_key": f"workspace-{workspace}"},
            ).id

    def keep_card(self, customer: str, token: str) -> str:
        """Attach a payment method and make it the default."""
        with stripe_said():
            card = self._v1.payment_methods.attach(token, {"customer": customer}).id
        self.prefer(customer, card)
        return card

    def prefer(self, customer: str, card: str) -> None:
        """Make a card the default."""
        with stripe_said():
            self._v1.customers.update(
                customer, {"invoice_settings": {"default_payment_method": card}}
            )

    def drop_card(self, card: str) -> None:
        """Detach a payment method."""
        with stripe_said():
            self._v1.payment_methods.detach(card)

    def subscribe(self, workspace: Row, tier: str, seats: int) -> stripe.Subscription:
        """Subscribe, or find the subscription that an unheard answer left behind."""
        with stripe_said():
            known = self._v1.subscriptions.list({"customer": workspace["customer"]})
            for subscription in known.data:
                if subscription.status in _LIVE:
                    return subscription
            return self._v1.subscriptions.create(
                {
                    "customer": workspace["customer"],
                    "items": [{"price": self._price(tier), "quantity": seats}],
                    "payment_behavior": "error_if_incomplete",
                    "off_session": True,
                    "metadata": {"workspace": workspace["id"], "tier": tier},
                },
                {"idempotency_key": f"subscribe-{workspace['id']}-{workspace['attempt']}"},
            )

    def change(self, subscription: str, tier: str, seats: int) -> stripe.Subscription:
        """Set tier and seats; Stripe prorates what is left of the month on the next invoice."""
        with stripe_said():
            item = self._v1.subscriptions.retrieve(subscription)["items"]["data"][0]
            return self._v1.subscriptions.update(
                subscription,
                {
                    "items": [{"id": item["id"], "price": self._price(tier), "quantity": seats}],
                    "metadata": {"tier": tier},
                },
            )

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

    def charges_of(self, invoice: str) -> list[stripe.Charge]:
        """Give the charges that paid an invoice."""
        with stripe_said():
            paid = self._v1.invoice_payments.list({"invoice": invoice, "status": "paid"})
            found = []
            for payment in paid.auto_paging_iter():
                intent = self._v1.payment_intents.retrieve(str(payment.payment.payment_intent))
                found.append(self._v1.charges.retrieve(str(intent.latest_charge)))
            return found

    def place(self, customer: str, bill: Row, invoice: str) -> None:
        """Put a bill on a draft, once: what an unheard answer left there is found again."""
        with stripe_said():
            placed = self._v1.invoice_items.list({"invoice": invoice, "limit": 100})
            told = [item.to_dict().get("metadata") or {} for item in placed.auto_paging_iter()]
            if any(about.get("bill") == bill["id"] for about in told):
                return
            self._v1.invoice_items.create(
                {
                    "customer": customer,
                    "invoice": invoice,
                    "amount": bill["amount"],
                    "currency": CURRENCY,
                    "description": "Cloth woven by the yard",
                    "metadata": {"bill": bill["id"]},
                },
                {"idempotency_key": f"bill-{bill['id']}"},
            )

    def last_invoice(self, customer: str, bill: Row) -> stripe.Invoice:
        """Find or draft the invoice of a bill that no month's invoice will carry."""
        with stripe_said():
            known = self._v1.invoices.list({"customer": customer, "limit": 100})
            for invoice in known.auto_paging_iter():
                if (invoice.to_dict().get("metadata") or {}).get("bill") == bill["id"]:
                    return invoice
            return self._v1.invoices.create(
                {
                    "customer": customer,
                    "currency": CURRENCY,
                    # Else Stripe might finalise it while nothing is on it yet.
                    "auto_advance": False,
                    "pending_invoice_items_behavior": "exclude",
                    "metadata": {"bill": bill["id"]},
                },
                {"idempotency_key": f"invoice-{bill['id']}"},
            )

    def collect(self, invoice: str) -> None:
        """Finalise a draft, which Stripe then collects, and tries again where a card declines."""
        with stripe_said():
            self._v1.invoices.finalize_invoice(invoice, {"auto_advance": True})

    def refund(self, charge: str, refund: Row) -> stripe.Refund:
        """Give money back, or find what an unheard answer gave back."""
        with stripe_said():
            known = self._v1.refunds.list({"charge": charge, "limit": 100})
            for given in known.auto_paging_iter():
                if (given.to_dict().get("metadata") or {}).get("reference") == refund["reference"]:
                    return given
            key = f"refund-{refund['reference']}-{refund['attempt']}"
            about = {"reference": refund["reference"]}
            return self._v1.refunds.create(
                {"charge": charge, "amount": refund["amount"], "metadata": about},
                {"idempotency_key": key},
            )

    def given_back(self, refund: str) -> stripe.Refund:
        """Fetch a refund as it is now."""
        with stripe_said():
            return self._v1.refunds.retrieve(refund)

    def dispute(self, dispute: str) -> Any:
        """Fetch a dispute as it is now."""
        with stripe_said():
            return self._v1.disputes.retrieve(dispute)

    def _price(self, tier: str) -> str:
        key = f"loom_{tier}"
        for price in self._v1.prices.list({"lookup_keys": [key]}).data:
            return price.id
        return self._v1.prices.create(
            {
                "currency": CURRENCY,
                "unit_amount": TIERS[tier].seat_minor,
                "recurring": {"interval": "month"},
                "product_data": {"name": f"Loom {tier}"},
                "lookup_key": key,
            },
            {"idempotency_key": key},
        ).id
