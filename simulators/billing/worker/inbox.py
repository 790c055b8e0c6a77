"""The inbox of verified events: stored before they are acknowledged, claimed in the database.

An event is `pending` until it had its effect, `waiting` while its customer is not known here, then
`done`, `ignored` or (after days of waiting) `expired`. Several workers are safe: a claim is a lease
in the row, and an effect that happens twice changes nothing, since it is brought level with Stripe.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select, update

from simulators.billing.storage.tables import WebhookEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from simulators.billing.core import Core

_OPEN = ("pending", "waiting")
_BACKOFF_MAX_S = 3600
_BACKOFF_DOUBLINGS_MAX = 12


@dataclass(frozen=True, slots=True)
class Event:
    """A claimed event: its type and the object that it speaks of."""

    id: str
    type: str
    object: Mapping[str, Any]
    tries: int
    received_at: int


def store(core: Core, event_id: str, event_type: str, payload: str, *, is_handled: bool) -> bool:
    """Store an event, and tell whether it is new. Once this returns, no crash can lose it."""
    now = core.clock.now()
    alone_with = (f"event:{event_id}",)
    with core.database.write("webhook.store", alone_with=alone_with) as session:
        if session.get(WebhookEvent, event_id) is not None:
            return False
        row = WebhookEvent(
            id=event_id,
            type=event_type,
            payload=payload,
            state="pending" if is_handled else "ignored",
            reason=None if is_handled else "unknown_type",
            tries=0,
            received_at=now,
            next_try_at=now,
            claimed_until=0,
            settled_at=None if is_handled else now,
        )
        session.add(row)
    return True


def claim(core: Core) -> Event | None:
    """Take the event that has been due for longest; nobody else gets it while the lease lasts.

    One state at a time, so that the index gives the first row rather than all to be sorted: a
    backlog of thousands must not make each claim slower. Who waits for a customer comes second.
    """
    now = core.clock.now()
    with core.database.read() as session:
        due = [each for each in _OPEN if session.scalar(_next(each, now)) is not None]
    for state in due:
        with core.database.write("event.claim") as session:
            row = session.scalar(_next(state, now).with_for_update(skip_locked=True))
            if row is None:  # pragma: no cover - another worker was first, in the moment between
                continue
            row.claimed_until = now + core.settings.worker_lease_s
            row.tries += 1
            found = json.loads(row.payload)["data"]["object"]
            return Event(row.id, row.type, found, row.tries, row.received_at)
    return None


def _next(state: str, now: int) -> Select[WebhookEvent]:
    return (
        select(WebhookEvent)
        .where(
            WebhookEvent.state == state,
            WebhookEvent.next_try_at <= now,
            WebhookEvent.claimed_until <= now,
        )
        .order_by(WebhookEvent.next_try_at, WebhookEvent.received_at)
        .limit(1)
    )


def settle(core: Core, event: Event, state: str, reason: str | None = None) -> None:
    """Write down what became of an event."""
    now = core.clock.now()
    values = {"state": state, "reason": reason, "settled_at": now, "claimed_until": 0}
    with core.database.write("event.settle") as session:
        session.execute(update(WebhookEvent).where(WebhookEvent.id == event.id).values(**values))


def try_again(core: Core, event: Event, state: str, reason: str) -> None:
    """Put an event back, for later and later tries; one that nobody ever knew expires."""
    now = core.clock.now()
    if state == "waiting" and now - event.received_at > core.settings.event_keep_trying_s:
        settle(core, event, "expired", reason)
        return
    wait_s = min(2 ** min(event.tries - 1, _BACKOFF_DOUBLINGS_MAX), _BACKOFF_MAX_S)
    values = {
        "state": state,
        "reason": reason,
        "next_try_at": now + wait_s,
        "claimed_until": 0,
    }
    with core.database.write() as session:
        session.execute(update(WebhookEvent).where(WebhookEvent.id == event.id).values(**values))


def hurry(core: Core) -> None:
    """Make every event that failed for now due at once: a drain need not wait for backoff."""
    now = core.clock.now()
    failed = (
        WebhookEvent.state == "pending",
        WebhookEvent.next_try_at > now,
        WebhookEvent.claimed_until <= now,
    )
    with core.database.write() as session:
        session.execute(update(WebhookEvent).where(*failed).values(next_try_at=now))


def backlog(session: Session, now: int) -> int:
    """Count the events that owe an effect; those that wait for a customer only when due."""
    waiting_and_due = (WebhookEvent.state == "waiting") & (WebhookEvent.next_try_at <= now)
    is_open = or_(WebhookEvent.state == "pending", waiting_and_due)
    return session.scalar(select(func.count()).select_from(WebhookEvent).where(is_open)) or 0
