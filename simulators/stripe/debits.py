"""SEPA direct debits: a payment that takes days, and may fail after all.

The account numbers are those of https://docs.stripe.com/payments/sepa-debit/accept-a-payment.
"""

from dataclasses import dataclass

from simulators.stripe.cards import Decline
from simulators.stripe.charging import fail_charge, new_charge, settle_charge
from simulators.stripe.errors import InvalidRequest
from simulators.stripe.world import World
from simulators.webhooks.events import Obj


@dataclass(frozen=True)
class Debit:
    """What becomes of debits from one test account, and after how long in virtual time."""

    succeeds: bool = True
    after_s: int = 0
    dispute_reason: str | None = None


BY_IBAN = {
    "AT611904300234573201": Debit(),
    "AT321904300235473204": Debit(after_s=180),
    "AT861904300235473202": Debit(succeeds=False),
    "AT051904300235473205": Debit(succeeds=False, after_s=180),
    "AT591904300235473203": Debit(dispute_reason="debit_not_authorized"),
}
REFUSED = Decline(
    "payment_intent_payment_attempt_failed",
    "generic_decline",
    "The customer's bank refused the debit.",
)


def find(iban: str) -> tuple[str, Debit]:
    """Return a test account by its number, also one written in groups, with that number."""
    number = iban.replace(" ", "").upper()
    if number not in BY_IBAN:
        raise InvalidRequest(
            "The IBAN you provided is invalid. This simulator knows Stripe's test accounts.",
            code="invalid_bank_account_iban",
            param="sepa_debit[iban]",
        )
    return number, BY_IBAN[number]


def begin(world: World, order: Obj, payment_method: Obj) -> Obj:
    """Make a pending charge; what becomes of it is planned."""
    charge = world.store.insert(new_charge(world, order, payment_method))
    world.store.set(charge, status="pending", paid=False)
    world.record_money(
        charge,
        entry_id=charge["_entry"],
        amount_minor=charge["amount"],
        state="pending",
        invoice=charge["_invoice"],
    )
    world.emit("charge.pending", charge)
    after_s = BY_IBAN[payment_method["_iban"]].after_s
    world.store.schedule("settle_debit", charge["id"], world.account_now + after_s)
    return charge


def settle(world: World, charge: Obj, payment_method: Obj) -> Decline | None:
    """Let the bank answer; return why it refused."""
    if not BY_IBAN[payment_method["_iban"]].succeeds:
        fail_charge(world, charge, REFUSED)
        return REFUSED
    world.store.set(charge, status="succeeded", paid=True)
    settle_charge(world, charge, charge["amount"])
    world.emit("charge.succeeded", charge)
    return None
