"""Refunds: money given back at once, later, or after all not.

What a bank does with a refund follows from the card, as in
https://docs.stripe.com/testing#refunds: some take a while, some refuse and the money returns.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from simulators.stripe.cards import BY_NAME
from simulators.stripe.charging import new_balance_transaction
from simulators.stripe.currencies import format_money
from simulators.stripe.errors import InvalidRequest
from simulators.stripe.journal import State
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_SETTLES_AFTER_S = 60


def refund_charge(world: World, charge: Obj, amount_minor: int | None, **given: Any) -> Obj:
    """Give back a captured charge, all that is left or a part of it."""
    left = charge["amount_captured"] + charge["_released"] - charge["amount_refunded"]
    amount = left if amount_minor is None else amount_minor
    _check_refundable(world, charge, amount, left)
    payment_method = world.fetch("payment_method", charge["payment_method"])
    behaviour = BY_NAME[payment_method["_card"]].behaviour if "_card" in payment_method else None
    refund = world.store.insert(_new_refund(world, charge, amount, given))
    transaction = new_balance_transaction(world, refund, -amount, 0, "refund")
    world.store.set(refund, balance_transaction=transaction["id"])
    if behaviour == "refund_waits":
        world.store.set(refund, status="pending", pending_reason="processing")
    if behaviour in {"refund_waits", "refund_fails"}:
        at = world.account_now + _SETTLES_AFTER_S
        world.store.schedule("settle_refund", refund["id"], at)
    _record(world, refund, "succeeded" if refund["status"] == "succeeded" else "pending")
    with world.updating(charge, "charge.refunded"):
        _count(world, charge, amount)
    world.emit("refund.created", refund)
    return refund


def _check_refundable(world: World, charge: Obj, amount: int, left: int) -> None:
    if not charge["captured"]:
        raise InvalidRequest(
            f"Charge {charge['id']} has not been captured or has failed, so it cannot be refunded.",
            code="charge_not_refundable",
        )
    disputes = world.store.where("dispute", "charge", charge["id"])
    if any(not dispute["is_charge_refundable"] for dispute in disputes):
        raise InvalidRequest(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )
    if left == 0:
        raise InvalidRequest(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    if amount > left:
        money = format_money(amount, charge["currency"])
        raise InvalidRequest(
            f"Refund amount ({money}) is greater than unrefunded amount on charge "
            f"({format_money(left, charge['currency'])})",
            param="amount",
        )


def _new_refund(world: World, charge: Obj, amount: int, given: Obj) -> Obj:
    kind = charge["payment_method_details"]["type"]
    reference = {"reference_status": "pending", "reference_type": "acquirer_reference_number"}
    details = {**reference, "type": "refund"} if kind == "card" else {}
    return {
        "id": world.ids.new("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": world.account_now,
        "currency": charge["currency"],
        "description": None,
        "destination_details": {kind: details, "type": kind},
        "metadata": given["metadata"],
        "payment_intent": charge["payment_intent"],
        "reason": given["reason"],
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
        "_customer": charge["customer"],
    }


def _record(world: World, refund: Obj, state: State) -> None:
    """Write how a refund stands into the journal; later words take the place of earlier ones."""
    charge = world.fetch("charge", refund["charge"])
    world.record_money(
        refund,
        entry_id=refund["balance_transaction"],
        amount_minor=-refund["amount"],
        state=state,
        invoice=charge["_invoice"],
        failure_code=refund.get("failure_reason"),
    )


def _count(world: World, charge: Obj, amount_minor: int) -> None:
    refunded = charge["amount_refunded"] + amount_minor
    world.store.set(charge, amount_refunded=refunded, refunded=refunded == charge["amount"])


def settle(world: World, refund: Obj) -> None:
    """Let the customer's bank answer: it takes a refund that waited, or refuses one."""
    if refund["status"] == "pending":
        with updating(world, refund):
            world.store.set(refund, status="succeeded", pending_reason=None)
        _record(world, refund, "succeeded")
        return
    charge = world.fetch("charge", refund["charge"])
    returned = new_balance_transaction(world, refund, refund["amount"], 0, "refund_failure")
    with updating(world, refund):
        world.store.set(
            refund,
            status="failed",
            failure_balance_transaction=returned["id"],
            failure_reason="expired_or_canceled_card",
        )
    _record(world, refund, "failed")
    _count(world, charge, -refund["amount"])
    world.emit("refund.failed", refund)


@contextmanager
def updating(world: World, refund: Obj) -> Iterator[None]:
    """Emit both events that Stripe has for a refund that changes inside."""
    with world.updating(refund, "charge.refund.updated"), world.updating(refund, "refund.updated"):
        yield
