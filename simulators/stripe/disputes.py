"""Disputes: a customer takes the money back through the bank, and the merchant may object.

https://docs.stripe.com/disputes/how-disputes-work. A chargeback takes the money and a fee at
once; an inquiry only asks. What evidence wins or loses is said in `uncategorized_text`, as in
https://docs.stripe.com/testing#disputes; without evidence a dispute is lost when time is up.
"""

from typing import Any

from simulators.stripe.cards import BY_NAME
from simulators.stripe.charging import new_balance_transaction
from simulators.stripe.debits import BY_IBAN
from simulators.stripe.errors import InvalidRequest
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_ANSWER_WITHIN_S = 9 * 86_400
_OPEN = frozenset(
    {"needs_response", "under_review", "warning_needs_response", "warning_under_review"}
)
_REASON_CODES = {"fraudulent": "10.4", "product_not_received": "13.1"}
TEXTS = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_tracking_number",
    "uncategorized_text",
)
_FILES = (
    "cancellation_policy",
    "customer_communication",
    "customer_signature",
    "duplicate_charge_documentation",
    "receipt",
    "refund_policy",
    "service_documentation",
    "shipping_documentation",
    "uncategorized_file",
)


def open_if_disputed(world: World, charge: Obj) -> None:
    """Open the dispute, or the inquiry, of a test card or account whose owner makes one."""
    payment_method = world.store.get("payment_method", charge["payment_method"])
    assert payment_method is not None  # noqa: S101 - payment methods are never removed
    if payment_method["type"] == "card":
        card = BY_NAME[payment_method["_card"]]
        reason, inquiry = card.dispute_reason, card.behaviour == "inquiry"
    else:
        reason, inquiry = BY_IBAN[payment_method["_iban"]].dispute_reason, False
    if reason is not None:
        _open(world, charge, reason, inquiry=inquiry)


def _open(world: World, charge: Obj, reason: str, *, inquiry: bool) -> None:
    dispute = world.store.insert(_new_dispute(world, charge, reason, inquiry=inquiry))
    world.store.schedule("dispute_due", dispute["id"], dispute["evidence_details"]["due_by"])
    if not inquiry:
        world.store.set(charge, disputed=True)
        _move(world, dispute, charge, -charge["amount_captured"])
    world.emit("charge.dispute.created", dispute)
    if not inquiry:
        world.emit("charge.dispute.funds_withdrawn", dispute)


def _new_dispute(world: World, charge: Obj, reason: str, *, inquiry: bool) -> Obj:
    return {
        "id": world.ids.new("du"),
        "object": "dispute",
        "amount": charge["amount_captured"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": world.account_now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys((*TEXTS, *_FILES)), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": world.account_now + _ANSWER_WITHIN_S,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": _method_details(charge, reason, inquiry=inquiry),
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
        "_customer": charge["customer"],
    }


def _method_details(charge: Obj, reason: str, *, inquiry: bool) -> Obj | None:
    details = charge["payment_method_details"]
    if details["type"] != "card":
        return None
    return {
        "card": {
            "brand": details["card"]["brand"],
            "case_type": "inquiry" if inquiry else "chargeback",
            "network": details["card"]["network"],
            "network_reason_code": _REASON_CODES[reason],
        },
        "type": "card",
    }


def _move(world: World, dispute: Obj, charge: Obj, amount_minor: int) -> None:
    """Take the disputed money and a fee from the account, or give both back."""
    fee = world.settings.dispute_fee_minor * (1 if amount_minor < 0 else -1)
    transaction = new_balance_transaction(world, dispute, amount_minor, fee, "adjustment")
    moved = [*dispute["balance_transactions"], world.show(transaction)]
    world.store.set(dispute, balance_transactions=moved)
    world.record_money(
        dispute,
        entry_id=transaction["id"],
        amount_minor=amount_minor,
        state="succeeded",
        invoice=charge["_invoice"],
    )


def respond(world: World, dispute: Obj, evidence: Obj, *, submit: bool) -> None:
    """Add evidence and, with `submit`, send it to the bank, which may decide at once."""
    require_open(dispute)
    stored: dict[str, Any] = {**dispute["evidence"], **evidence}
    details = {**dispute["evidence_details"], "has_evidence": any(stored[key] for key in TEXTS)}
    warning = "warning_" if dispute["status"].startswith("warning_") else ""
    if submit:
        details["submission_count"] += 1
        details["submission_method"] = "manual"
        world.store.set(dispute, status=f"{warning}under_review")
        world.store.schedule("dispute_due", dispute["id"], None)
    world.store.set(dispute, evidence=stored, evidence_details=details)


def decide(world: World, dispute: Obj) -> None:
    """Let the bank decide on submitted evidence that is one of Stripe's magic words."""
    text = dispute["evidence"]["uncategorized_text"]
    inquiry = dispute["status"].startswith("warning_")
    if not dispute["status"].endswith("under_review"):
        return
    if text == "winning_evidence":
        _win(world, dispute, inquiry=inquiry)
    elif text == "losing_evidence":
        conclude(world, dispute)


def _win(world: World, dispute: Obj, *, inquiry: bool) -> None:
    charge = world.fetch("charge", dispute["charge"])
    if not inquiry:
        _move(world, dispute, charge, dispute["amount"])
    _end(world, dispute, "warning_closed" if inquiry else "won")
    if not inquiry:
        world.emit("charge.dispute.funds_reinstated", dispute)


def conclude(world: World, dispute: Obj) -> None:
    """End an open dispute without a win: the merchant gave in, lost, or let time run out."""
    if dispute["status"] in _OPEN:
        inquiry = dispute["status"].startswith("warning_")
        _end(world, dispute, "warning_closed" if inquiry else "lost")


def _end(world: World, dispute: Obj, status: str) -> None:
    world.store.schedule("dispute_due", dispute["id"], None)
    details = {**dispute["evidence_details"]}
    details["past_due"] = details["due_by"] <= world.account_now
    world.store.set(dispute, status=status, evidence_details=details)
    world.emit("charge.dispute.closed", dispute)


def require_open(dispute: Obj) -> None:
    """Refuse what only an open dispute allows."""
    if dispute["status"] not in _OPEN:
        raise InvalidRequest("This dispute is already closed.", code="dispute_closed")
