"""The background worker: two threads in each serving process, all working off one database.

One gives events their effects; the other settles doubts and reconciles, which may wait for Stripe
for long, and no event should wait with it.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog

from simulators.billing import events, failpoints
from simulators.billing.operations.invoicing import UnknownCustomerError
from simulators.billing.reconciler import Reconciler
from simulators.billing.stripe_gateway.errors import GatewayError, StripeRefusal
from simulators.billing.worker import inbox
from simulators.billing.worker.effects import HANDLERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulators.billing.core import Core
    from simulators.billing.worker.inbox import Event

log = structlog.get_logger("billing.worker")

_DRAIN_POLL_S = 0.02
# Counting a backlog of thousands over and over would take its share from working it off.
_POLL_PER_OWED_S = 0.0005
_DRAIN_POLL_MAX_S = 1.0
_MISSING = "resource_missing"
_RESULTS = {"done": "processed", "pending": "failed"}


class Worker:
    """Gives events their effects, and finds out what became of charges that were left in doubt."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.reconciler = Reconciler(core)
        self._stopping = threading.Event()
        self._wakes = [threading.Event(), threading.Event()]
        self._threads = [
            threading.Thread(target=self._run, args=each, name=each[0].__name__, daemon=True)
            for each in zip((self.give_effects, self.reconcile), self._wakes, strict=True)
        ]

    def start(self) -> None:
        """Start the threads; the first thing to do is a pass of the reconciler."""
        self.reconciler.ask_for_a_pass()
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Let the threads finish what they are at, then end; what remains is in the database."""
        self._stopping.set()
        for each in self._wakes:
            each.set()
        for thread in self._threads:
            thread.join(timeout_s)

    def wake(self) -> None:
        """Say that there is an event, rather than let the worker find out."""
        self._wakes[0].set()

    def step(self) -> bool:
        """Do what is due now, one thing at a time; tell whether there was an event."""
        if self.give_effects():
            return True
        return self.reconcile()

    def give_effects(self) -> bool:
        """Give the event that is due its effect; tell whether there was one."""
        event = inbox.claim(self._core)
        if event is not None:
            self._handle(event)
        return event is not None

    def reconcile(self) -> bool:
        """Settle the doubts that are due, and make a pass if it is time for one."""
        self.reconciler.settle_doubts()
        self.reconciler.run_if_due()
        return False

    def pending(self) -> int:
        """Count what is still owed: effects of events, outcomes of charges, and a pass."""
        now = self._core.clock.now()
        with self._core.database.read() as session:
            owed = inbox.backlog(session, now) + self.reconciler.in_doubt(session)
            return owed + self.reconciler.owes_a_pass(session)

    def drain(self, deadline_s: float) -> int:
        """Wait until nothing is owed, the deadline or the worker's end; give what is still owed."""
        deadline = time.monotonic() + deadline_s
        inbox.hurry(self._core)
        for each in self._wakes:
            each.set()
        while (left := self.pending()) and time.monotonic() < deadline:
            pause_s = min(max(_DRAIN_POLL_S, left * _POLL_PER_OWED_S), _DRAIN_POLL_MAX_S)
            if self._stopping.wait(min(pause_s, deadline - time.monotonic())):
                break
        return left

    def _run(self, step: Callable[[], bool], wake: threading.Event) -> None:
        while not self._stopping.is_set():
            wake.clear()
            try:
                has_more = step()
            except Exception:  # the thread must outlive whatever one piece of work does
                log.exception("worker_step_failed")
                has_more = False
            if not has_more:
                wake.wait(self._core.settings.worker_poll_s)

    def _handle(self, event: Event) -> None:
        state, reason = "done", None
        started = time.perf_counter()
        try:
            failpoints.hit("event.before_effect")
            HANDLERS[event.type](self._core, str(event.object["id"]))
            failpoints.hit("event.after_effect")
        except UnknownCustomerError:
            state, reason = "waiting", "unknown_customer"
        except StripeRefusal as refusal:
            if refusal.code == _MISSING:
                # Whoever signed this spoke of nothing that Stripe has.
                state, reason = "ignored", "not_at_stripe"
            else:
                log.exception("event_refused", event_id=event.id, type=event.type)
                state, reason = "pending", "stripe_refused"
        except GatewayError:
            state, reason = "pending", "stripe_unavailable"
        except Exception:  # an event is never lost by what it makes us trip over
            log.exception("event_failed", event_id=event.id, type=event.type)
            state, reason = "pending", "internal_error"
        if state in {"done", "ignored"}:
            inbox.settle(self._core, event, state, reason)
        else:
            inbox.try_again(self._core, event, state, str(reason))
        duration_s = time.perf_counter() - started
        told = {"type": event.type, "result": _RESULTS.get(state, state), "duration_s": duration_s}
        events.tell(self._core.database, "webhook_handled", **told)
        log.info("event_settled", event_id=event.id, type=event.type, state=state, reason=reason)
