"""What falls due with time, and its order."""

import logging
from collections.abc import Callable

from simulators.stripe.billing import collection, lifecycle, subscriptions
from simulators.stripe.world import World
from simulators.webhooks.events import Cause, Obj


def _cancel(world: World, subscription: Obj) -> None:
    if subscription["status"] not in lifecycle.ENDED:
        lifecycle.cancel(world, subscription, reason="cancellation_requested")


_log = logging.getLogger(__name__)

ACTIONS: dict[str, tuple[str, Callable[[World, Obj], None]]] = {
    "cancel": ("subscription", _cancel),
    "expire": ("subscription", lifecycle.expire),
    "finalize": ("invoice", collection.advance_draft),
    "renew": ("subscription", subscriptions.renew),
    "retry": ("invoice", collection.retry),
    "trial_will_end": ("subscription", subscriptions.warn_of_trial_end),
}
"""For each planned action, the kind of object that it is done to, and what is done."""


def run_next(world: World, limit: int) -> bool:
    """Do the earliest thing that is due by `limit`, as one transaction; False when none is."""
    with world.transaction(Cause()):
        planned = world.store.pop_due(limit)
    if planned is None:
        return False
    action, object_id = planned
    kind, do = ACTIONS[action]
    obj = world.store.get(kind, object_id)
    if obj is not None and not obj.get("deleted"):
        try:
            with world.transaction(Cause()):
                do(world, obj)
        except Exception:  # noqa: BLE001 - a bug of ours must not stop time for the rest
            _log.exception("%s of %s failed", action, object_id)
    return True
