"""What falls due with time, and its order."""

import logging
from collections.abc import Callable

from simulators.stripe import charging, disputes, intents, refunds
from simulators.stripe.billing import collection, lifecycle, pending, subscriptions, test_clocks
from simulators.stripe.store import ACCOUNT_TIME
from simulators.stripe.world import TEST_CLOCK, World
from simulators.webhooks.events import Cause, Obj


def _settle_debit(world: World, charge: Obj) -> None:
    collection.after_attempt(world, intents.settle_debit(world, charge))


def _cancel(world: World, subscription: Obj) -> None:
    if subscription["status"] not in lifecycle.ENDED:
        lifecycle.cancel(world, subscription, reason="cancellation_requested")


_log = logging.getLogger(__name__)

ACTIONS: dict[str, tuple[str, Callable[[World, Obj], object]]] = {
    "cancel": ("subscription", _cancel),
    "delete_test_clock": (TEST_CLOCK, test_clocks.remove),
    "dispute_due": ("dispute", disputes.conclude),
    "expire": ("subscription", lifecycle.expire),
    "expire_charge": ("charge", charging.expire_charge),
    "expire_authorization": ("payment_intent", intents.expire_authorization),
    "expire_pending_update": ("subscription", pending.expire),
    "finalize": ("invoice", collection.advance_draft),
    "renew": ("subscription", subscriptions.renew),
    "resume_collection": ("subscription", lifecycle.resume_collection),
    "retry": ("invoice", collection.retry),
    "settle_debit": ("charge", _settle_debit),
    "settle_refund": ("refund", refunds.settle),
    "trial_will_end": ("subscription", subscriptions.warn_of_trial_end),
}
"""For each planned action, the kind of object that it is done to, and what is done."""


def run_next(world: World, limit: int, clock: str = ACCOUNT_TIME) -> bool:
    """Do the earliest thing that is due by `limit`, as one transaction; False when none is.

    `clock` is the id of a test clock, or the account's own.
    """
    with world.transaction(Cause()):
        planned = world.store.pop_due(limit, clock)
    if planned is None:
        return False
    action, object_id = planned
    kind, do = ACTIONS[action]
    obj = world.store.get(kind, object_id)
    if obj is not None and not obj.get("deleted"):
        try:
            with world.transaction(Cause(), about=obj):
                do(world, obj)
        except Exception:  # noqa: BLE001 - a bug of ours must not stop time for the rest
            _log.exception("%s of %s failed", action, object_id)
    return True


def step(world: World, clock: Obj) -> bool:
    """Move a test clock to where something falls due next, and do it; False: it has arrived."""
    target = clock["status_details"]["advancing"]["target_frozen_time"]
    due = world.store.next_due(clock["id"])
    arrives = due is None or due > target
    with world.transaction(Cause(), about=clock):
        moment = target if due is None or arrives else max(due, clock["frozen_time"])
        world.store.set(clock, frozen_time=moment)
        if arrives:
            world.store.set(clock, status="ready", status_details={})
            world.emit("test_helpers.test_clock.ready", clock)
    while not arrives and run_next(world, moment, clock["id"]):
        pass
    return not arrives
