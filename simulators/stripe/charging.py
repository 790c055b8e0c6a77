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
_CATEGORIES = {"adjustment": "dispute", "payment": "charge"}
"""The reporting category of a type of balance transaction, where it is another word."""


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


def wants_customer(payment_method: Obj) -> bool:
    """Tell whether the bank wants the customer to authenticate a payment."""
    behaviour = card_of(payment_method).behaviour
    done = payment_method.get("_authenticated", False)
    return behaviour == "authenticate" or (behaviour == "authenticate_once" and not done)


def bank_says(payment_method: Obj, *, off_session: bool, authenticated: bool) -> Decline | None:
    """Return why the bank refuses, or None when it pays."""
    if off_session and not authenticated and wants_customer(payment_method):
        return AUTHENTICATION_REQUIRED
    return card_of(payment_method).decline


def charge_card(
    world: World, order: Obj, payment_method: Obj, decline: Decline | None, *, capture: bool
) -> Obj:
    """Make the charge for one attempt to pay an order, with its event and journal entry.

    The order is a payment intent, or has the same fields and no id: then the charge is its own.
    """
    charge = world.store.insert(new_charge(world, order, payment_method))
    if decline is None:
        if capture:
            settle_charge(world, charge, charge["amount"])
        world.emit("charge.succeeded", charge)
    else:
        fail_charge(world, charge, decline)
    return charge


def fail_charge(world: World, charge: Obj, decline: Decline) -> None:
    """Record that no money came of a charge, and why."""
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
        entry_id=charge["_entry"],
        amount_minor=charge["amount"],
        state="failed",
        invoice=charge["_invoice"],
        failure_code=decline.code,
    )
    world.emit("charge.failed", charge)


def settle_charge(world: World, charge: Obj, amount_minor: int) -> None:
    """Take an authorised charge's money, or a part of it: the rest is let go."""
    settings = world.settings
    fee = round(amount_minor * settings.fee_rate) + settings.fee_fixed_minor
    kind = "charge" if "card" in charge["payment_method_details"] else "payment"
    transaction = new_balance_transaction(
        world, charge, amount_minor, fee, kind, transaction_id=charge["_entry"]
    )
    world.store.set(
        charge,
        balance_transaction=transaction["id"],
        captured=True,
        amount_captured=amount_minor,
    )
    release(world, charge, charge["amount"] - amount_minor)
    world.record_money(
        charge,
        entry_id=charge["_entry"],
        amount_minor=amount_minor,
        state="succeeded",
        invoice=charge["_invoice"],
    )


def release(world: World, charge: Obj, amount_minor: int) -> None:
    """Let go of authorised money that was never taken: it counts as refunded, as at Stripe."""
    refunded = charge["amount_refunded"] + amount_minor
    world.store.set(
        charge,
        amount_refunded=refunded,
        refunded=refunded == charge["amount"],
        _released=charge["_released"] + amount_minor,
    )


def expire_charge(world: World, charge: Obj) -> None:
    """Let go of a direct charge that was not captured within seven days."""
    release(world, charge, charge["amount"])
    world.emit("charge.expired", charge)


def new_balance_transaction(  # noqa: PLR0913 - a movement has this many facts
    world: World,
    source: Obj,
    amount_minor: int,
    fee_minor: int,
    kind: str,
    *,
    transaction_id: str | None = None,
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
            "id": transaction_id or world.ids.new("txn"),
            "object": "balance_transaction",
            "amount": amount_minor,
            "available_on": world.account_now + _AVAILABLE_AFTER_S,
            "balance_type": "payments",
            "created": world.account_now,
            "currency": source["currency"],
            "description": source.get("description"),
            "exchange_rate": None,
            "fee": fee_minor,
            "fee_details": [fees] if fee_minor else [],
            "net": amount_minor - fee_minor,
            "reporting_category": _CATEGORIES.get(kind, kind),
            "source": source["id"],
            "status": "pending",
            "type": kind,
        }
    )


def new_charge(world: World, order: Obj, payment_method: Obj) -> Obj:
    """Return a charge of the order's amount that the bank has authorised, not yet stored."""
    charge_id = world.ids.new("ch")
    kind = payment_method["type"]
    details = _card_details if kind == "card" else _debit_details
    same = (
        "amount",
        "currency",
        "customer",
        "description",
        "receipt_email",
        "shipping",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "transfer_group",
        "_invoice",
    )
    return fresh(
        CHARGE,
        id=charge_id,
        billing_details=payment_method["billing_details"],
        created=world.account_now,
        metadata=dict(order["metadata"]),
        payment_intent=order["id"],
        payment_method=payment_method["id"],
        payment_method_details={kind: details(world, order, payment_method), "type": kind},
        receipt_url=f"https://pay.stripe.com/receipts/payment/{charge_id}",
        _entry=world.ids.new("txn"),
        **{field: order[field] for field in same},
    )


def _card_details(world: World, order: Obj, payment_method: Obj) -> Obj:
    card = {
        key: payment_method["card"][key]
        for key in ("brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    }
    return {
        **card,
        "amount_authorized": order["amount"],
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


def _debit_details(_world: World, _order: Obj, payment_method: Obj) -> Obj:
    debit = payment_method["sepa_debit"]
    same = ("bank_code", "branch_code", "country", "fingerprint", "last4")
    return {"expected_debit_date": None, "mandate": None, **{key: debit[key] for key in same}}


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
