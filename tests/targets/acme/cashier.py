"""What Acme asks of Stripe, and whether it happened."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from typing_extensions import override

from tests.targets.acme import tariffs
from tests.targets.cashbox import Cashbox, about
from tests.targets.plumbing import Doubt, Refusal, stripe_said

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    import stripe

_PRICE_KEY = "acme_business_month"
_REASONS = {"authentication_required": "card_needs_holder"}


class Taken(NamedTuple):
    """Money taken: the charge's id, and how much in minor units."""

    charge: str
    amount_minor: int


@contextmanager
def _said() -> Iterator[None]:
    """Turn Stripe's errors into Acme's own words."""
    try:
        with stripe_said():
            yield
    except Refusal as refusal:
        reason = _REASONS.get(refusal.code, "card_declined")
        raise Refusal(402, "payment_impossible" if refusal.status == 422 else reason) from refusal


class Cashier(Cashbox):
    """Stripe as Acme needs it."""

    def __init__(self, api_base: str, api_key: str) -> None:
        super().__init__(api_base, api_key, retries=0)

    @staticmethod
    @override
    def said() -> AbstractContextManager[None]:
        """Turn Stripe's errors into Acme's."""
        return _said()

    def open_customer(self, account: str, email: str, name: str) -> str:
        """Make the Stripe customer of an account."""
        with self.said():
            return self._v1.customers.create(
                {"email": email, "name": name, "metadata": {"account": account}},
                {"idempotency_key": f"account-{account}"},
            ).id

    def charge(self, customer: str, parcel: sqlite3.Row) -> Taken:
        """Charge a parcel's amount to its card."""
        with self.said():
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
        with self.said():
            intents = self._v1.payment_intents.list({"customer": customer, "limit": 100})
            for intent in intents.auto_paging_iter():
                charged = intent.status in ("succeeded", "processing")
                if charged and about(intent).get("parcel") == parcel["reference"]:
                    return _taken(intent)
        return None

    def begin_contract(self, account: sqlite3.Row, seats: int) -> stripe.Subscription:
        """Subscribe to business, or find the subscription that an unheard answer left behind."""
        with self.said():
            if known := self._alive(account["stripe_customer"]):
                return known
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

    def invoice_charges(self, invoice: str) -> list[Taken]:
        """Give the charges that paid an invoice."""
        return [_taken(intent) for intent in self.intents_of(invoice)]

    def _price(self) -> str:
        name, amount_minor = "Acme Mailroom business", tariffs.BUSINESS_MONTH_MINOR
        return self._month(_PRICE_KEY, name, amount_minor, tariffs.CURRENCY)


def _taken(intent: stripe.PaymentIntent) -> Taken:
    if intent.status == "processing":
        raise Doubt(over=False)
    if intent.status != "succeeded":
        raise Refusal(402, "card_declined")
    return Taken(str(intent.latest_charge), intent.amount_received)
