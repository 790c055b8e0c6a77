"""The simulated account: state, time, events and money in one place.

Everything here is synchronous: a request, or one thing that falls due, is one transaction, and
nothing else runs in between. Events leave only when the transaction has succeeded.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from simulators.stripe import outgoing
from simulators.stripe.clock import Clock
from simulators.stripe.errors import Busy, no_such
from simulators.stripe.ids import Ids
from simulators.stripe.journal import Entry, Journal, State
from simulators.stripe.outgoing import Outgoing
from simulators.stripe.rendering import View, expand_path, render
from simulators.stripe.settings import Settings
from simulators.stripe.store import ACCOUNT_TIME, Store
from simulators.stripe.versions import NEWEST, REPRESENTATIVE, Shape, edition, shape_of
from simulators.webhooks.events import (
    Cause,
    Obj,
    build_event,
    changed_attributes,
    event_data,
    is_subscribed,
)

API_VERSION = NEWEST
"""The version of objects and events unless a request or an endpoint asks for another."""

TEST_CLOCK = "test_helpers.test_clock"
_OWNERS = (("subscription", "subscription"), ("customer", "customer"), ("_customer", "customer"))
"""Fields through which an object without a clock of its own has that of another: (field, kind)."""

DueAction = Callable[["World", Obj], None]


class _LookedAt(Exception):
    """Ends a transaction that was only made to look at what it would do."""


class World:
    """One Stripe account in test mode."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        wall: Callable[[], float] = time.time,
        publish: Callable[[Outgoing], None] = lambda _leaving: None,
        store: Store | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.version = self.settings.api_version
        self.clock = Clock(running=self.settings.running, wall=wall)
        self.ids = Ids(self.settings.seed)
        self.store = Store() if store is None else store
        self.journal = Journal()
        self.cause = Cause()
        self.publish = publish
        self.more_versions: Callable[[], set[str]] = set
        """Versions that events may be wanted in, beside the account's and the endpoints'."""
        self._outbox: list[Outgoing] = []
        self._test_clock: Obj | None = None
        self._modifies = False
        self._only_looks = False

    @property
    def now(self) -> int:
        """The time of whatever is being done: of a test clock's objects its own, in seconds.

        What moves money is dated by `account_now`: at Stripe, too, only billing is simulated
        (https://github.com/stripe/stripe-python/issues/1183).
        """
        return self._test_clock["frozen_time"] if self._test_clock else self.clock.now

    @property
    def account_now(self) -> int:
        """The account's virtual time in seconds."""
        return self.clock.now

    def show(self, obj: Obj, expand: tuple[str, ...] = (), version: str = API_VERSION) -> Obj:
        """Return an object, or a list of objects, as the wire shows it in a version."""
        view = View(self.store, edition(version))
        if obj["object"] not in {"list", "search_result"}:
            return render(view, obj, expand)
        shown = {**obj, "data": [render(view, each) for each in obj["data"]]}
        for path in expand:
            expand_path(view, shown, path.split("."), path)
        return shown

    def fetch(self, kind: str, object_id: str, param: str = "id") -> Obj:
        """Return an object that exists and is not deleted, or raise Stripe's error."""
        found = self.store.get(kind, object_id)
        if found is None or found.get("deleted") or found.get("_deleted"):
            raise no_such(kind, object_id, param)
        self._enter(self.clock_of(found))
        return found

    def clock_of(self, obj: Obj) -> Obj | None:
        """Return the test clock that an object lives by: its own, or that of whom it belongs to."""
        if obj["object"] == TEST_CLOCK:
            return None if obj.get("deleted") else obj
        if "test_clock" in obj:
            clock = self.store.get(TEST_CLOCK, obj["test_clock"] or "")
            return clock and self.clock_of(clock)
        for field, kind in _OWNERS:
            if owner := self.store.get(kind, obj.get(field) or ""):
                return self.clock_of(owner)
        return None

    def _enter(self, clock: Obj | None) -> None:
        """Go on in a test clock's time; nothing of it can be changed while it advances."""
        if clock is None or clock is self._test_clock:
            return
        if self._modifies and clock["status"] == "advancing":
            raise Busy(
                "Test clock advancement underway - cannot perform modifications: " + clock["id"],
                status=429,
            )
        self._test_clock = clock

    def only_look(self) -> None:
        """Have the transaction undone when it ends well, too: its answer is all that is wanted."""
        self._only_looks = True

    def schedule(self, action: str, obj: Obj, at: int | None) -> None:
        """Plan `action` on the clock that the object lives by; None takes the plan back."""
        clock = self.clock_of(obj)
        self.store.schedule(action, obj["id"], at, clock["id"] if clock else ACCOUNT_TIME)

    @contextmanager
    def transaction(
        self, cause: Cause, *, about: Obj | None = None, modifies: bool = False
    ) -> Iterator[None]:
        """Do one request, or one thing that falls due: whole or not at all.

        It is done in the time of the test clock of `about`, or of the first object that is
        fetched. `modifies`: it is a request that changes something.
        """
        self.cause, self._modifies = cause, modifies
        self._test_clock = self.clock_of(about) if about else None
        self._only_looks = False
        try:
            with suppress(_LookedAt), self.clock.held(), self.store.transaction():
                yield
                if self._only_looks:
                    raise _LookedAt
        finally:
            self._test_clock, self._modifies = None, False
            ready, self._outbox = self._outbox, []
            for leaving in ready:
                self.publish(leaving)

    def emit(self, event_type: str, obj: Obj, previous: Obj | None = None) -> Obj:
        """Record an event about the object as it is now, and send it to who subscribed.

        `previous` holds old values of fields that every API version shows alike.
        """
        own = {} if previous is None else dict.fromkeys(REPRESENTATIVE, previous)
        return self._emit(event_type, obj, own)

    @contextmanager
    def updating(
        self, obj: Obj, event_type: str, seen_as: Callable[[Obj], Obj] = lambda obj: obj
    ) -> Iterator[None]:
        """Emit an ``*.updated`` event for what is changed inside, if anything is.

        `seen_as` gives the object that the event shows in this one's place: a price's plan.
        """
        before = self._in_shapes(seen_as(obj))
        yield
        after = self._in_shapes(seen_as(obj))
        previous = {shape: changed_attributes(before[shape], after[shape]) for shape in before}
        if any(previous.values()):
            self._emit(event_type, seen_as(obj), previous)

    def remove(self, obj: Obj, event_type: str) -> Obj:
        """Delete an object for good: its event shows it whole, and a stub of it stays."""
        self.emit(event_type, obj)
        stub = {"id": obj["id"], "object": obj["object"], "deleted": True}
        self.store.delete(obj)
        return self.store.insert(stub)

    def _emit(self, event_type: str, obj: Obj, previous: dict[Shape, Obj]) -> Obj:
        endpoints = [
            endpoint
            for endpoint in self.store.all("webhook_endpoint")
            if endpoint["status"] == "enabled"
            and is_subscribed(endpoint["enabled_events"], event_type)
        ]
        own = shape_of(self.version)
        shown = self._in_shapes(obj)
        event = build_event(
            event_type,
            shown[own],
            event_id=self.ids.new("evt"),
            created=self.now,
            api_version=self.version,
            cause=self.cause,
            previous_attributes=previous.get(own),
            pending_webhooks=len(endpoints),
        )
        event["_recorded_at"] = self.account_now
        outgoing.keep(event, endpoints, {s: event_data(shown[s], previous.get(s)) for s in shown})
        self.store.insert(event)
        leaving = Outgoing(event, endpoints)
        self._outbox.append(leaving)
        self.store.on_undo(lambda: self._outbox.remove(leaving))
        return event

    def _in_shapes(self, obj: Obj) -> dict[Shape, Obj]:
        """Show an object in every shape that an event about it will be wanted in."""
        endpoints = self.store.all("webhook_endpoint")
        versions = {self.version, *(each["api_version"] or self.version for each in endpoints)}
        shapes = {shape_of(version) for version in versions | self.more_versions()}
        return {shape: self.show(obj, version=REPRESENTATIVE[shape]) for shape in sorted(shapes)}

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
            at=self.account_now,
            idempotency_key=self.cause.idempotency_key,
            request_id=self.cause.request_id,
            metadata=dict(movement.get("metadata") or {}),
            description=movement.get("description"),
            billing_reason=self._billing_reason(invoice),
        )
        self.journal.append(entry)
        self.store.on_undo(lambda: self.journal.withdraw(entry))

    def _billing_reason(self, invoice_id: str | None) -> str | None:
        invoice = self.store.get("invoice", invoice_id or "")
        return invoice["billing_reason"] if invoice else None

    def resend(self, event: Obj, endpoints: list[Obj]) -> None:
        """Send an event once more, by hand."""
        self._outbox.append(Outgoing(event, endpoints, by_hand=True))
