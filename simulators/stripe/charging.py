"""Charges a card: the charge, its balance transaction, the journal's entry.

A charge is made for each attempt, also a failed one. What the bank says follows from the card
alone (see `cards`), so the same attempt always ends the same way.
"""

from dataclasses import dataclass
from typing import Any

from simulators.stripe.cards import AUTHENTICATION_REQUIRED, BY_NAME, Card, Decline
from simulators.stripe.errors import CardError
from simulators.stripe.templates import CHARGE, fresh
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_AVAILABLE_AFTER_S = 2 * 86_400


@dataclass(frozen=True)
class Failure:
    """A declined attempt: the bank's words and the charge that records them."""

    decline: Decline
    charge: Obj

    def as_error(self, world: World, intent: Obj, payment_method: Obj) -> CardError:
        """Return the error that a caller of the API gets."""
        return decline_error(
            self.decline,
            charge=self.charge["id"],
            payment_intent=world.show(intent),
            payment_method=world.show(payment_method),
        )


def decline_error(decline: Decline, **details: Any) -> CardError:
    """Return a decline as an API error."""
    return CardError(
        decline.message,
        status=402,
        code=decline.code,
        decline_code=decline.decline_code,
        **details,
    )


def card_of(payment_method: Obj) -> Card:
    """Return the test card behind a payment method."""
    return BY_NAME[payment_method["_card"]]


def bank_says(payment_method: Obj, *, off_session: bool, authenticated: bool) -> Decline | None:
    """Return why the bank refuses, or None when it pays."""
    card = card_of(payment_method)
    if card.behaviour == "authenticate" and off_session and not authenticated:
        return AUTHENTICATION_REQUIRED
    return card.decline


def charge_card(
    world: World, intent: Obj, payment_method: Obj, decline: Decline | None, *, capture: bool
) -> Obj:
    """Make the charge for one attempt to pay `intent`, with its event and journal entry."""
    charge = world.store.insert(_new_charge(world, intent, payment_method))
    if decline is None:
        if capture:
            settle_charge(world, charge, charge["amount"])
        world.emit("charge.succeeded", charge)
        return charge
    world.store.set(
        charge,
        status="failed",
        paid=False,
        captured=False,
        amount_captured=0,
        failure_code=decline.code,
        failure_message=decline.message,
        outcome=_refusal(decline),
        receipt_url=None,
    )
    world.record_money(
        charge,
        entry_id=world.ids.new("txn"),
        amount_minor=charge["amount"],
        state="failed",
        invoice=charge["_invoice"],
        failure_code=decline.code,
    )
    world.emit("charge.failed", charge)
    return charge


def settle_charge(world: World, charge: Obj, amount_minor: int) -> None:
    """Move the money of an authorised charge: balance transaction and journal entry."""
    settings = world.settings
    fee = round(amount_minor * settings.fee_rate) + settings.fee_fixed_minor
    transaction = new_balance_transaction(world, charge, amount_minor, fee, "charge")
    world.store.set(
        charge,
        balance_transaction=transaction["id"],
        captured=True,
        amount_captured=amount_minor,
    )
    world.record_money(
        charge,
        entry_id=transaction["id"],
        amount_minor=amount_minor,
        state="succeeded",
        invoice=charge["_invoice"],
    )


def new_balance_transaction(
    world: World, source: Obj, amount_minor: int, fee_minor: int, category: str
) -> Obj:
    """Add a balance transaction; the amount is signed from the merchant's point of view."""
    fees = {
        "amount": fee_minor,
        "application": None,
        "currency": source["currency"],
        "description": "Stripe processing fees",
        "type": "stripe_fee",
    }
    return world.store.insert(
        {
            "id": world.ids.new("txn"),
            "object": "balance_transaction",
            "amount": amount_minor,
            "available_on": world.account_now + _AVAILABLE_AFTER_S,
            "balance_type": "payments",
            "created": world.account_now,
            "currency": source["currency"],
            "description": source["description"],
            "exchange_rate": None,
            "fee": fee_minor,
            "fee_details": [fees] if fee_minor else [],
            "net": amount_minor - fee_minor,
            "reporting_category": category,
            "source": source["id"],
            "status": "pending",
            "type": category,
        }
    )


def _new_charge(world: World, intent: Obj, payment_method: Obj) -> Obj:
    """Return a charge of the intent's amount that the bank has authorised."""
    charge_id = world.ids.new("ch")
    card = {
        key: payment_method["card"][key]
        for key in ("brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    }
    details = {
        **card,
        "amount_authorized": intent["amount"],
        "authorization_code": world.ids.letters(6),
        "checks": payment_method["card"]["checks"],
        "installments": None,
        "mandate": None,
        "network": card["brand"],
        "network_transaction_id": world.ids.letters(15),
        "regulated_status": "unregulated",
        "three_d_secure": None,
        "wallet": None,
    }
    same = (
        "amount",
        "currency",
        "customer",
        "description",
        "receipt_email",
        "shipping",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "_invoice",
    )
    return fresh(
        CHARGE,
        id=charge_id,
        billing_details=payment_method["billing_details"],
        created=world.account_now,
        metadata=dict(intent["metadata"]),
        payment_intent=intent["id"],
        payment_method=payment_method["id"],
        payment_method_details={"card": details, "type": "card"},
        receipt_url=f"https://pay.stripe.com/receipts/payment/{charge_id}",
        **{field: intent[field] for field in same},
    )


def _refusal(decline: Decline) -> Obj:
    return {
        "advice_code": "try_again_later",
        "network_advice_code": "02",
        "network_decline_code": "05",
        "network_status": "declined_by_network",
        "reason": decline.decline_code or decline.code,
        "risk_level": "normal",
        "risk_score": 20,
        "seller_message": "The bank did not return any further details with this decline.",
        "type": "issuer_declined",
    }
