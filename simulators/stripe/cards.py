"""Stripe's test cards: number, token and what the bank says to them.

The table is that of https://docs.stripe.com/testing. Each card can be named by number, as
``tok_…`` and as ``pm_card_…``.
"""

from dataclasses import dataclass
from typing import Literal

Behaviour = Literal[
    "succeed",
    "decline",
    "authenticate",
    "authenticate_once",
    "dispute",
    "inquiry",
    "refund_fails",
    "refund_waits",
]


@dataclass(frozen=True)
class Decline:
    """What the bank says no with."""

    code: str
    decline_code: str | None
    message: str


@dataclass(frozen=True)
class Card:
    """One test card. A declining card that `attaches` is refused only when it is charged.

    One that wants to `authenticate_once` is content after it was set up for later payments. A
    `dispute_reason` goes with a card whose owner disputes what was charged, or inquires.
    """

    name: str
    number: str
    brand: str = "visa"
    funding: str = "credit"
    behaviour: Behaviour = "succeed"
    decline: Decline | None = None
    attaches: bool = True
    dispute_reason: str | None = None


AUTHENTICATION_REQUIRED = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)


def _declined(decline_code: str, message: str = "Your card was declined.") -> Decline:
    return Decline("card_declined", decline_code, message)


_GENERIC = _declined("generic_decline")
_NO_FUNDS = _declined("insufficient_funds", "Your card has insufficient funds.")


def _declining(name: str, number: str, decline: Decline) -> Card:
    return Card(name, number, behaviour="decline", decline=decline, attaches=False)


CARDS = (
    Card("visa", "4242424242424242"),
    Card("visa_debit", "4000056655665556", funding="debit"),
    Card("mastercard", "5555555555554444", "mastercard"),
    Card("mastercard_debit", "5200828282828210", "mastercard", "debit"),
    Card("mastercard_prepaid", "5105105105105100", "mastercard", "prepaid"),
    Card("amex", "378282246310005", "amex"),
    Card("discover", "6011111111111117", "discover"),
    Card("diners", "3056930009020004", "diners"),
    Card("jcb", "3566002020360505", "jcb"),
    Card("unionpay", "6200000000000005", "unionpay"),
    Card("bypassPending", "4000000000000077"),
    _declining("chargeDeclined", "4000000000000002", _GENERIC),
    _declining("chargeDeclinedInsufficientFunds", "4000000000009995", _NO_FUNDS),
    _declining("chargeDeclinedLostCard", "4000000000009987", _declined("lost_card")),
    _declining("chargeDeclinedStolenCard", "4000000000009979", _declined("stolen_card")),
    _declining("chargeDeclinedFraudulent", "4100000000000019", _declined("fraudulent")),
    _declining(
        "chargeDeclinedVelocityLimitExceeded",
        "4000000000006975",
        _declined("card_velocity_exceeded"),
    ),
    _declining(
        "chargeDeclinedExpiredCard",
        "4000000000000069",
        Decline("expired_card", "expired_card", "Your card has expired."),
    ),
    _declining(
        "chargeDeclinedIncorrectCvc",
        "4000000000000127",
        Decline("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect."),
    ),
    _declining(
        "chargeDeclinedProcessingError",
        "4000000000000119",
        Decline(
            "processing_error",
            "processing_error",
            "An error occurred while processing your card. Try again in a little bit.",
        ),
    ),
    Card("chargeCustomerFail", "4000000000000341", behaviour="decline", decline=_GENERIC),
    Card("authenticationRequired", "4000002760003184", behaviour="authenticate"),
    Card("threeDSecure2Required", "4000000000003220", behaviour="authenticate"),
    Card("authenticationRequiredOnSetup", "4000002500003155", behaviour="authenticate_once"),
    Card(
        "authenticationRequiredChargeDeclinedInsufficientFunds",
        "4000008260003178",
        behaviour="authenticate",
        decline=_NO_FUNDS,
    ),
    Card("createDispute", "4000000000000259", behaviour="dispute", dispute_reason="fraudulent"),
    Card(
        "createDisputeProductNotReceived",
        "4000000000002685",
        behaviour="dispute",
        dispute_reason="product_not_received",
    ),
    Card(
        "createDisputeInquiry",
        "4000000000001976",
        behaviour="inquiry",
        dispute_reason="fraudulent",
    ),
    Card("refundFail", "4000000000005126", behaviour="refund_fails"),
    Card("pendingRefund", "4000000000007726", behaviour="refund_waits"),
)

BY_NAME = {card.name: card for card in CARDS}
BY_NUMBER = {card.number: card for card in CARDS}


def find_card(token: str) -> Card | None:
    """Return the card that a ``pm_card_…`` or ``tok_…`` names, if it is a test token.

    Stripe has both ``pm_card_chargeDeclined`` and ``pm_card_visa_chargeDeclined``.

    >>> find_card("pm_card_visa").number
    '4242424242424242'
    """
    for prefix in ("pm_card_visa_", "tok_visa_", "pm_card_", "tok_"):
        if token.startswith(prefix) and (card := BY_NAME.get(token.removeprefix(prefix))):
            return card
    return None
