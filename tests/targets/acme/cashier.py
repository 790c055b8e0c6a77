"""What Acme asks of Stripe, and whether it happened."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import stripe

from tests.targets.acme import tariffs

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

_TIMEOUT_S = 5.0
_PRICE_KEY = "acme_business_month"
_LIVE = ("active", "past_due", "unpaid", "trialing")


class Declined(Exception):
    """It did not happen, and never will under this attempt."""


class Doubt(Exception):
    """It may have happened; `over` when the request is no longer under way at Stripe."""

    def __init__(self, *, over: bool) -> None:
        super().__init__("it may have happened")
        self.over = over


class Taken(NamedTuple):
    """Money taken: the charge's id, and how much in minor units."""

    charge: str
    amount_minor: int


@contextmanager
def _verdict() -> Iterator[None]:
    try:
        yield
    except stripe.CardError as error:
        needs_holder = error.code == "authentication_required"
        raise Declined("card_needs_holder" if needs_holder else "card_declined") from error
    except stripe.InvalidRequestError as error:
        raise Declined("payment_impossible") from error
    except stripe.StripeError as error:
        raise Doubt(over=(error.http_status or 0) >= 500) from error


class Cashier:
    """Stripe as Acme needs it. Every method raises `Declined` or `Doubt`, and no Stripe error."""

    def __init__(self, api_base: str, api_key: str) -> None:
        self._v1 = stripe.StripeClient(
            api_key,
            base_addresses={"api": api_base},
            http_client=stripe.RequestsClient(timeout=_TIMEOUT_S),
            max_network_retries=0,
        ).v1

    def open_customer(self, account: str, email: str, name: str) -> str:
        """Make the Stripe customer of an account."""
        with _verdict():
            return self._v1.customers.create(
                {"email": email, "name": name, "metadata": {"account": account}},
                {"idempotency_key": f"account-{account}"},
            ).id

    def keep_card(self, customer: str, token: str) -> str:
        """Attach a payment method and make it the default."""
        with _verdict():
            card = self._v1.payment_methods.attach(token, {"customer": customer}).id
            settings = {"invoice_settings": {"default_payment_method": card}}
            self._v1.customers.update(customer, settings)  # type: ignore[arg-type]  # plain data
            return card

    def charge(self, customer: str, parcel: sqlite3.Row) -> Taken:
        """Charge a parcel's amount to its card."""
        with _verdict():
            intent = self._v1.payment_intents.create(
                {
                    "amount": parcel["asked_minor"],
                    "currency": tariffs.CURRENCY,
                    "customer": customer,
                    "payment_method": parcel["asked_card"],
                    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                    "confirm": True,
                    "off_session": True,
                    "metadata": {"account": parcel["account"], "parcel": parcel["reference"]},
                },
                {"idempotency_key": f"parcel-{parcel['id']}-{parcel['attempt']}"},
            )
            return _taken(intent)

    def find_charge(self, customer: str, parcel: sqlite3.Row) -> Taken | None:
        """Look up the money that was taken for a parcel; None when Stripe knows of none."""
        try:
            intents = self._v1.payment_intents.list({"customer": customer, "limit": 100})
            for intent in intents.auto_paging_iter():
                about = intent.to_dict().get("metadata") or {}
                charged = intent.status in ("succeeded", "processing")
                if charged and about.get("parcel") == parcel["reference"]:
                    return _taken(intent)
        except stripe.StripeError as error:
            raise Doubt(over=False) from error
        return None

    def begin_contract(self, account: sqlite3.Row, seats: int) -> stripe.Subscription:
        """Subscribe to business, or find the subscription that an unheard answer left behind."""
        with _verdict():
            known = self._v1.subscriptions.list({"customer": account["stripe_customer"]})
            for subscription in known.data:
                if subscription.status in _LIVE:
                    return subscription
            return self._v1.subscriptions.create(
                {
                    "customer": account["stripe_customer"],
                    "items": [{"price": self._price(), "quantity": seats}],
                    "payment_behavior": "error_if_incomplete",
                    "off_session": True,
                    "metadata": {"account": account["id"]},
                },
                {"idempotency_key": f"contract-{account['id']}-{account['contract_attempt']}"},
            )

    def end_contract(self, contract: str, *, at_term_end: bool) -> stripe.Subscription:
        """Cancel a subscription, now or at the end of the month that is paid."""
        with _verdict():
            if at_term_end:
                return self._v1.subscriptions.update(contract, {"cancel_at_period_end": True})
            return self._v1.subscriptions.cancel(contract)

    def contract(self, contract: str) -> stripe.Subscription:
        """Fetch a subscription as it is now."""
        with _verdict():
            return self._v1.subscriptions.retrieve(contract)

    def invoice(self, invoice: str) -> stripe.Invoice:
        """Fetch an invoice as it is now."""
        with _verdict():
            return self._v1.invoices.retrieve(invoice)

    def invoice_charges(self, invoice: str) -> list[Taken]:
        """Give the charges that paid an invoice."""
        with _verdict():
            paid = self._v1.invoice_payments.list({"invoice": invoice, "status": "paid"})
            intents = [
                self._v1.payment_intents.retrieve(str(payment.payment.payment_intent))
                for payment in paid.auto_paging_iter()
            ]
            return [_taken(intent) for intent in intents]

    def _price(self) -> str:
        for price in self._v1.prices.list({"lookup_keys": [_PRICE_KEY]}).data:
            return price.id
        return self._v1.prices.create(
            {
                "currency": tariffs.CURRENCY,
                "unit_amount": tariffs.BUSINESS_MONTH_MINOR,
                "recurring": {"interval": "month"},
                "product_data": {"name": "Acme Mailroom business"},
                "lookup_key": _PRICE_KEY,
            },
            {"idempotency_key": _PRICE_KEY},
        ).id


def _taken(intent: stripe.PaymentIntent) -> Taken:
    if intent.status == "processing":
        raise Doubt(over=False)
    if intent.status != "succeeded":
        raise Declined("card_declined")
    return Taken(str(intent.latest_charge), intent.amount_received)
