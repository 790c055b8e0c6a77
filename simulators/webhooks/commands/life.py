"""`billing-harness webhooks send-all`: a customer's whole life, event by event."""

import time
from collections.abc import Iterator
from dataclasses import replace

from harness.errors import SettingsError
from simulators.webhooks.commands.catalogue import KINDS
from simulators.webhooks.commands.composing import event_of
from simulators.webhooks.commands.delivering import Outgoing, deliver
from simulators.webhooks.commands.destination import Wish
from simulators.webhooks.commands.moments import (
    CREATE,
    CYCLE,
    FIRST_PLAN,
    SECOND_PLAN,
    Moment,
    ended,
    status_changed,
    uncollected,
)
from simulators.webhooks.commands.options import AsJson, takes_options
from simulators.webhooks.commands.parameters import NAMES, Parameters, retry_moment
from simulators.webhooks.commands.posting import Signing
from simulators.webhooks.events import Obj
from simulators.webhooks.shapes import billing, payments
from simulators.webhooks.shapes.scene import Scene, month_later, new_token

Told = tuple[str, Moment]

_UPDATED = "customer.subscription.updated"
_ENDS = KINDS["customer.subscription.deleted"].reasons
_DAY_S = 86_400


def whole_life(given: Parameters, now: int) -> list[Obj]:
    """Return every event of a customer who buys, changes plan, fails to renew and leaves.

    All tell of the same objects: what an event says has changed is what an earlier one said.
    """
    reason = given.reason or "payment_failed"
    if reason not in _ENDS:
        raise SettingsError(
            f"--reason {reason!r} ends no subscription", hint=f"One of {', '.join(_ENDS)}."
        )
    if not given.amount_minor():
        raise SettingsError(
            "a life without money has no payments", hint="Say --amount-cents of at least 1."
        )
    first = _first_month(given, now)
    story = [*_bought(first), *_changed(first, given), *_not_renewed(first, given, now, reason)]
    return [
        event_of(event_type, moment, f"evt_{first.token}{number}")
        for number, (event_type, moment) in enumerate(story, start=1)
    ]


def _first_month(given: Parameters, now: int) -> Scene:
    token, began_at = new_token(), month_later(now, -1)
    return Scene(
        now=began_at,
        began_at=began_at,
        customer=given.customer or f"cus_{token[:14]}",
        subscription=given.subscription or f"sub_{token}",
        plan=given.plan_from or FIRST_PLAN,
        amount_minor=given.amount_minor(),
        currency=(given.currency or "usd").lower(),
        quantity=given.quantity or 1,
        token=token,
    )


def _bought(scene: Scene) -> Iterator[Told]:
    """Tell how the customer came and paid for the first month."""
    yield "customer.created", Moment(scene.now, billing.customer(scene))
    yield "customer.subscription.created", Moment(scene.now, billing.subscription(scene))
    yield from _billed(scene, CREATE)
    yield "payment_intent.created", Moment(scene.now, payments.payment_intent(scene))
    yield "charge.succeeded", Moment(scene.now, payments.charge(scene))
    yield "payment_intent.succeeded", Moment(scene.now, payments.paid_intent(scene))
    yield "invoice_payment.paid", Moment(scene.now, billing.invoice_payment(scene))
    paid = billing.invoice(scene, "paid", reason=CREATE)
    yield "invoice.paid", Moment(scene.now, paid)
    yield "invoice.payment_succeeded", Moment(scene.now, paid)


def _billed(scene: Scene, reason: str) -> Iterator[Told]:
    draft = billing.invoice(scene, "draft", reason=reason)
    yield "invoice.created", Moment(scene.now, draft)
    yield "invoice.finalized", Moment(scene.now, billing.invoice(scene, "open", reason=reason))


def _other_plan(first: Scene, given: Parameters) -> Scene:
    """Set the scene a day later, on the plan that the customer changed to."""
    usual = SECOND_PLAN if first.plan != SECOND_PLAN else FIRST_PLAN
    plan = given.plan_to or usual
    if plan == first.plan:
        raise SettingsError(
            f"--plan-from and --plan-to are both {plan}: nothing would change",
            hint="Say two plans, or none.",
        )
    return replace(first, now=first.now + _DAY_S, plan=plan)


def _changed(first: Scene, given: Parameters) -> Iterator[Told]:
    """Tell of the change of plan, which costs the same and so is not billed."""
    scene = _other_plan(first, given)
    change = Moment(scene.now, billing.subscription(scene), billing.subscription(first))
    yield _UPDATED, change


def _not_renewed(first: Scene, given: Parameters, now: int, reason: str) -> Iterator[Told]:
    """Tell of the second month, which the bank did not pay for, and how the customer left."""
    changed = _other_plan(first, given)
    token = new_token()
    same = {prefix: first.id(prefix) for prefix in ("si", "pm")}
    scene = replace(changed, now=now, token=token, ids=same)
    renewed, before = billing.subscription(scene), billing.subscription(changed)
    yield _UPDATED, Moment(now, renewed, before)
    yield from _billed(scene, CYCLE)
    yield "payment_intent.created", Moment(now, payments.payment_intent(scene))
    failure = given.failure_code or "card_declined"
    yield "charge.failed", Moment(now, payments.declined_charge(scene, failure))
    yield "payment_intent.payment_failed", Moment(now, payments.declined_intent(scene, failure))
    after = uncollected(retry_moment(given.next_retry, now))
    unpaid = billing.invoice(scene, "open", reason=CYCLE, **after)
    yield "invoice.payment_failed", Moment(now, unpaid)
    yield _UPDATED, status_changed(scene, "payment_failed")
    yield "customer.subscription.deleted", ended(scene, reason)
    yield "customer.deleted", Moment(now, billing.customer(first))


_NOT_OF_A_LIFE = ("object_id", "refund_cents")
_FROM_ENV = ("to", *(name for name in NAMES if name not in _NOT_OF_A_LIFE))


@takes_options(env=_FROM_ENV, without=_NOT_OF_A_LIFE)
def send_all(wish: Wish, given: Parameters, *, as_json: AsJson = False) -> int:
    """Send a customer's whole life: created, paid, changed, failed, deleted, in sequence.

    Each parameter can also come from the environment. Exit status: 0 all accepted; 1 one was
    refused; 2 one is unknown.
    """
    events = [Outgoing(event) for event in whole_life(given, int(time.time()))]
    return deliver(wish, events, Signing(), as_json=as_json)
