"""The simulated account: state, time, events and money in one place.

Everything here is synchronous: a request, or one thing that falls due, is one transaction, and
nothing else runs in between. Events leave only when the transaction has succeeded.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from simulators.stripe.clock import Clock
from simulators.stripe.errors import no_such
from simulators.stripe.ids import Ids
from simulators.stripe.journal import Entry, Journal, State
from simulators.stripe.rendering import render
from simulators.stripe.settings import Settings
from simulators.stripe.store import Store
from simulators.webhooks.events import (
    Cause,
    Obj,
    build_event,
    changed_attributes,
    is_subscribed,
)

API_VERSION = "2026-10-28.endive"
"""The version of objects and events unless an endpoint asks for another."""

DueAction = Callable[["World", Obj], None]


class World:
    """One Stripe account in test mode."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        wall: Callable[[], float] = time.time,
        publish: Callable[[Obj, list[Obj]], None] = lambda _event, _endpoints: None,
    ) -> None:
        self.settings = settings or Settings()
        self.clock = Clock(running=self.settings.running, wall=wall)
        self.ids = Ids(self.settings.seed)
        self.store = Store()
        self.journal = Journal()
        self.cause = Cause()
        self.publish = publish
        self._outbox: list[tuple[Obj, list[Obj]]] = []

    @property
    def now(self) -> int:
        """Virtual time in seconds."""
        return self.clock.now

    def show(self, obj: Obj, expand: tuple[str, ...] = ()) -> Obj:
        """Return an object as the wire shows it."""
        return render(self.store, obj, expand)

    def fetch(self, kind: str, object_id: str, param: str = "id") -> Obj:
        """Return an object that exists and is not deleted, or raise Stripe's error."""
        found = self.store.get(kind, object_id)
        if found is None or found.get("deleted"):
            raise no_such(kind, object_id, param)
        return found

    @contextmanager
    def transaction(self, cause: Cause) -> Iterator[None]:
        """Do one request, or one thing that falls due: whole or not at all."""
        self.cause = cause
        try:
            with self.store.transaction():
                yield
        finally:
            ready, self._outbox = self._outbox, []
            for event, endpoints in ready:
                self.publish(event, endpoints)

    def emit(self, event_type: str, obj: Obj, previous: Obj | None = None) -> Obj:
        """Record an event about the object as it is now, and send it to who subscribed."""
        endpoints = [
            endpoint
            for endpoint in self.store.all("webhook_endpoint")
            if endpoint["status"] == "enabled"
            and is_subscribed(endpoint["enabled_events"], event_type)
        ]
        event = build_event(
            event_type,
            self.show(obj),
            event_id=self.ids.new("evt"),
            created=self.now,
            api_version=API_VERSION,
            cause=self.cause,
            previous_attributes=previous,
            pending_webhooks=len(endpoints),
        )
        self.store.insert(event)
        outgoing = (event, endpoints)
        self._outbox.append(outgoing)
        self.store.on_undo(lambda: self._outbox.remove(outgoing))
        return event

    @contextmanager
    def updating(self, obj: Obj, event_type: str) -> Iterator[None]:
        """Emit an ``*.updated`` event for what is changed inside, if anything is."""
        before = self.show(obj)
        yield
        previous = changed_attributes(before, self.show(obj))
        if previous:
            self.emit(event_type, obj, previous)

    def record_money(  # noqa: PLR0913 - a movement has this many facts
        self,
        movement: Obj,
        *,
        entry_id: str,
        amount_minor: int,
        state: State,
        invoice: str | None,
        failure_code: str | None = None,
    ) -> None:
        """Write a charge, refund or dispute into the journal."""
        entry = Entry(
            id=entry_id,
            type=movement["object"],
            provider_id=movement["id"],
            payment_intent=movement.get("payment_intent"),
            invoice=invoice,
            customer=movement.get("customer", movement.get("_customer")),
            amount_minor=amount_minor,
            currency=movement["currency"],
            state=state,
            failure_code=failure_code,
            at=self.now,
            idempotency_key=self.cause.idempotency_key,
            request_id=self.cause.request_id,
            metadata=dict(movement.get("metadata") or {}),
            description=movement.get("description"),
        )
        self.journal.append(entry)
        self.store.on_undo(lambda: self.journal.withdraw(entry))
