"""Which events a request makes, and in which order they are sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simulators.webhooks.commands.catalogue import KINDS, Kind, check_options, neighbour
from simulators.webhooks.commands.moments import CYCLE, SECOND_PLAN, Moment, Occasion
from simulators.webhooks.events import Cause, Obj, build_event, changed_attributes
from simulators.webhooks.shapes.scene import API_VERSION, month_later

if TYPE_CHECKING:
    from simulators.webhooks.commands.parameters import Parameters

_FAILED_INTENT = "payment_intent.payment_failed"
_DAY_S = 86_400


def compose(kind: Kind, given: Parameters, now: int, *, is_out_of_order: bool = False) -> list[Obj]:
    """Return the events in the order in which they are sent; `SettingsError` for a bad request.

    One event, but for two cases. An invoice names no failure, so a failure's code comes in the
    `payment_intent.payment_failed` that Stripe sends with it. Out of order, the later of two
    events about one object comes before the earlier.
    """
    check_options(kind, given)
    events = _failure(kind, given, now)
    if events:
        return events[::-1] if is_out_of_order else events
    if is_out_of_order:
        return _swapped(kind, given, now)
    occasion = Occasion(at=now)
    return [_event(kind, kind.build(given, occasion), occasion, 1)]


def _failure(kind: Kind, given: Parameters, now: int) -> list[Obj]:
    """Return an intent's failure and then its invoice's, where a code is to be told; else none."""
    if kind.type != "invoice.payment_failed" or given.failure_code is None:
        return []
    occasion = Occasion(at=now)
    intent = KINDS[_FAILED_INTENT]
    refused = intent.build(replace(given, object_id=None), occasion)
    return [
        _event(intent, refused, occasion, 1),
        _event(kind, kind.build(given, occasion), occasion, 2),
    ]


def _event(kind: Kind, moment: Moment, occasion: Occasion, number: int) -> Obj:
    return event_of(kind.type, moment, f"evt_{occasion.token}{number}")


def event_of(event_type: str, moment: Moment, event_id: str) -> Obj:
    """Put a moment into an event's envelope."""
    before = moment.before
    return build_event(
        event_type,
        moment.object,
        event_id=event_id,
        created=moment.at,
        api_version=API_VERSION,
        cause=Cause(),
        previous_attributes=None if before is None else changed_attributes(before, moment.object),
        pending_webhooks=1,
    )


def _swapped(kind: Kind, given: Parameters, now: int) -> list[Obj]:
    """Return two events about one object, the later one first."""
    other, is_before = neighbour(kind)
    first, second = (other, kind) if is_before else (kind, other)
    occasion = Occasion(at=now - 1, since=_since(first, given, now - 1))
    later = second.build(given if is_before else _for_later(given, second), occasion)
    earlier = first.build(_for_earlier(given, first) if is_before else given, occasion)
    if later.before is not None:
        earlier = replace(earlier, object=later.before)
    if first.type.startswith("customer.") and first.type.endswith(".created"):
        earlier = replace(earlier, at=occasion.since or earlier.at)
    later = replace(later, at=max(later.at, earlier.at) + 1)
    return [_event(second, later, occasion, 2), _event(first, earlier, occasion, 1)]


def _since(first: Kind, given: Parameters, at: int) -> int:
    """Return when the customer began: what was made yesterday is in its first month still."""
    is_creation = first.type.startswith("customer.") and first.before is None
    return at - _DAY_S if is_creation and given.reason != CYCLE else month_later(at, -1)


def _for_earlier(given: Parameters, first: Kind) -> Parameters:
    """Say of an event before the one asked for what it shares with it."""
    reason = given.reason if given.reason in first.reasons else None
    plan = given.plan_to or given.plan_from
    return replace(given, reason=reason, plan_from=None, plan_to=plan)


def _for_later(given: Parameters, second: Kind) -> Parameters:
    """Say of an event after the one asked for what it shares with it."""
    reason = given.reason if given.reason in second.reasons else None
    if "plan_from" not in second.options:
        return replace(given, reason=reason)
    return replace(given, reason=reason, plan_from=given.plan_to or SECOND_PLAN, plan_to=None)
