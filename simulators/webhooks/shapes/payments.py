"""Builds payment intents, charges, refunds, disputes and checkout sessions of one scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from simulators.webhooks.shapes.billing import customer
from simulators.webhooks.shapes.payment_fields import (
    BILLING_DETAILS,
    CARD,
    CHARGE,
    CHECKOUT_SESSION,
    DISPUTE,
    PAYMENT_INTENT,
)
from simulators.webhooks.shapes.scene import Scene, fresh

if TYPE_CHECKING:
    from simulators.webhooks.events import Obj

ChargeStatus = Literal["succeeded", "failed"]

_WORDS = {
    "authentication_required": "Your card was declined. This transaction requires authentication.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "incorrect_number": "Your card number is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
}
"""Failures that are codes of their own; every other one is `card_declined` with a decline code.

https://docs.stripe.com/error-codes and https://docs.stripe.com/declines/codes
"""
_DISPUTE_FEE_MINOR = 1_500
_DUE_AFTER_S = 7 * 86_400
_EXPIRES_AFTER_S = 86_400
_AVAILABLE_AFTER_S = 2 * 86_400


def decline(failure_code: str) -> tuple[str, str, str]:
    """Give code, decline code and sentence of a failure, however it was named.

    >>> decline("insufficient_funds")[:2], decline("expired_card")[:2], decline("card_declined")[:2]
    (('card_declined', 'insufficient_funds'), ('expired_card', 'expired_card'), \
('card_declined', 'generic_decline'))
    """
    if failure_code in _WORDS:
        return failure_code, failure_code, _WORDS[failure_code]
    reason = "generic_decline" if failure_code == "card_declined" else failure_code
    return "card_declined", reason, "Your card was declined."


def _billing_details(scene: Scene) -> Obj:
    buyer = customer(scene)
    return fresh(BILLING_DETAILS, email=buyer["email"], name=buyer["name"])


def _payment_method(scene: Scene) -> Obj:
    return {
        "id": scene.id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": _billing_details(scene),
        "card": fresh(
            CARD,
            display_brand="visa",
            generated_from=None,
            networks={"available": ["visa"], "preferred": None},
            three_d_secure_usage={"supported": True},
        ),
        "created": scene.began_at,
        "customer": scene.customer,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


def payment_intent(scene: Scene, **fields: object) -> Obj:
    """Build the intent before anybody tried to pay it."""
    return fresh(
        PAYMENT_INTENT,
        **{
            "id": scene.id("pi"),
            "amount": scene.amount_minor,
            "client_secret": f"{scene.id('pi')}_secret_{scene.token}",
            "created": scene.now,
            "currency": scene.currency,
            "customer": scene.customer,
            "description": "Subscription update",
            "setup_future_usage": "off_session",
            **fields,
        },
    )


def paid_intent(scene: Scene) -> Obj:
    """Build the intent after it was paid."""
    return payment_intent(
        scene,
        amount_received=scene.amount_minor,
        latest_charge=scene.id("ch"),
        payment_method=scene.id("pm"),
        status="succeeded",
    )


def declined_intent(scene: Scene, failure_code: str) -> Obj:
    """Build the intent after the bank said no; it waits for another payment method."""
    code, decline_code, message = decline(failure_code)
    error = {
        "charge": scene.id("ch"),
        "code": code,
        "decline_code": decline_code,
        "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
        "message": message,
        "payment_method": _payment_method(scene),
        "type": "card_error",
    }
    return payment_intent(scene, last_payment_error=error, latest_charge=scene.id("ch"))


def charge(scene: Scene, **fields: object) -> Obj:
    """Build the charge that took the money."""
    amount = scene.amount_minor
    details = fresh(
        CARD,
        amount_authorized=amount,
        authorization_code="A1B2C3",
        installments=None,
        mandate=None,
        network="visa",
        network_transaction_id=scene.token[:15],
        three_d_secure=None,
    )
    return fresh(
        CHARGE,
        **{
            "id": scene.id("ch"),
            "amount": amount,
            "amount_captured": amount,
            "balance_transaction": scene.id("txn"),
            "billing_details": _billing_details(scene),
            "captured": True,
            "created": scene.now,
            "currency": scene.currency,
            "customer": scene.customer,
            "description": "Subscription update",
            "metadata": {},
            "payment_intent": scene.id("pi"),
            "payment_method": scene.id("pm"),
            "payment_method_details": {"card": details, "type": "card"},
            "receipt_email": None,
            "receipt_url": f"https://pay.stripe.com/receipts/payment/{scene.id('ch')}",
            "shipping": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": None,
            **fields,
        },
    )


def declined_charge(scene: Scene, failure_code: str) -> Obj:
    """Build the charge of an attempt that the bank refused: no money moved."""
    code, decline_code, message = decline(failure_code)
    return charge(
        scene,
        amount_captured=0,
        balance_transaction=None,
        captured=False,
        failure_code=code,
        failure_message=message,
        outcome={
            "advice_code": "try_again_later",
            "network_advice_code": "02",
            "network_decline_code": "05",
            "network_status": "declined_by_network",
            "reason": decline_code,
            "risk_level": "normal",
            "risk_score": 20,
            "seller_message": "The bank did not return any further details with this decline.",
            "type": "issuer_declined",
        },
        paid=False,
        receipt_url=None,
        status="failed",
    )


def refunded_charge(scene: Scene, refund_minor: int) -> Obj:
    """Build the charge after that much of it went back."""
    return charge(scene, amount_refunded=refund_minor, refunded=refund_minor == scene.amount_minor)


def refund(scene: Scene, refund_minor: int, reason: str) -> Obj:
    """Build the refund of that much of the charge."""
    reference = {"reference_status": "pending", "reference_type": "acquirer_reference_number"}
    return {
        "id": scene.id("re"),
        "object": "refund",
        "amount": refund_minor,
        "balance_transaction": f"{scene.id('txn')}r",
        "charge": scene.id("ch"),
        "created": scene.now,
        "currency": scene.currency,
        "description": None,
        "destination_details": {"card": {**reference, "type": "refund"}, "type": "card"},
        "metadata": {},
        "payment_intent": scene.id("pi"),
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def dispute(scene: Scene, reason: str, *, status: str) -> Obj:
    """Build the dispute of the whole charge, with the money that it has already taken back."""
    return fresh(
        DISPUTE,
        id=scene.id("du"),
        amount=scene.amount_minor,
        balance_transactions=[_withdrawal(scene)],
        charge=scene.id("ch"),
        created=scene.now,
        currency=scene.currency,
        evidence_details={
            "due_by": scene.now + _DUE_AFTER_S,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        payment_intent=scene.id("pi"),
        reason=reason,
        status=status,
    )


def _withdrawal(scene: Scene) -> Obj:
    fee = {
        "amount": _DISPUTE_FEE_MINOR,
        "application": None,
        "currency": scene.currency,
        "description": "Dispute fee",
        "type": "stripe_fee",
    }
    return {
        "id": f"{scene.id('txn')}d",
        "object": "balance_transaction",
        "amount": -scene.amount_minor,
        "available_on": scene.now + _AVAILABLE_AFTER_S,
        "balance_type": "payments",
        "created": scene.now,
        "currency": scene.currency,
        "description": f"Chargeback withdrawal for {scene.id('ch')}",
        "exchange_rate": None,
        "fee": _DISPUTE_FEE_MINOR,
        "fee_details": [fee],
        "net": -scene.amount_minor - _DISPUTE_FEE_MINOR,
        "reporting_category": "dispute",
        "source": scene.id("du"),
        "status": "available",
        "type": "adjustment",
    }


def checkout_session(scene: Scene) -> Obj:
    """Build the session by which the subscription was bought and its first month paid."""
    buyer = customer(scene)
    return fresh(
        CHECKOUT_SESSION,
        id=scene.ids.get("cs") or f"cs_test_{scene.token}",
        amount_subtotal=scene.amount_minor,
        amount_total=scene.amount_minor,
        created=scene.now,
        currency=scene.currency,
        customer=scene.customer,
        customer_details={
            "address": None,
            "business_name": None,
            "email": buyer["email"],
            "individual_name": None,
            "name": buyer["name"],
            "phone": None,
            "tax_exempt": "none",
            "tax_ids": [],
        },
        expires_at=scene.now + _EXPIRES_AFTER_S,
        invoice=scene.id("in"),
        payment_status="paid" if scene.amount_minor else "no_payment_required",
        subscription=scene.subscription,
    )
