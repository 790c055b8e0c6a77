"""Customers and their cards at Stripe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.billing.stripe_gateway import facts
from simulators.billing.stripe_gateway.calls import PAGE, Caller, read
from simulators.billing.stripe_gateway.errors import StripeRefusal

if TYPE_CHECKING:
    import stripe


class CustomerCalls:
    """What the service does with Stripe customers and payment methods."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(self, order: facts.CustomerOrder) -> str:
        """Make a Stripe customer, and give its id."""
        params: stripe.params.CustomerCreateParams = {
            "email": order.email,
            "metadata": self._caller.metadata(customer_id=order.customer_id, source=order.source),
        }
        if order.name:
            params["name"] = order.name
        if order.test_clock:
            params["test_clock"] = order.test_clock
        create = self._caller.v1.customers.create
        made = self._caller.call(lambda: create(params, {"idempotency_key": order.key}))
        return read(facts.own_id, made)

    def find(self, customer_id: str, email: str) -> str | None:
        """Give the Stripe customer that carries our id, if an earlier try made one."""
        listing = self._caller.v1.customers.list

        def pick(page: stripe.ListObject[stripe.Customer]) -> str | None:
            ids = ((facts.our_id(c.metadata, "customer_id"), c.id) for c in page.data)
            return next((theirs for ours, theirs in ids if ours == customer_id), None)

        params: stripe.params.CustomerListParams = {"email": email, "limit": PAGE}
        return self._caller.call(lambda: read(pick, listing(params)))

    def delete(self, stripe_customer_id: str) -> None:
        """Delete a Stripe customer, which ends their subscriptions."""
        self._caller.call(lambda: self._caller.v1.customers.delete(stripe_customer_id))

    def attach_card(self, stripe_customer_id: str, token: str, *, key: str) -> facts.Card:
        """Attach a card by payment method (`pm_…`) or token (`tok_…`)."""
        methods = self._caller.v1.payment_methods
        if token.startswith("tok_"):
            made = self._caller.call(
                lambda: methods.create(
                    {"type": "card", "card": {"token": token}}, {"idempotency_key": f"{key}:make"}
                )
            )
            token = read(facts.own_id, made)
        attached = self._caller.call(
            lambda: methods.attach(
                token, {"customer": stripe_customer_id}, {"idempotency_key": f"{key}:attach"}
            )
        )
        return read(facts.card, attached)

    def set_default_card(self, stripe_customer_id: str, payment_method: str | None) -> None:
        """Make a card the one that invoices are charged to; None leaves none."""
        settings: stripe.params.CustomerUpdateParamsInvoiceSettings = {
            "default_payment_method": payment_method or ""
        }
        update = self._caller.v1.customers.update
        self._caller.call(lambda: update(stripe_customer_id, {"invoice_settings": settings}))

    def detach_card(self, payment_method: str) -> None:
        """Detach a card; one that is detached already is no error."""
        try:
            self._caller.call(lambda: self._caller.v1.payment_methods.detach(payment_method))
        except StripeRefusal:
            # Stripe refuses only what is not attached, which is what was asked for.
            return
