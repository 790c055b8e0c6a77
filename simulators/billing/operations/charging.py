"""Fixes: paid for with a credit at hand, or else by a charge, and never by two.

A charge takes three steps: the attempt is committed, Stripe is asked with no transaction open, the
result is committed. Whoever dies or loses the answer in between leaves a pending attempt. It is
taken up by the next request for the fix or by the worker, which look the charge up before anything
is tried. The database allows one attempt per fix that is pending or succeeded; a new one needs a
definite refusal.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import aliased

from simulators.billing import books, failpoints, ledger
from simulators.billing.core import Answer, InFlight
from simulators.billing.domain import plans
from simulators.billing.identifiers import new_id
from simulators.billing.ledger import Posting
from simulators.billing.operations.cards import default_card
from simulators.billing.problems import (
    AUTHENTICATION_REQUIRED,
    Problem,
    charge_unsettled,
    declined,
    no_billing_info,
    not_found,
    provider_unavailable,
)
from simulators.billing.storage.database import locked_customer
from simulators.billing.storage.tables import Customer, FixAttempt
from simulators.billing.stripe_gateway.calls import ascertain
from simulators.billing.stripe_gateway.errors import (
    CardFailure,
    GatewayError,
    StripeDoubt,
    StripeNotDone,
    StripeRefusal,
)
from simulators.billing.stripe_gateway.facts import ChargeOrder, Intent, Movement

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from simulators.billing.core import Core
    from simulators.billing.idempotency import Slot

PENDING = "pending"
_ABANDONED = "authentication_abandoned"
_IN_MOTION = frozenset({"processing", "requires_confirmation", "requires_capture"})
_RETRY_S = 2


@dataclass(frozen=True, slots=True)
class Fix:
    """One deployed fix, by the customer's own id for it."""

    fix_id: str
    repository: str | None


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge to be made or looked up; `is_repeat` if an earlier try left it open.

    `is_unfinished`: the customer was to authenticate it, and either has, or is now asking anew.
    """

    order: ChargeOrder
    claim: int
    is_repeat: bool = False
    is_unfinished: bool = False


def begin(core: Core, customer_id: str, fix: Fix, slot: Slot) -> Answer | Charge | InFlight:
    """Pay with a credit, or write down that a charge is to be made; raise why neither can be."""
    now = core.clock.now()
    with core.database.write("fix.attempt") as session:
        customer = locked_customer(session, customer_id)
        if customer is None or customer.closed_at is not None:
            raise not_found()
        earlier = _newest_attempt(session, customer_id, fix.fix_id)
        if earlier is not None and earlier.answer is not None:
            return slot.keep(session, Answer(200, json.loads(earlier.answer)))
        if earlier is not None and (open_charge := _rejoin(core, customer, earlier, now)):
            return open_charge
        attempt = _new_attempt(core, customer, fix, earlier)
        session.add(attempt)
        if ledger.balance(session, customer_id) > 0:
            return slot.keep(session, _consume(session, customer, attempt, now))
        card = default_card(session, customer_id)
        if card is not None:
            return _start_charge(core, customer, attempt, card.id, now)
        attempt.reason, attempt.settled_at = "no_billing_info", now
    raise no_billing_info()


def reopen(
    core: Core, customer_id: str, fix_id: str, *, if_unfinished: bool = False
) -> Charge | None:
    """Take up a charge that was left in doubt, if nobody else has.

    `if_unfinished`: one that its holder was to authenticate, too.
    """
    now = core.clock.now()
    with core.database.write() as session:
        customer = locked_customer(session, customer_id)
        attempt = _newest_attempt(session, customer_id, fix_id)
        if customer is None or attempt is None:
            return None
        is_unfinished = if_unfinished and attempt.reason == AUTHENTICATION_REQUIRED
        if attempt.outcome != PENDING and not is_unfinished:
            return None
        found = _rejoin(core, customer, attempt, now)
        return found if isinstance(found, Charge) else None


def carry_out(core: Core, charge: Charge, slot: Slot) -> Answer | InFlight:
    """Charge at Stripe, or find out what became of it, and write the result down.

    `InFlight` means that the fix is free for a new attempt: begin again.
    """
    result: Intent | GatewayError
    failpoints.hit("fix.before_stripe")
    try:
        result = _at_stripe(core, charge)
    except GatewayError as error:
        result = error
    failpoints.hit("fix.after_stripe")
    outcome = _settle(core, charge, result, slot)
    if isinstance(outcome, Problem):
        raise outcome
    return outcome


def pending(session: Session, now: int) -> list[tuple[str, str]]:
    """List the fixes (customer, fix id) whose charge has been in doubt for long enough to look."""
    due = FixAttempt.outcome == PENDING, FixAttempt.next_try_at <= now
    found = session.execute(select(FixAttempt.customer_id, FixAttempt.fix_id).where(*due))
    return [(customer_id, fix_id) for customer_id, fix_id in found]


def unfinished(session: Session) -> list[FixAttempt]:
    """List the attempts whose payment still waits for the card's holder, as far as we know."""
    newer = aliased(FixAttempt)
    is_outdone = select(newer.id).where(
        newer.customer_id == FixAttempt.customer_id,
        newer.fix_id == FixAttempt.fix_id,
        newer.number > FixAttempt.number,
    )
    waits = FixAttempt.outcome == "refused", FixAttempt.reason == AUTHENTICATION_REQUIRED
    return list(session.scalars(select(FixAttempt).where(*waits, ~is_outdone.exists())))


def adopt(core: Core, customer_id: str, fix_id: str, attempt_id: str, paid: Movement) -> bool:
    """Write a charge down that Stripe has and our books do not; tell whether they could take it.

    They lost its attempt (a backup was restored) or hold it for refused. They cannot take a second
    charge for a fix that is paid for or under way: that one is for a person to look at.
    """
    now = core.clock.now()
    with core.database.write("fix.result") as session:
        customer = locked_customer(session, customer_id)
        if customer is None:
            return False
        newest = _newest_attempt(session, customer_id, fix_id)
        if newest is not None and newest.outcome != "refused":
            return books.by_stripe_id(session, paid.stripe_id) is not None
        attempt = session.scalar(select(FixAttempt).where(FixAttempt.id == attempt_id))
        if attempt is None:
            attempt = _new_attempt(core, customer, Fix(fix_id, None), newest)
            attempt.id, attempt.amount_minor = attempt_id, paid.amount_minor
            session.add(attempt)
        _book(session, customer, attempt, paid, now)
    return True


def _at_stripe(core: Core, charge: Charge) -> Intent:
    order, calls = charge.order, core.stripe.charges
    found = ascertain(
        lambda: calls.find_charge(order.stripe_customer_id, order.attempt_id),
        lambda: calls.charge(order),
        is_repeat=charge.is_repeat,
    )
    if charge.is_unfinished and found.status not in {"succeeded", "canceled"}:
        # The customer asks anew, so the old intent must not be completed any more.
        try:
            return calls.cancel_intent(found.id)
        except StripeRefusal:
            return calls.intent(found.id)
    return found


def _settle(
    core: Core, charge: Charge, result: Intent | GatewayError, slot: Slot
) -> Answer | InFlight | Problem:
    now = core.clock.now()
    with core.database.write("fix.result") as session:
        customer = locked_customer(session, charge.order.customer_id)
        attempt = session.scalar(select(FixAttempt).where(FixAttempt.id == charge.order.attempt_id))
        if customer is None or attempt is None:
            return not_found()
        if attempt.answer is not None:
            return slot.keep(session, Answer(200, json.loads(attempt.answer)))
        if isinstance(result, Intent) and result.status == "succeeded" and result.charge:
            paid = Movement(result.charge, result.amount_minor, result.currency, result.id)
            return slot.keep(session, _book(session, customer, attempt, paid, now))
        if attempt.outcome != PENDING:
            return InFlight()
        return _unpaid(attempt, charge, result, now)


def _unpaid(
    attempt: FixAttempt, charge: Charge, result: Intent | GatewayError, now: int
) -> InFlight | Problem:
    """Write down that nothing was paid, if that is certain; else leave the attempt open."""
    if isinstance(result, Intent):
        if result.status in _IN_MOTION:
            return _still_open(attempt, now)
        if charge.is_unfinished:
            _refuse(attempt, _ABANDONED, now)
            return InFlight()
        result = _as_refusal(result)
    if isinstance(result, StripeRefusal) and result.card:
        problem = declined(result)
        attempt.payment_intent = result.card.payment_intent
        _refuse(attempt, problem.code, now)
        return problem
    if isinstance(result, StripeDoubt) or _may_be_under_way(attempt, charge, result):
        return _still_open(attempt, now)
    _refuse(attempt, "payment_provider_unavailable", now)
    # A doubt that ended in "nothing was charged" frees the fix for whoever asked just now.
    return InFlight() if charge.is_repeat else provider_unavailable()


def _may_be_under_way(attempt: FixAttempt, charge: Charge, result: GatewayError) -> bool:
    """Tell whether another request for this attempt may still reach Stripe though ours did not."""
    if not isinstance(result, StripeNotDone) or result.is_final:
        return False
    return charge.is_repeat or attempt.claims != charge.claim


def _book(
    session: Session, customer: Customer, attempt: FixAttempt, paid: Movement, now: int
) -> Answer:
    """Write a successful charge down: the money, the credit it bought, and the fix that used it."""
    purpose = books.Purpose(attempt.fix_id, plans.plan_charged(attempt.plan))
    row = books.record_charge(session, customer.id, paid, purpose, now)
    details = {"fix_id": attempt.fix_id, "charge": paid.stripe_id}
    bought = Posting(1, "purchased", paid.stripe_id, details)
    ledger.append(session, customer.id, bought, at=now)
    used = Posting(-1, "consumed", attempt.fix_id)
    balance = ledger.append(session, customer.id, used, at=now).balance_after
    if customer.plan == "trial":
        customer.plan = "payg"
    attempt.outcome, attempt.reason, attempt.settled_at = "charged", None, now
    attempt.payment_intent, attempt.next_try_at = paid.payment_intent, None
    body = {
        "fix_id": attempt.fix_id,
        "outcome": "charged",
        "charged_minor": row.amount_minor,
        "currency": row.currency,
        "payment_id": row.id,
        "credit_balance": balance,
        "plan": customer.plan,
    }
    attempt.answer = json.dumps(body)
    return Answer(200, body)


def _consume(session: Session, customer: Customer, attempt: FixAttempt, now: int) -> Answer:
    used = Posting(-1, "consumed", attempt.fix_id)
    balance = ledger.append(session, customer.id, used, at=now).balance_after
    attempt.outcome, attempt.settled_at, attempt.amount_minor = "credit", now, 0
    body = {
        "fix_id": attempt.fix_id,
        "outcome": "credit",
        "charged_minor": 0,
        "currency": attempt.currency,
        "payment_id": None,
        "credit_balance": balance,
        "plan": customer.plan,
    }
    attempt.answer = json.dumps(body)
    return Answer(200, body)


def _refuse(attempt: FixAttempt, reason: str, now: int) -> None:
    attempt.outcome, attempt.reason = "refused", reason
    attempt.settled_at, attempt.next_try_at = now, None


def _still_open(attempt: FixAttempt, now: int) -> Problem:
    attempt.next_try_at = now + _RETRY_S
    return charge_unsettled()


def _as_refusal(found: Intent) -> StripeRefusal:
    """Read an intent that was looked up and did not pay as the refusal that its request got."""
    wants_holder = found.status == "requires_action"
    return StripeRefusal(
        AUTHENTICATION_REQUIRED if wants_holder else found.failure_code or "card_declined",
        "",
        card=CardFailure(found.decline_code, found.id, found.client_secret),
    )


def _rejoin(
    core: Core, customer: Customer, earlier: FixAttempt, now: int
) -> Charge | InFlight | None:
    """Take up an attempt that is still open at Stripe; None if a new one may be made."""
    is_unfinished = earlier.reason == AUTHENTICATION_REQUIRED
    if earlier.outcome == PENDING:
        if earlier.next_try_at is not None and earlier.next_try_at > now:
            return InFlight()
    elif not is_unfinished:
        return None
    earlier.outcome = PENDING
    earlier.claims += 1
    earlier.next_try_at = now + core.settings.stripe_patience_s
    order = _order(customer, earlier)
    return Charge(order, earlier.claims, is_repeat=True, is_unfinished=is_unfinished)


def _start_charge(
    core: Core, customer: Customer, attempt: FixAttempt, card_id: str, now: int
) -> Charge:
    attempt.outcome = PENDING
    attempt.payment_method_id = card_id
    attempt.amount_minor = core.catalogue.fix_price_minor(customer.plan)
    attempt.claims += 1
    attempt.next_try_at = now + core.settings.stripe_patience_s
    return Charge(_order(customer, attempt), attempt.claims)


def _order(customer: Customer, attempt: FixAttempt) -> ChargeOrder:
    return ChargeOrder(
        stripe_customer_id=customer.stripe_customer_id,
        payment_method=str(attempt.payment_method_id),
        amount_minor=attempt.amount_minor,
        attempt_id=attempt.id,
        customer_id=customer.id,
        fix_id=attempt.fix_id,
        key=f"fix:{customer.id}:{attempt.fix_id}:{attempt.number}",
    )


def _new_attempt(
    core: Core, customer: Customer, fix: Fix, earlier: FixAttempt | None
) -> FixAttempt:
    return FixAttempt(
        id=new_id("att"),
        customer_id=customer.id,
        fix_id=fix.fix_id,
        number=earlier.number + 1 if earlier else 1,
        repository=fix.repository,
        outcome="refused",
        plan=customer.plan,
        amount_minor=0,
        currency=core.catalogue.currency,
        claims=0,
        created_at=core.clock.now(),
    )


def _newest_attempt(session: Session, customer_id: str, fix_id: str) -> FixAttempt | None:
    newest = func.max(FixAttempt.number)
    same = FixAttempt.customer_id == customer_id, FixAttempt.fix_id == fix_id
    number = select(newest).where(*same).scalar_subquery()
    return session.scalar(select(FixAttempt).where(*same, FixAttempt.number == number))
