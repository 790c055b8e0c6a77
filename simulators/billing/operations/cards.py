"""Payment methods: Stripe's tokens for cards, with their holder's consent to be billed.

Attaching is written down before Stripe is asked, and finished by the reconciler where we died or
never learnt the answer: the same request under the same key. Removing is marked first, and detached
at Stripe afterwards, by whoever comes first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

from simulators.billing import failpoints, ledger
from simulators.billing.core import Answer
from simulators.billing.ledger import Posting
from simulators.billing.operations.accounts import email_digest, living_subscription_id
from simulators.billing.problems import (
    Refusal,
    charge_unsettled,
    declined,
    not_found,
    provider_unavailable,
)
from simulators.billing.storage.database import locked_customer
from simulators.billing.storage.repairs import CardAttempt
from simulators.billing.storage.tables import Customer, EarnedGrant, PaymentMethod
from simulators.billing.stripe_gateway.errors import GatewayError, StripeDoubt, StripeRefusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from simulators.billing.core import Core
    from simulators.billing.idempotency import Slot
    from simulators.billing.stripe_gateway.facts import Card

_GRANT = "trial_billing_added"


def add(core: Core, customer_id: str, token: str, slot: Slot, *, consent: bool) -> Answer:
    """Attach a card as the default; the first one in an e-mail's life brings credits."""
    if not consent:
        raise Refusal(
            422, "billing_consent_required", "A card is kept only with its holder's consent."
        )
    attempt = _begin(core, customer_id, token, slot)
    card = _attached(core, attempt)
    now = core.clock.now()
    with core.database.write("card.record") as session:
        locked = locked_customer(session, customer_id)
        if locked is None or locked.closed_at is not None:
            raise not_found()
        row = _written(session, customer_id, card, attempt.consented_at, now)
        granted = _grant_once(core, session, locked, now)
        session.execute(delete(CardAttempt).where(CardAttempt.id == attempt.id))
        body = rendered(row) | {
            "credit_balance": ledger.balance(session, customer_id),
            "credits_granted": granted,
        }
        return slot.keep(session, Answer(201, body))


def listing(core: Core, customer_id: str) -> Answer:
    """List the cards on file, newest first."""
    with core.database.read() as session:
        rows = session.scalars(_on_file(customer_id)).all()
    return Answer(200, {"data": [rendered(row) for row in rows]})


def remove(core: Core, customer_id: str, payment_method_id: str) -> Answer:
    """Detach a card; the newest of those left becomes the default.

    It is marked removed first, so that nothing new is charged to it, and unmarked if Stripe took
    nothing on. A living subscription keeps at least one card.
    """
    with core.database.write("card_removal.record") as session:
        customer = locked_customer(session, customer_id)
        rows = session.scalars(_on_file(customer_id)).all()
        row = next((each for each in rows if each.id == payment_method_id), None)
        half_done = _half_removed(session, customer_id, payment_method_id)
        if customer is None or (row is None and not half_done):
            raise not_found()
        was_default = row is not None and bool(row.is_default)
        if row is not None:
            _mark_removed(core, session, row, [each for each in rows if each is not row])
    try:
        finish_removal(core, customer_id, payment_method_id)
    except StripeDoubt as doubt:
        raise charge_unsettled() from doubt
    except GatewayError as error:
        _restore(core, customer_id, payment_method_id, as_default=was_default)
        raise provider_unavailable() from error
    return Answer(200, {"payment_method_id": payment_method_id, "removed": True})


def finish_removal(core: Core, customer_id: str, payment_method_id: str) -> None:
    """Detach a card that is marked as removed, and write down that it is gone at Stripe."""
    with core.database.read() as session:
        customer = session.get(Customer, customer_id)
        heir = default_card(session, customer_id)
    if customer is None:
        return
    failpoints.hit("card_removal.before_stripe")
    stripe_customer_id = customer.stripe_customer_id
    core.stripe.customers.set_default_card(stripe_customer_id, heir.id if heir else None)
    core.stripe.customers.detach_card(payment_method_id)
    failpoints.hit("card_removal.after_stripe")
    removed = PaymentMethod.id == payment_method_id, PaymentMethod.removed_at.is_not(None)
    with core.database.write("card_removal.done") as session:
        done = update(PaymentMethod).where(*removed)
        session.execute(done.values(detached_at=core.clock.now()))


def half_removed(session: Session, now: int, patience_s: int) -> list[tuple[str, str]]:
    """List the cards (customer, card) that are removed here and may still be attached at Stripe."""
    found = select(PaymentMethod.customer_id, PaymentMethod.id).where(
        PaymentMethod.removed_at <= now - patience_s, PaymentMethod.detached_at.is_(None)
    )
    return [(customer_id, card_id) for customer_id, card_id in session.execute(found)]


def under_way(session: Session, now: int) -> list[CardAttempt]:
    """List the attempts to attach a card that nobody has finished in their time."""
    return list(session.scalars(select(CardAttempt).where(CardAttempt.next_try_at <= now)))


def finish(core: Core, attempt: CardAttempt) -> None:
    """Attach what a cut-off request was to attach, as its holder agreed; a newer card stays first.

    A card whose owner has closed the account meanwhile is detached again.
    """
    now = core.clock.now()
    if not _take_over(core, attempt, now):
        return
    try:
        card = _attached(core, attempt)
    except Refusal:
        return
    with core.database.write("card.record") as session:
        customer = locked_customer(session, attempt.customer_id)
        session.execute(delete(CardAttempt).where(CardAttempt.id == attempt.id))
        if customer is not None and customer.closed_at is None:
            _written(session, customer.id, card, attempt.consented_at, now)
            _grant_once(core, session, customer, now)
            return
    core.stripe.customers.detach_card(card.id)


def default_card(session: Session, customer_id: str) -> PaymentMethod | None:
    """Give the card that is charged, if there is one."""
    default = PaymentMethod.is_default == 1
    return session.scalar(_on_file(customer_id).where(default))


def rendered(row: PaymentMethod) -> dict[str, Any]:
    """Give a card as the API shows it."""
    return {
        "payment_method_id": row.id,
        "brand": row.brand,
        "last4": row.last4,
        "exp_month": row.exp_month,
        "exp_year": row.exp_year,
        "is_default": bool(row.is_default),
        "created_at": row.created_at,
    }


def _on_file(customer_id: str) -> Select[PaymentMethod]:
    return (
        select(PaymentMethod)
        .where(PaymentMethod.customer_id == customer_id, PaymentMethod.removed_at.is_(None))
        .order_by(PaymentMethod.position.desc())
    )


def _begin(core: Core, customer_id: str, token: str, slot: Slot) -> CardAttempt:
    """Write down that a card is to be attached, and that its holder agreed; or take that up."""
    now = core.clock.now()
    with core.database.write("card.attempt") as session:
        customer = locked_customer(session, customer_id)
        if customer is None or customer.closed_at is not None:
            raise not_found()
        attempt = session.get(CardAttempt, slot.token)
        if attempt is None:
            attempt = CardAttempt(
                id=slot.token, customer_id=customer_id, token=token, consented_at=now
            )
            session.add(attempt)
        attempt.next_try_at = now + core.settings.stripe_patience_s
        return attempt


def _take_over(core: Core, attempt: CardAttempt, now: int) -> bool:
    """Claim an attempt that is due; tell whether it was still there and nobody else's."""
    due = CardAttempt.id == attempt.id, CardAttempt.next_try_at == attempt.next_try_at
    with core.database.write() as session:
        claim = update(CardAttempt).where(*due)
        next_try_at = now + core.settings.stripe_patience_s
        claimed = session.execute(claim.values(next_try_at=next_try_at).returning(CardAttempt.id))
        return claimed.scalar() is not None


def _attached(core: Core, attempt: CardAttempt) -> Card:
    """Have Stripe attach the card, once, and make it the one that invoices are charged to."""
    with core.database.read() as session:
        customer = session.get_one(Customer, attempt.customer_id)
        newer = PaymentMethod.consented_at > attempt.consented_at
        is_outdone = session.scalar(_on_file(customer.id).where(newer).limit(1)) is not None
    calls, stripe_customer_id = core.stripe.customers, customer.stripe_customer_id
    failpoints.hit("card.before_stripe")
    try:
        card = calls.attach_card(stripe_customer_id, attempt.token, key=f"card:{attempt.id}")
        failpoints.hit("card.between_attach_and_default")
        if not is_outdone:
            calls.set_default_card(stripe_customer_id, card.id)
    except StripeRefusal as refusal:
        with core.database.write() as session:
            session.execute(delete(CardAttempt).where(CardAttempt.id == attempt.id))
        if refusal.card:
            raise declined(refusal) from refusal
        raise Refusal(
            422, "invalid_payment_method", "Stripe knows no such payment method."
        ) from refusal
    except GatewayError as error:
        raise charge_unsettled() from error
    failpoints.hit("card.after_stripe")
    return card


def _written(
    session: Session, customer_id: str, card: Card, consented_at: int, now: int
) -> PaymentMethod:
    newer = _on_file(customer_id).where(PaymentMethod.consented_at > consented_at).limit(1)
    is_default = session.scalar(newer) is None
    row = session.scalar(select(PaymentMethod).where(PaymentMethod.id == card.id))
    if is_default:
        others = update(PaymentMethod).where(PaymentMethod.customer_id == customer_id)
        session.execute(others.values(is_default=0))
    if row is None:
        row = PaymentMethod(id=card.id, customer_id=customer_id, created_at=now)
        session.add(row)
    row.brand, row.last4 = card.brand, card.last4
    row.exp_month, row.exp_year = card.exp_month, card.exp_year
    row.is_default, row.consented_at = int(is_default), consented_at
    row.removed_at = row.detached_at = None
    session.flush()
    return row


def _mark_removed(
    core: Core, session: Session, row: PaymentMethod, others: Sequence[PaymentMethod]
) -> None:
    """Mark a card as removed, and make the newest of the others the default if it was that."""
    if not others and living_subscription_id(session, row.customer_id):
        raise Refusal(
            409, "subscription_active", "The last card stays while there is a subscription."
        )
    was_default = bool(row.is_default)
    row.removed_at, row.is_default, row.detached_at = core.clock.now(), 0, None
    session.flush()
    if was_default and others:
        others[0].is_default = 1


def _half_removed(session: Session, customer_id: str, payment_method_id: str) -> bool:
    found = select(PaymentMethod.id).where(
        PaymentMethod.customer_id == customer_id,
        PaymentMethod.id == payment_method_id,
        PaymentMethod.removed_at.is_not(None),
        PaymentMethod.detached_at.is_(None),
    )
    return session.scalar(found) is not None


def _grant_once(core: Core, session: Session, customer: Customer, now: int) -> int:
    """Grant the first card's credits, once in the e-mail's life; give how many."""
    units = core.catalogue.first_card_credits
    digest = email_digest(core, customer.email)
    if not units or session.get(EarnedGrant, (digest, _GRANT)) is not None:
        return 0
    earned = EarnedGrant(email_digest=digest, source=_GRANT, customer_id=customer.id)
    session.add(earned)
    posting = Posting(units, "trial_billing_added", "first_card")
    ledger.append(session, customer.id, posting, at=now)
    return units


def _restore(core: Core, customer_id: str, payment_method_id: str, *, as_default: bool) -> None:
    with core.database.write() as session:
        locked_customer(session, customer_id)
        mine = PaymentMethod.customer_id == customer_id
        if as_default:
            session.execute(update(PaymentMethod).where(mine).values(is_default=0))
        restored = update(PaymentMethod).where(mine, PaymentMethod.id == payment_method_id)
        session.execute(restored.values(removed_at=None, is_default=int(as_default)))
