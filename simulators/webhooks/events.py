"""Builds Stripe events: the envelope, and what an update changed."""

import copy
import json
from dataclasses import dataclass
from typing import Any

Obj = dict[str, Any]
"""A Stripe object as JSON has it."""


@dataclass(frozen=True)
class Cause:
    """What made an event happen: the API request's id and idempotency key, or nothing (time)."""

    request_id: str | None = None
    idempotency_key: str | None = None


def build_event(  # noqa: PLR0913 - these are the envelope's own fields
    event_type: str,
    obj: Obj,
    *,
    event_id: str,
    created: int,
    api_version: str,
    cause: Cause,
    previous_attributes: Obj | None = None,
    pending_webhooks: int = 0,
) -> Obj:
    """Return an event about `obj` as it is now; later changes of `obj` do not reach it.

    `previous_attributes` holds the changed fields' old values and belongs to ``*.updated``.
    """
    return {
        "id": event_id,
        "object": "event",
        "api_version": api_version,
        "created": created,
        "data": event_data(obj, previous_attributes),
        "livemode": False,
        "pending_webhooks": pending_webhooks,
        "request": {"id": cause.request_id, "idempotency_key": cause.idempotency_key},
        "type": event_type,
    }


def event_data(obj: Obj, previous_attributes: Obj | None) -> Obj:
    """Return an event's ``data``: copies, so that later changes do not reach it."""
    data: Obj = {"object": copy.deepcopy(obj)}
    if previous_attributes is not None:
        data["previous_attributes"] = copy.deepcopy(previous_attributes)
    return data


def changed_attributes(before: Obj, after: Obj) -> Obj:
    """Return the old values of what differs, as ``previous_attributes`` shows them.

    Hashes are compared key by key (a key that is new was null before); lists as a whole.

    >>> changed_attributes({"a": 1, "m": {"x": "1"}}, {"a": 1, "m": {"x": "2", "y": "3"}})
    {'m': {'x': '1', 'y': None}}
    """
    changes: Obj = {}
    for key in [*before, *(key for key in after if key not in before)]:
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            changes[key] = changed_attributes(old, new)
        else:
            changes[key] = old
    return changes


def encode_event(event: Obj) -> bytes:
    """Return the body that is signed and sent: indented JSON, as Stripe sends it."""
    return json.dumps(event, indent=2).encode()


def is_subscribed(enabled_events: list[str], event_type: str) -> bool:
    """Tell whether an endpoint with these filters gets this event; ``*`` means all."""
    return "*" in enabled_events or event_type in enabled_events
