"""Subscribing to pro, cancelling, and keeping our record of a subscription level with Stripe's.

A record is written before Stripe is asked, and the database allows one living record per customer:
so two clicks make one subscription. What Stripe says is applied only if nobody applied something
newer in the meantime (`revision`), else it is fetched again; so a late event never puts a state
back.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from simulators.billing import failpoints
from simulators.billing.core import Answer, InFlight
from simulators.billing.domain import plans
from simulators.billing.identifiers import new_id
from simulators.billing.operations import invoicing
from simulators.billing.operations.cards import default_card
from simulators.billing.problems import (
    Problem,
    Refusal,
    charge_unsettled,
    declined,
    no_billing_info,
    not_found,
    provider_unavailable,
)
from simulators.billing.storage.database import locked_customer
from simulators.billing.storage.tables import Customer, Subscription
from simulators.billing.stripe_gateway.calls import ascertain
from simulators.billing.stripe_gateway.errors import (
    GatewayError,
    StripeDoubt,
    StripeNotDone,
    StripeRefusal,
)
from simulators.billing.stripe_gateway.facts import SubscribeOrder, SubscriptionFacts

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from simulators.billing.core import Core
    from simulators.billing.idempotency import Slot

STARTING = "starting"
REFUSED = "refused"
_LEVEL_TRIES = 5


@dataclass(frozen=True, slots=True)
class Start:
    """A subscription to be placed at Stripe; `is_repeat` if an earlier try left it in doubt."""

    order: SubscribeOrder
    claim: int
    is_repeat: bool = False


def begin(core: Core, customer_id: str, quantity: int) -> Start | InFlight:
    """Write down that a subscription is wanted, or raise why it cannot be."""
    now = core.clock.now()
    with core.database.write("subscription.record") as session:
        customer = locked_customer(session, customer_id)
        if customer is None or customer.closed_at is not None:
            raise not_found()
        living = living_record(session, customer_id)
        if living is not None:
            return _rejoin(core, customer, living, now)
        card = default_card(session, customer_id)
        if card is None:
            raise no_billing_info()
        record = _new_record(customer_id, quantity, now)
        record.payment_method_id = card.id
        record.next_try_at = now + core.settings.stripe_patience_s
        session.add(record)
        return Start(_order(customer, record), record.claims)


def reopen(core: Core, customer_id: str) -> Start | None:
    """Take up a subscription that was left in doubt, if nobody else has."""
    with core.database.write() as session:
        customer = locked_customer(session, customer_id)
        living = living_record(session, customer_id)
        if customer is None or living is None or living.status != STARTING:
            return None
        found = _rejoin(core, customer, living, core.clock.now())
        return found if isinstance(found, Start) else None


def carry_out(core: Core, start: Start, slot: Slot) -> Answer:
    """Place a subscription at Stripe and write down what became of it."""
    order, calls = start.order, core.stripe.subscriptions
    failpoints.hit("subscription.before_stripe")
    try:
        found = ascertain(
            lambda: calls.find(order.stripe_customer_id, order.record_id),
            lambda: calls.subscribe(order),
            is_repeat=start.is_repeat,
        )
    except StripeRefusal as refusal:
        _give_up(core, start)
        raise (declined(refusal) if refusal.card else provider_unavailable()) from refusal
    except StripeNotDone as error:
        if start.is_repeat and not error.is_final:
            raise charge_unsettled() from error
        _give_up(core, start)
        raise provider_unavailable() from error
    except StripeDoubt as doubt:
        raise charge_unsettled() from doubt
    failpoints.hit("subscription.after_stripe")
    return _settled(core, found, slot)


def _settled(core: Core, found: SubscriptionFacts, slot: Slot) -> Answer:
    if not _apply_if_unchanged(core, found, expected_revision=0):
        level(core, found.id)
    # Should this fail, the credits come with the webhook; the subscription itself is certain.
    with suppress(GatewayError):
        invoicing.level(core, found.id)
    with core.database.write("subscription.answer") as session:
        record = _by_stripe_id(session, found.id)
        if record is None:
            raise provider_unavailable()
        return slot.keep(session, Answer(201, rendered(record)))


def level(core: Core, stripe_id: str) -> None:
    """Bring our record level with Stripe; one that Stripe has ended is never brought back."""
    for _ in range(_LEVEL_TRIES):
        with core.database.read() as session:
            record = _by_stripe_id(session, stripe_id)
            revision = record.revision if record else None
        found = core.stripe.subscriptions.get(stripe_id)
        if revision is None:
            revision = _adopt(core, found)
        if _apply_if_unchanged(core, found, expected_revision=revision):
            return
    raise StripeDoubt("the subscription changes faster than it can be read")


def change(
    core: Core, customer_id: str, act: Callable[[Subscription], SubscriptionFacts], slot: Slot
) -> Answer:
    """Change a living subscription at Stripe by `act`, and write down what it is then."""
    with core.database.read() as session:
        record = living_record(session, customer_id)
    if record is None:
        raise no_active_subscription()
    if record.stripe_id is None:
        raise charge_unsettled()
    failpoints.hit("subscription_change.before_stripe")
    try:
        found = act(record)
    except StripeRefusal as refusal:
        level(core, record.stripe_id)
        raise _why_not(core, customer_id, refusal) from refusal
    except GatewayError as error:
        raise charge_unsettled() from error
    failpoints.hit("subscription_change.after_stripe")
    if not _apply_if_unchanged(core, found, expected_revision=record.revision):
        level(core, record.stripe_id)
    with core.database.write() as session:
        current = session.scalar(select(Subscription).where(Subscription.id == record.id))
        return slot.keep(session, Answer(200, rendered(current or record)))


def cancel(core: Core, customer_id: str, slot: Slot, *, at_period_end: bool) -> Answer:
    """End the subscription: now, or when the paid period ends. Credits stay."""
    calls = core.stripe.subscriptions

    def act(record: Subscription) -> SubscriptionFacts:
        stripe_id = str(record.stripe_id)
        if at_period_end:
            return calls.cancel_at_period_end(stripe_id, scheduled=True)
        return calls.cancel_now(stripe_id)

    return change(core, customer_id, act, slot)


def resume(core: Core, customer_id: str, slot: Slot) -> Answer:
    """Take a scheduled end back."""
    calls = core.stripe.subscriptions
    return change(
        core,
        customer_id,
        lambda record: calls.cancel_at_period_end(str(record.stripe_id), scheduled=False),
        slot,
    )


def set_quantity(core: Core, customer_id: str, quantity: int, slot: Slot) -> Answer:
    """Change the quantity; Stripe puts the proration on the next invoice."""
    calls = core.stripe.subscriptions

    def act(record: Subscription) -> SubscriptionFacts:
        item_id = calls.get(str(record.stripe_id)).item_id
        return calls.change_quantity(str(record.stripe_id), item_id, quantity)

    return change(core, customer_id, act, slot)


def show(core: Core, customer_id: str) -> Answer:
    """Give the newest subscription that ever came to be."""
    newest = (
        select(Subscription)
        .where(Subscription.customer_id == customer_id, Subscription.stripe_id.is_not(None))
        .order_by(Subscription.position.desc())
        .limit(1)
    )
    with core.database.read() as session:
        record = session.scalar(newest)
    if record is None:
        raise not_found()
    return Answer(200, rendered(record))


def pending(session: Session, now: int) -> list[str]:
    """List the customers whose subscription has been in doubt for long enough to look."""
    due = select(Subscription.customer_id).where(
        Subscription.status == STARTING, Subscription.next_try_at <= now
    )
    return list(session.scalars(due))


def living_record(session: Session, customer_id: str) -> Subscription | None:
    """Give the customer's subscription that has not ended, if any."""
    living = Subscription.customer_id == customer_id, Subscription.ended_at.is_(None)
    return session.scalar(select(Subscription).where(*living))


def no_active_subscription() -> Refusal:
    """Refuse to change what is not there."""
    return Refusal(409, "no_active_subscription", "There is no subscription to change.")


def rendered(record: Subscription) -> dict[str, Any]:
    """Give a subscription as the API shows it."""
    return {
        "subscription_id": record.stripe_id,
        "plan": record.plan,
        "quantity": record.quantity,
        "status": record.status,
        "current_period_start": record.current_period_start,
        "current_period_end": record.current_period_end,
        "cancel_at_period_end": bool(record.cancel_at_period_end),
        "ends_at": record.ends_at,
        "ended_at": record.ended_at,
    }


def _rejoin(core: Core, customer: Customer, living: Subscription, now: int) -> Start | InFlight:
    """Take over a start that another request left in doubt, once that one had its time."""
    if living.status != STARTING:
        raise Refusal(409, "already_subscribed", "There is a subscription already.")
    if living.next_try_at is not None and living.next_try_at > now:
        return InFlight()
    living.claims += 1
    living.next_try_at = now + core.settings.stripe_patience_s
    return Start(_order(customer, living), living.claims, is_repeat=True)


def _why_not(core: Core, customer_id: str, refusal: StripeRefusal) -> Problem:
    if refusal.card:
        return declined(refusal)
    with core.database.read() as session:
        is_over = living_record(session, customer_id) is None
    return no_active_subscription() if is_over else provider_unavailable()


def _give_up(core: Core, start: Start) -> None:
    """Write down that there will be no subscription, unless someone else is at it by now."""
    with core.database.write() as session:
        locked_customer(session, start.order.customer_id)
        record = session.scalar(
            select(Subscription).where(Subscription.id == start.order.record_id)
        )
        if record is not None and record.status == STARTING and record.claims == start.claim:
            record.status = REFUSED
            record.ended_at = core.clock.now()


def _adopt(core: Core, found: SubscriptionFacts) -> int:
    """Tie what Stripe has to the record that asked for it, or to a new one."""
    with core.database.write() as session:
        customer = invoicing.customer_at_stripe(session, found.stripe_customer_id)
        # Under the customer's lock: someone else may have tied it since we looked.
        record = _by_stripe_id(session, found.id) or session.scalar(
            select(Subscription).where(Subscription.id == found.record_id)
        )
        if record is None:
            record = _new_record(customer.id, found.quantity, core.clock.now())
            living = living_record(session, customer.id)
            # A second one, made at Stripe by hand, is kept beside the first as history.
            record.ended_at = found.created_at if living is not None else None
            session.add(record)
        record.stripe_id = found.id
        session.flush()
        return record.revision


def _apply_if_unchanged(core: Core, found: SubscriptionFacts, *, expected_revision: int) -> bool:
    """Apply what Stripe said, unless something was applied since it was asked; tell whether."""
    product = core.stripe.subscriptions.pro_price().product
    with core.database.write("subscription.result") as session:
        customer = invoicing.customer_at_stripe(session, found.stripe_customer_id)
        record = _by_stripe_id(session, found.id) or session.scalar(
            select(Subscription).where(Subscription.id == found.record_id)
        )
        if record is None or record.revision != expected_revision:
            return False
        record.revision += 1
        record.stripe_id = found.id
        if record.ended_at is None or record.status == STARTING:
            _apply(record, customer, found, is_pro=found.product == product)
        return True


def _apply(
    record: Subscription, customer: Customer, found: SubscriptionFacts, *, is_pro: bool
) -> None:
    record.status = found.status
    record.quantity = found.quantity
    record.current_period_start = found.current_period_start
    record.current_period_end = found.current_period_end
    record.cancel_at_period_end = int(found.cancel_at_period_end)
    record.ends_at = found.ends_at
    record.next_try_at = None
    if plans.has_ended(found.status):
        record.ended_at = found.ended_at or found.current_period_end
        record.ends_at = None
    status = found.status if is_pro else "unpaid"
    customer.plan = plans.plan_under(status, customer.plan)
    record.plan = "pro" if is_pro else "payg"


def _new_record(customer_id: str, quantity: int, now: int) -> Subscription:
    return Subscription(
        id=new_id("subs"),
        customer_id=customer_id,
        plan="pro",
        quantity=quantity,
        status=STARTING,
        cancel_at_period_end=0,
        created_at=now,
        revision=0,
        claims=1,
    )


def _order(customer: Customer, record: Subscription) -> SubscribeOrder:
    return SubscribeOrder(
        stripe_customer_id=customer.stripe_customer_id,
        payment_method=str(record.payment_method_id),
        quantity=record.quantity,
        record_id=record.id,
        customer_id=customer.id,
        key=f"subscribe:{record.id}",
    )


def _by_stripe_id(session: Session, stripe_id: str) -> Subscription | None:
    return session.scalar(select(Subscription).where(Subscription.stripe_id == stripe_id))
