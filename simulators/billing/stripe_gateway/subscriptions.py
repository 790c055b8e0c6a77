"""Subscriptions to pro, their invoices, and the price that they are sold at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.billing.stripe_gateway import facts
from simulators.billing.stripe_gateway.calls import PAGE, Caller, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    import stripe


class SubscriptionCalls:
    """Subscriptions, invoices and the price of pro."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._settings = caller.settings
        self._pro: facts.ProPrice | None = None

    def subscribe(self, order: facts.SubscribeOrder) -> facts.SubscriptionFacts:
        """Subscribe to pro and charge at once; a declined card leaves no subscription behind."""
        create = self._caller.v1.subscriptions.create
        params: stripe.params.SubscriptionCreateParams = {
            "customer": order.stripe_customer_id,
            "items": [{"price": self.pro_price().price, "quantity": order.quantity}],
            "default_payment_method": order.payment_method,
            "payment_behavior": "error_if_incomplete",
            "off_session": True,
            "metadata": self._caller.metadata(
                customer_id=order.customer_id, ledger_id=order.record_id
            ),
        }
        made = self._caller.call(lambda: create(params, {"idempotency_key": order.key}))
        return read(facts.subscription, made)

    def find(self, stripe_customer_id: str, record_id: str) -> facts.SubscriptionFacts | None:
        """Look a subscription up by customer and metadata."""
        listing = self._caller.v1.subscriptions.list
        params: stripe.params.SubscriptionListParams = {
            "customer": stripe_customer_id,
            "status": "all",
            "limit": PAGE,
        }

        def pick(page: stripe.ListObject[stripe.Subscription]) -> facts.SubscriptionFacts | None:
            found = (facts.subscription(each) for each in page.auto_paging_iter())
            return next((each for each in found if each.record_id == record_id), None)

        return self._caller.call(lambda: read(pick, listing(params)))

    def ids_of(self, stripe_customer_id: str) -> Sequence[str]:
        """List the subscriptions that a customer has or had."""
        listing = self._caller.v1.subscriptions.list
        params: stripe.params.SubscriptionListParams = {
            "customer": stripe_customer_id,
            "status": "all",
            "limit": PAGE,
        }
        return self._caller.call(
            lambda: read(lambda p: [s.id for s in p.auto_paging_iter()], listing(params))
        )

    def get(self, stripe_id: str) -> facts.SubscriptionFacts:
        """Fetch a subscription."""
        retrieve = self._caller.v1.subscriptions.retrieve
        return read(facts.subscription, self._caller.call(lambda: retrieve(stripe_id)))

    def cancel_now(self, stripe_id: str) -> facts.SubscriptionFacts:
        """End a subscription at once."""
        cancel = self._caller.v1.subscriptions.cancel
        return read(facts.subscription, self._caller.call(lambda: cancel(stripe_id)))

    def cancel_at_period_end(self, stripe_id: str, *, scheduled: bool) -> facts.SubscriptionFacts:
        """Schedule the end of a subscription with its period, or take that back."""
        update = self._caller.v1.subscriptions.update
        params: stripe.params.SubscriptionUpdateParams = {"cancel_at_period_end": scheduled}
        return read(facts.subscription, self._caller.call(lambda: update(stripe_id, params)))

    def change_quantity(
        self, stripe_id: str, item_id: str, quantity: int
    ) -> facts.SubscriptionFacts:
        """Set the quantity; Stripe prorates by the second, onto the next invoice."""
        update = self._caller.v1.subscriptions.update
        params: stripe.params.SubscriptionUpdateParams = {
            "items": [{"id": item_id, "quantity": quantity}],
            "proration_behavior": "create_prorations",
        }
        return read(facts.subscription, self._caller.call(lambda: update(stripe_id, params)))

    def invoice(self, invoice_id: str) -> facts.InvoiceFacts:
        """Fetch an invoice."""
        retrieve = self._caller.v1.invoices.retrieve
        return read(facts.invoice, self._caller.call(lambda: retrieve(invoice_id)))

    def coupons_of(self, invoice_id: str) -> frozenset[str]:
        """Give the coupons that took an invoice's price down."""
        retrieve = self._caller.v1.invoices.retrieve
        found = self._caller.call(lambda: retrieve(invoice_id, {"expand": ["discounts"]}))
        return read(facts.coupons, found)

    def invoices_of(self, stripe_subscription_id: str) -> Sequence[facts.InvoiceFacts]:
        """List every invoice of a subscription, oldest period first."""
        listing = self._caller.v1.invoices.list
        params: stripe.params.InvoiceListParams = {
            "subscription": stripe_subscription_id,
            "limit": PAGE,
        }

        def invoices(page: stripe.ListObject[stripe.Invoice]) -> list[facts.InvoiceFacts]:
            return [facts.invoice(each) for each in page.auto_paging_iter()]

        found = self._caller.call(lambda: read(invoices, listing(params)))
        return sorted(found, key=lambda i: (i.period_start, i.created_at, i.id))

    def charges_of_invoice(self, invoice_id: str) -> Sequence[facts.Movement]:
        """List the charges that paid an invoice."""
        listing = self._caller.v1.invoice_payments.list
        page = self._caller.call(lambda: listing({"invoice": invoice_id, "status": "paid"}))
        return [self._invoice_charge(each) for each in read(_listed, page)]

    def _invoice_charge(self, paid: stripe.InvoicePayment) -> facts.Movement:
        intent_id = read(lambda p: facts.identifier(p.payment.payment_intent), paid)
        if intent_id is None:
            charge = read(lambda p: facts.required(p.payment.charge), paid)
        else:
            charge = self._charge_of(intent_id)
        return read(
            lambda p: facts.Movement(charge, p.amount_paid or 0, p.currency, intent_id), paid
        )

    def _charge_of(self, payment_intent: str) -> str:
        retrieve = self._caller.v1.payment_intents.retrieve
        found = self._caller.call(lambda: retrieve(payment_intent))
        return read(lambda intent: facts.required(intent.latest_charge), found)

    def pro_price(self) -> facts.ProPrice:
        """Find the price of pro at Stripe by its lookup key, or make it; two at once make one."""
        if self._pro is None:
            self._pro = self._find_pro() or self._make_pro()
        return self._pro

    def _lookup_key(self) -> str:
        return f"billing_pro_month_{self._settings.pro_price_minor}_{self._settings.currency}"

    def _find_pro(self) -> facts.ProPrice | None:
        listing = self._caller.v1.prices.list
        key = self._lookup_key()
        page = self._caller.call(lambda: listing({"lookup_keys": [key], "active": True}))
        found = read(lambda p: [(e.id, facts.required(e.product)) for e in p.data], page)
        return next((facts.ProPrice(*each) for each in found), None)

    def _make_pro(self) -> facts.ProPrice:
        key = self._lookup_key()
        metadata = self._caller.metadata(ledger_id="catalog:pro")
        product: stripe.params.ProductCreateParams = {"name": "Pro", "metadata": metadata}
        products, prices = self._caller.v1.products, self._caller.v1.prices
        made = self._caller.call(
            lambda: products.create(product, {"idempotency_key": f"{key}:product"})
        )
        product_id = read(facts.own_id, made)
        price: stripe.params.PriceCreateParams = {
            "product": product_id,
            "unit_amount": self._settings.pro_price_minor,
            "currency": self._settings.currency,
            "recurring": {"interval": "month"},
            "lookup_key": key,
            "metadata": metadata,
        }
        created = self._caller.call(
            lambda: prices.create(price, {"idempotency_key": f"{key}:price"})
        )
        return facts.ProPrice(read(facts.own_id, created), product_id)


def _listed(page: stripe.ListObject[stripe.InvoicePayment]) -> list[stripe.InvoicePayment]:
    return list(page.data)
