"""Payment methods: Stripe's tokens for cards, with their holder's consent to be billed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from simulators.billing import ledger
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
from simulators.billing.storage.tables import Customer, EarnedGrant, PaymentMethod
from simulators.billing.stripe_gateway.errors import GatewayError, StripeRefusal

if TYPE_CHECKING:
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
    with core.database.read() as session:
        customer = session.get(Customer, customer_id)
        if customer is None or customer.closed_at is not None:
            raise not_found()
    card = _attached(core, customer.stripe_customer_id, token, slot)
    now = core.clock.now()
    with core.database.write() as session:
        locked = locked_customer(session, customer_id)
        if locked is None or locked.closed_at is not None:
            raise not_found()
        row = _written(session, customer_id, card, now)
        granted = _grant_once(core, session, locked, now)
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

    It is marked removed first, so that nothing new is charged to it, and unmarked if Stripe cannot
    be reached. A living subscription keeps at least one card.
    """
    with core.database.write() as session:
        customer = locked_customer(session, customer_id)
        rows = session.scalars(_on_file(customer_id)).all()
        row = next((each for each in rows if each.id == payment_method_id), None)
        if customer is None or row is None:
            raise not_found()
        if len(rows) == 1 and living_subscription_id(session, customer_id):
            raise Refusal(
                409, "subscription_active", "The last card stays while there is a subscription."
            )
        was_default = bool(row.is_default)
        row.removed_at, row.is_default = core.clock.now(), 0
        session.flush()
        heir = next((each for each in rows if each is not row), None) if was_default else None
        if heir is not None:
            heir.is_default = 1
    try:
        if was_default:
            core.stripe.customers.set_default_card(
                customer.stripe_customer_id, heir.id if heir else None
            )
        core.stripe.customers.detach_card(payment_method_id)
    except GatewayError as error:
        _restore(core, customer_id, payment_method_id, as_default=was_default)
        raise provider_unavailable() from error
    return Answer(200, {"payment_method_id": payment_method_id, "removed": True})


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


def _attached(core: Core, stripe_customer_id: str, token: str, slot: Slot) -> Card:
    try:
        return core.stripe.customers.attach_card(
            stripe_customer_id, token, key=f"card:{slot.token}"
        )
    except StripeRefusal as refusal:
        if refusal.card:
            raise declined(refusal) from refusal
        raise Refusal(
            422, "invalid_payment_method", "Stripe knows no such payment method."
        ) from refusal
    except GatewayError as error:
        raise charge_unsettled() from error


def _written(session: Session, customer_id: str, card: Card, now: int) -> PaymentMethod:
    others = update(PaymentMethod).where(PaymentMethod.customer_id == customer_id)
    session.execute(others.values(is_default=0))
    row = session.scalar(select(PaymentMethod).where(PaymentMethod.id == card.id))
    if row is None:
        row = PaymentMethod(id=card.id, customer_id=customer_id, created_at=now)
        session.add(row)
    row.brand, row.last4 = card.brand, card.last4
    row.exp_month, row.exp_year = card.exp_month, card.exp_year
    row.is_default, row.consented_at, row.removed_at = 1, now, None
    session.flush()
    return row


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
        mine = PaymentMethod.customer_id == customer_id
        if as_default:
            session.execute(update(PaymentMethod).where(mine).values(is_default=0))
        restored = update(PaymentMethod).where(mine, PaymentMethod.id == payment_method_id)
        session.execute(restored.values(removed_at=None, is_default=int(as_default)))
