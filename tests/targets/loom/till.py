"""What Loom asks of Stripe, and whether it happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.targets.cashbox import Cashbox, about
from tests.targets.loom.tiers import CURRENCY, TIERS

if TYPE_CHECKING:
    from sqlite3 import Row

    import stripe


class Till(Cashbox):
    """Stripe as Loom needs it."""

    def open_customer(self, workspace: str, email: str, name: str) -> str:
        """Make the customer of a workspace."""
        with self.said():
            return self._v1.customers.create(
                {"email": email, "name": name, "metadata": {"workspace": workspace}},
                {"idempotency_key": f"workspace-{workspace}"},
            ).id

    def subscribe(self, workspace: Row, tier: str, seats: int) -> stripe.Subscription:
        """Subscribe, or find the subscription that an unheard answer left behind."""
        with self.said():
            if known := self._alive(workspace["customer"]):
                return known
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
        with self.said():
            item = self._v1.subscriptions.retrieve(subscription)["items"]["data"][0]
            return self._v1.subscriptions.update(
                subscription,
                {
                    "items": [{"id": item["id"], "price": self._price(tier), "quantity": seats}],
                    "metadata": {"tier": tier},
                },
            )

    def charges_of(self, invoice: str) -> list[stripe.Charge]:
        """Give the charges that paid an invoice."""
        intents = self.intents_of(invoice)
        with self.said():
            return [self._v1.charges.retrieve(str(intent.latest_charge)) for intent in intents]

    def place(self, customer: str, bill: Row, invoice: str) -> None:
        """Put a bill on a draft, once: what an unheard answer left there is found again."""
        with self.said():
            placed = self._v1.invoice_items.list({"invoice": invoice, "limit": 100})
            if any(about(item).get("bill") == bill["id"] for item in placed.auto_paging_iter()):
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
        with self.said():
            known = self._v1.invoices.list({"customer": customer, "limit": 100})
            for invoice in known.auto_paging_iter():
                if about(invoice).get("bill") == bill["id"]:
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
        with self.said():
            self._v1.invoices.finalize_invoice(invoice, {"auto_advance": True})

    def refund(self, charge: str, refund: Row) -> stripe.Refund:
        """Give money back, or find what an unheard answer gave back."""
        with self.said():
            known = self._v1.refunds.list({"charge": charge, "limit": 100})
            for given in known.auto_paging_iter():
                if about(given).get("reference") == refund["reference"]:
                    return given
            key = f"refund-{refund['reference']}-{refund['attempt']}"
            told = {"reference": refund["reference"]}
            return self._v1.refunds.create(
                {"charge": charge, "amount": refund["amount"], "metadata": told},
                {"idempotency_key": key},
            )

    def _price(self, tier: str) -> str:
        return self._month(f"loom_{tier}", f"Loom {tier}", TIERS[tier].seat_minor, CURRENCY)
