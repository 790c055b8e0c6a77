"""The background worker: a thread in each serving process, all working off one database."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import func, select

from simulators.billing.idempotency import unkeyed_slot
from simulators.billing.operations import charging, subscriptions
from simulators.billing.operations.invoicing import UnknownCustomerError
from simulators.billing.problems import Problem
from simulators.billing.storage.tables import FixAttempt, Subscription
from simulators.billing.stripe_gateway.errors import GatewayError, StripeRefusal
from simulators.billing.worker import inbox
from simulators.billing.worker.effects import HANDLERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulators.billing.core import Core
    from simulators.billing.worker.inbox import Event

log = structlog.get_logger("billing.worker")

_DRAIN_POLL_S = 0.02
_MISSING = "resource_missing"


class Worker:
    """Gives events their effects, and finds out what became of charges that were left in doubt."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="billing-worker", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Let the thread finish what it is at, then end it; what remains is in the database."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout_s)

    def wake(self) -> None:
        """Say that there is something to do, rather than let the worker find out."""
        self._wake.set()

    def step(self) -> bool:
        """Do what is due now, one thing at a time; tell whether there was anything."""
        event = inbox.claim(self._core)
        if event is not None:
            self._handle(event)
            return True
        return self._settle_doubts()

    def pending(self) -> int:
        """Count what is still owed: effects of events, and the outcomes of charges."""
        now = self._core.clock.now()
        with self._core.database.read() as session:
            charges = select(func.count()).select_from(FixAttempt)
            starts = select(func.count()).select_from(Subscription)
            return (
                inbox.backlog(session, now)
                + (session.scalar(charges.where(FixAttempt.outcome == charging.PENDING)) or 0)
                + (session.scalar(starts.where(Subscription.status == subscriptions.STARTING)) or 0)
            )

    def drain(self, deadline_s: float) -> int:
        """Wait until nothing is owed, or the deadline has passed; give what is still owed."""
        deadline = time.monotonic() + deadline_s
        inbox.hurry(self._core)
        self.wake()
        while (left := self.pending()) and time.monotonic() < deadline:
            time.sleep(_DRAIN_POLL_S)
        return left

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                has_more = self.step()
            except Exception:  # the thread must outlive whatever one piece of work does
                log.exception("worker_step_failed")
                has_more = False
            if not has_more:
                self._wake.wait(self._core.settings.worker_poll_s)

    def _handle(self, event: Event) -> None:
        state, reason = "done", None
        try:
            HANDLERS[event.type](self._core, str(event.object["id"]))
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
        log.info("event_settled", event_id=event.id, type=event.type, state=state, reason=reason)

    def _settle_doubts(self) -> bool:
        core = self._core
        now = core.clock.now()
        with core.database.read() as session:
            fixes = charging.pending(session, now)
            customers = subscriptions.pending(session, now)
        for customer_id, fix_id in fixes:
            if charge := charging.reopen(core, customer_id, fix_id):
                _quietly(charging.carry_out, core, charge, unkeyed_slot(core))
        for customer_id in customers:
            if start := subscriptions.reopen(core, customer_id):
                _quietly(subscriptions.carry_out, core, start, unkeyed_slot(core))
        return False


def _quietly(work: Callable[..., object], *arguments: object) -> None:
    """Do work whose refusal is a result like any other: it is written down where it belongs."""
    try:
        work(*arguments)
    except Problem as problem:
        log.info("doubt_settled", code=problem.code)
