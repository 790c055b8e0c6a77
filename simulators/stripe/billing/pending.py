"""Updates that wait for their payment: ``payment_behavior=pending_if_incomplete``.

The change is made, invoiced, and taken back until the invoice is paid; the subscription goes on
as if nobody had asked (https://docs.stripe.com/billing/subscriptions/pending-updates-reference).
A subscription keeps under ``_pending`` which invoice it waits for, and what it will be then.
"""

import copy
from collections.abc import Callable

from simulators.stripe.billing import invoices, lifecycle
from simulators.stripe.world import World
from simulators.webhooks.events import Obj

_FIELDS = ("billing_cycle_anchor", "status", "trial_end", "trial_start")
_APPLIED = "customer.subscription.pending_update_applied"
_EXPIRED = "customer.subscription.pending_update_expired"
_EXPIRE = "expire_pending_update"


def put_off(world: World, subscription: Obj, change: Callable[[], Obj]) -> Obj:
    """Make a change that does not hold yet; return the draft of what is to be paid for it."""
    before = _state(world, subscription)
    expires_at = min(world.now + world.settings.incomplete_s, *_ends(world, subscription))
    with world.updating(subscription, lifecycle.UPDATED):
        invoice = change()
        after = _state(world, subscription)
        shown = [world.show(item) for item in lifecycle.items_of(world, subscription)]
        _restore(world, subscription, before)
        world.store.set(
            subscription,
            latest_invoice=invoice["id"],
            pending_update={
                "billing_cycle_anchor": _if_other("billing_cycle_anchor", before, after),
                "cancel_at_period_end": None,
                "discount": None,
                "discounts": None,
                "expires_at": expires_at,
                "metadata": None,
                "subscription_items": shown,
                "trial_end": _if_other("trial_end", before, after),
                "trial_from_plan": None,
            },
            _pending={"invoice": invoice["id"], "after": after},
        )
    world.schedule(_EXPIRE, subscription, expires_at)
    return invoice


def _ends(world: World, subscription: Obj) -> list[int]:
    """Return when a pending update is moot: at the end of the period, and of a trial."""
    ends = [lifecycle.period_of(world, subscription)[1], subscription["trial_end"]]
    return [end for end in ends if end and end > world.now]


def _if_other(name: str, before: Obj, after: Obj) -> int | None:
    value: int | None = after["fields"][name]
    return None if before["fields"][name] == value else value


def _state(world: World, subscription: Obj) -> Obj:
    """Return what a change of items, trial or anchor can change."""
    return {
        "fields": {name: subscription[name] for name in _FIELDS},
        "items": copy.deepcopy(lifecycle.items_of(world, subscription)),
    }


def _restore(world: World, subscription: Obj, state: Obj) -> None:
    for item in lifecycle.items_of(world, subscription):
        world.store.delete(item)
    for item in copy.deepcopy(state["items"]):
        world.store.insert(item)
    world.store.set(subscription, **state["fields"])
    lifecycle.plan_next(world, subscription)


def awaits(subscription: Obj | None, invoice: Obj) -> bool:
    """Tell whether a subscription has an update that waits for this invoice's payment."""
    pending = (subscription or {}).get("_pending")
    return pending is not None and pending["invoice"] == invoice["id"]


def apply(world: World, subscription: Obj) -> None:
    """Let the update hold: its invoice is paid."""
    after = subscription["_pending"]["after"]
    with world.updating(subscription, lifecycle.UPDATED):
        _restore(world, subscription, after)
        _clear(world, subscription)
    world.emit(_APPLIED, subscription)


def _clear(world: World, subscription: Obj) -> None:
    world.schedule(_EXPIRE, subscription, None)
    world.store.set(subscription, pending_update=None, _pending=None)


def discard(world: World, subscription: Obj) -> None:
    """Forget an update that waits, if there is one, and void its invoice."""
    pending = subscription.get("_pending")
    if pending is None:
        return
    with world.updating(subscription, lifecycle.UPDATED):
        _clear(world, subscription)
    invoice = world.store.get("invoice", pending["invoice"])
    if invoice is not None and invoice["status"] == "open":
        invoices.void(world, invoice)


def expire(world: World, subscription: Obj) -> None:
    """Forget an update that was not paid for in time."""
    discard(world, subscription)
    world.emit(_EXPIRED, subscription)
