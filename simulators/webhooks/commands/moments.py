"""What each event says: the object as it is then, and as it was just before."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from harness.errors import SettingsError
from simulators.webhooks.commands.parameters import Parameters, retry_moment
from simulators.webhooks.shapes import billing, payments
from simulators.webhooks.shapes.scene import Scene, month_later, new_token

if TYPE_CHECKING:
    from simulators.webhooks.events import Obj
    from simulators.webhooks.shapes.billing import InvoiceStatus

CYCLE = "subscription_cycle"
CREATE = "subscription_create"
FIRST_PLAN, SECOND_PLAN = "price_basic", "price_pro"
CHANGES = (
    "subscription_update",
    "subscription_cycle",
    "payment_failed",
    "payment_succeeded",
    "cancellation_requested",
    "cancellation_withdrawn",
)
"""Why a subscription is updated: other terms, a new month, what became of a payment, its end."""
_FAILURE = "card_declined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """When events happen, in Unix seconds, and the token that ends the ids of their objects.

    `since` is when customer and subscription began; None: just now for an event that tells of
    their beginning, a month ago for any other.
    """

    at: int
    since: int | None = None
    token: str = field(default_factory=new_token)


@dataclass(frozen=True, slots=True)
class Moment:
    """When it happened, the object, and for a change the object before it."""

    at: int
    object: Obj
    before: Obj | None = None


def scene_of(
    given: Parameters,
    occasion: Occasion,
    *,
    is_beginning: bool = False,
    plan: str | None = None,
    kind: str = "",
) -> Scene:
    """Set the scene for what was given; `kind` is the prefix of the id that `--id` gives."""
    usual = occasion.at if is_beginning else month_later(occasion.at, -1)
    since = usual if occasion.since is None else occasion.since
    token = occasion.token
    return Scene(
        now=since if is_beginning else occasion.at,
        began_at=since,
        customer=given.customer or f"cus_{token[:14]}",
        subscription=given.subscription or f"sub_{token}",
        plan=plan or given.plan_to or SECOND_PLAN,
        amount_minor=given.amount_minor(),
        currency=(given.currency or "usd").lower(),
        quantity=given.quantity or 1,
        token=token,
        ids={kind: given.object_id} if given.object_id else {},
    )


def customer_created(given: Parameters, occasion: Occasion) -> Moment:
    """Build a new customer."""
    scene = scene_of(given, occasion, is_beginning=True)
    return Moment(scene.now, billing.customer(scene))


def _moved(scene: Scene) -> Obj:
    """Give the customer after the change of address that `customer.updated` tells of."""
    return billing.customer(scene, email=f"new.{scene.customer.lower()}@test.example.com")


def customer_updated(given: Parameters, occasion: Occasion) -> Moment:
    """Build a customer with another e-mail address than before."""
    scene = scene_of(given, occasion)
    return Moment(scene.now, _moved(scene), billing.customer(scene))


def customer_deleted(given: Parameters, occasion: Occasion) -> Moment:
    """Build a customer as it was when it was deleted: whole, as Stripe sends it."""
    scene = scene_of(given, occasion)
    return Moment(scene.now, _moved(scene))


def subscription_created(given: Parameters, occasion: Occasion) -> Moment:
    """Build a subscription in its first month."""
    scene = scene_of(given, occasion, is_beginning=True)
    return Moment(scene.now, billing.subscription(scene))


def subscription_updated(given: Parameters, occasion: Occasion) -> Moment:
    """Build a subscription after the change that the reason names, and before it."""
    reason = given.reason or CHANGES[0]
    if reason != CHANGES[0] and given.plan_from:
        raise SettingsError(
            f"--plan-from does not go with --reason {reason}: the plan stays",
            hint=f"Leave it out, or say --reason {CHANGES[0]}.",
        )
    scene = scene_of(given, occasion)
    return terms_changed(scene, given) if reason == CHANGES[0] else status_changed(scene, reason)


def terms_changed(scene: Scene, given: Parameters) -> Moment:
    """Change plan, quantity or both; a unit costs the same before and after.

    With nothing said the plan changes. With a quantity alone it grew by one; to one it fell from
    two.
    """
    if given.plan_to is None and given.plan_from == scene.plan:
        scene = replace(scene, plan=FIRST_PLAN if scene.plan != FIRST_PLAN else SECOND_PLAN)
    quantity, plan = scene.quantity, scene.plan
    is_plan_said = given.plan_from is not None or given.plan_to is not None
    if given.quantity is not None and not is_plan_said:
        quantity = 2 if quantity == 1 else quantity - 1
    else:
        plan = given.plan_from or (FIRST_PLAN if plan != FIRST_PLAN else SECOND_PLAN)
    if (plan, quantity) == (scene.plan, scene.quantity):
        raise SettingsError(
            f"--plan-from and --plan-to are both {plan}: nothing would change",
            hint="Say two plans, or --quantity alone.",
        )
    amount_minor = scene.unit_minor * quantity
    earlier = replace(scene, plan=plan, quantity=quantity, amount_minor=amount_minor)
    return Moment(scene.now, billing.subscription(scene), billing.subscription(earlier))


def status_changed(scene: Scene, reason: str) -> Moment:
    """Change what the reason says and nothing else."""
    active = billing.subscription(scene)
    if reason == CYCLE:
        last = billing.subscription(
            replace(scene, now=scene.period()[0] - 1), latest_invoice=f"{scene.id('in')}0"
        )
        return Moment(scene.now, active, last)
    if reason.startswith("payment_"):
        overdue = billing.subscription(scene, status="past_due")
        return (
            Moment(scene.now, overdue, active)
            if reason == "payment_failed"
            else Moment(scene.now, active, overdue)
        )
    ending = billing.subscription(
        scene,
        cancel_at=scene.period()[1],
        cancel_at_period_end=True,
        canceled_at=scene.now,
        cancellation_details=billing.cancellation("cancellation_requested"),
    )
    return (
        Moment(scene.now, ending, active)
        if reason.endswith("requested")
        else Moment(scene.now, active, ending)
    )


def subscription_deleted(given: Parameters, occasion: Occasion) -> Moment:
    """Build a subscription that has ended at once."""
    scene = scene_of(given, occasion, plan=given.plan_from)
    return ended(scene, given.reason or "cancellation_requested")


def ended(scene: Scene, reason: str) -> Moment:
    """Build the subscription at its end."""
    return Moment(
        scene.now,
        billing.subscription(
            scene,
            canceled_at=scene.now,
            cancellation_details=billing.cancellation(reason),
            ended_at=scene.now,
            status="canceled",
        ),
    )


def _invoice(
    given: Parameters, occasion: Occasion, status: InvoiceStatus, **fields: object
) -> Moment:
    reason = given.reason or CYCLE
    scene = scene_of(given, occasion, kind="in")
    if reason == CREATE:
        scene = replace(scene, began_at=scene.now)
    return Moment(scene.now, billing.invoice(scene, status, reason=reason, **fields))


def invoice_created(given: Parameters, occasion: Occasion) -> Moment:
    """Build a draft."""
    return _invoice(given, occasion, "draft")


def invoice_finalized(given: Parameters, occasion: Occasion) -> Moment:
    """Build an open invoice that nobody has tried to collect."""
    return _invoice(given, occasion, "open")


def invoice_paid(given: Parameters, occasion: Occasion) -> Moment:
    """Build a paid invoice."""
    return _invoice(given, occasion, "paid")


def uncollected(retry_at: int | None) -> dict[str, object]:
    """Give what an open invoice says after an attempt, and of the next one if there is one."""
    return {
        "attempt_count": 1,
        "attempted": True,
        "auto_advance": retry_at is not None,
        "next_payment_attempt": retry_at,
    }


def invoice_failed(given: Parameters, occasion: Occasion) -> Moment:
    """Build an open invoice after a failed attempt."""
    return _invoice(
        given, occasion, "open", **uncollected(retry_moment(given.next_retry, occasion.at))
    )


def invoice_payment_paid(given: Parameters, occasion: Occasion) -> Moment:
    """Build what ties an invoice to the intent that paid it."""
    scene = scene_of(given, occasion, kind="inpay")
    return Moment(scene.now, billing.invoice_payment(scene))


def intent_created(given: Parameters, occasion: Occasion) -> Moment:
    """Build an intent that nobody has tried to pay."""
    scene = scene_of(given, occasion, kind="pi")
    return Moment(scene.now, payments.payment_intent(scene))


def intent_succeeded(given: Parameters, occasion: Occasion) -> Moment:
    """Build a paid intent."""
    scene = scene_of(given, occasion, kind="pi")
    return Moment(scene.now, payments.paid_intent(scene))


def intent_failed(given: Parameters, occasion: Occasion) -> Moment:
    """Build an intent that the bank refused."""
    scene = scene_of(given, occasion, kind="pi")
    return Moment(scene.now, payments.declined_intent(scene, given.failure_code or _FAILURE))


def charge_succeeded(given: Parameters, occasion: Occasion) -> Moment:
    """Build a charge."""
    scene = scene_of(given, occasion, kind="ch")
    return Moment(scene.now, payments.charge(scene))


def charge_failed(given: Parameters, occasion: Occasion) -> Moment:
    """Build the charge of a refused attempt."""
    scene = scene_of(given, occasion, kind="ch")
    return Moment(scene.now, payments.declined_charge(scene, given.failure_code or _FAILURE))


def charge_refunded(given: Parameters, occasion: Occasion) -> Moment:
    """Build a charge after a refund, and before it."""
    scene = scene_of(given, occasion, kind="ch")
    refund_minor = _refund_minor(given, scene)
    return Moment(scene.now, payments.refunded_charge(scene, refund_minor), payments.charge(scene))


def refund_created(given: Parameters, occasion: Occasion) -> Moment:
    """Build a refund."""
    scene = scene_of(given, occasion, kind="re")
    reason = given.reason or "requested_by_customer"
    return Moment(scene.now, payments.refund(scene, _refund_minor(given, scene), reason))


def _refund_minor(given: Parameters, scene: Scene) -> int:
    refund_minor = scene.amount_minor if given.refund_cents is None else given.refund_cents
    if refund_minor > scene.amount_minor:
        raise SettingsError(
            f"--refund-cents {refund_minor} is more than was charged ({scene.amount_minor})",
            hint="Say what was charged with --amount-cents.",
        )
    return refund_minor


def _dispute(
    given: Parameters, occasion: Occasion, status: Literal["needs_response", "lost"]
) -> Moment:
    scene = scene_of(given, occasion, kind="du")
    return Moment(scene.now, payments.dispute(scene, given.reason or "general", status=status))


def dispute_created(given: Parameters, occasion: Occasion) -> Moment:
    """Build a dispute that waits for evidence."""
    return _dispute(given, occasion, "needs_response")


def dispute_closed(given: Parameters, occasion: Occasion) -> Moment:
    """Build a dispute that was lost."""
    return _dispute(given, occasion, "lost")


def checkout_completed(given: Parameters, occasion: Occasion) -> Moment:
    """Build a completed session that bought a subscription."""
    scene = scene_of(given, occasion, is_beginning=True, kind="cs")
    return Moment(scene.now, payments.checkout_session(scene))
