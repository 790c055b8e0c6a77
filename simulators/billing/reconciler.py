"""Finds what a crash, a lost answer or a restored backup left hanging, and settles what is certain.

Two halves. *Doubts* are known from our own books (a charge, a subscription, a card under way at
Stripe) and are taken up as soon as their time is over. A *pass* compares Stripe with our books: it
runs at start, on a schedule, and by command, in one process at a time. Nothing here guesses: what
cannot be settled for certain becomes a finding, for a person, in the log and in a table.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import func, select, update

from simulators.billing import books, failpoints, limits
from simulators.billing.idempotency import unkeyed_slot
from simulators.billing.operations import cards, charging, invoicing, subscriptions
from simulators.billing.problems import Problem
from simulators.billing.storage.repairs import CardAttempt, Finding, ReconcilerState
from simulators.billing.storage.tables import (
    Customer,
    FixAttempt,
    OnboardingAttempt,
    Payment,
    Subscription,
    WebhookEvent,
)
from simulators.billing.stripe_gateway.errors import GatewayError
from simulators.billing.worker import inbox
from simulators.billing.worker.effects import HANDLERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.orm import Session

    from simulators.billing.core import Core
    from simulators.billing.stripe_gateway.listings import ChargeSeen, EventSeen

log = structlog.get_logger("billing.reconciler")

_DAY_S = 86_400
# Stripe's `created` is a whole second, and lists may lag: so much is read again each time.
_OVERLAP_S = 300
_EVENTS_KEPT_S = 30 * _DAY_S
# For so long Stripe remembers an idempotency key; an hour less, for a request on its way.
_KEY_MEMORY_S = _DAY_S - 3600
_LONG_IN_DOUBT_S = 3600


@dataclass(slots=True)
class Report:
    """What a pass did: how many of each kind were settled, and what is left for a person."""

    settled: dict[str, int] = field(default_factory=dict)
    findings: list[tuple[str, str]] = field(default_factory=list)
    failed_steps: list[str] = field(default_factory=list)

    def count(self, kind: str) -> None:
        """Count one thing as settled."""
        self.settled[kind] = self.settled.get(kind, 0) + 1


class Reconciler:
    """Settles doubts, and compares our books with Stripe's."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def settle_doubts(self) -> None:
        """Take up whatever is in doubt by our own books and had its time; one never stops another.

        Charges and subscriptions are looked up first; cards are attached by the same request under
        the same key, as long as Stripe remembers keys.
        """
        core = self._core
        now, patience_s = core.clock.now(), core.settings.stripe_patience_s
        with core.database.read() as session:
            fixes = charging.pending(session, now)
            starts = subscriptions.pending(session, now)
            attempts = cards.under_way(session, now)
            removals = cards.half_removed(session, now, patience_s)
        for customer_id, fix_id in fixes:
            self._quietly(self._settle_fix, customer_id, fix_id)
        for customer_id in starts:
            self._quietly(self._settle_start, customer_id)
        for attempt in attempts:
            if now - attempt.consented_at < _KEY_MEMORY_S:
                self._quietly(cards.finish, core, attempt)
        for customer_id, card_id in removals:
            self._quietly(cards.finish_removal, core, customer_id, card_id)

    def in_doubt(self, session: Session) -> int:
        """Count what our own books say is under way at Stripe."""
        counts = (
            select(func.count()).select_from(table).where(*conditions)
            for table, conditions in (
                (FixAttempt, (FixAttempt.outcome == charging.PENDING,)),
                (Subscription, (Subscription.status == subscriptions.STARTING,)),
                (CardAttempt, ()),
            )
        )
        return sum(session.scalar(each) or 0 for each in counts)

    def ask_for_a_pass(self) -> None:
        """Make a pass due now, whoever may have died in the middle of the last."""
        with self._core.database.write(alone_with=("reconciler",)) as session:
            state = self._state(session)
            state.next_run_at = state.claimed_until = 0

    def owes_a_pass(self, session: Session) -> bool:
        """Whether a pass is due or under way."""
        state = session.get(ReconcilerState, 1)
        return state is not None and state.next_run_at <= self._core.clock.now()

    def run_if_due(self) -> Report | None:
        """Make a pass if one is due and nobody is at it."""
        core = self._core
        now = core.clock.now()
        with core.database.read() as session:
            known = session.get(ReconcilerState, 1)
            if known is not None and max(known.next_run_at, known.claimed_until) > now:
                return None
        with core.database.write(alone_with=("reconciler",)) as session:
            state = self._state(session)
            if max(state.next_run_at, state.claimed_until) > now:
                return None
            # As long as a pass may take: after a storm there is much to read, and two that read the
            # same at once are slower than one. Who starts clears the claims of the dead.
            state.claimed_until = now + core.settings.reconcile_every_s
        try:
            return self.run()
        finally:
            with core.database.write(alone_with=("reconciler",)) as session:
                state = self._state(session)
                state.claimed_until = 0
                state.next_run_at = core.clock.now() + core.settings.reconcile_every_s

    def run(self) -> Report:
        """Make a pass, whether one is due or not; several at once change nothing twice."""
        report = Report()
        steps: tuple[Callable[[Report], None], ...] = (
            self._sign_ups,
            self._authentications,
            self._what_stripe_did,
            self._long_doubts,
            self._forget,
        )
        self.settle_doubts()
        for step in steps:
            failpoints.hit("reconciler.before_step")
            try:
                step(report)
            except GatewayError as error:
                name = step.__name__.strip("_")
                report.failed_steps.append(name)
                log.warning("reconciler_step_failed", step=name, error=str(error))
        self._conclude(report)
        return report

    def _settle_fix(self, customer_id: str, fix_id: str) -> None:
        core = self._core
        if charge := charging.reopen(core, customer_id, fix_id, if_unfinished=True):
            charging.carry_out(core, charge, unkeyed_slot(core))

    def _settle_start(self, customer_id: str) -> None:
        core = self._core
        if start := subscriptions.reopen(core, customer_id):
            subscriptions.carry_out(core, start, unkeyed_slot(core))

    def _sign_ups(self, report: Report) -> None:
        """Tie Stripe customers of cut-off sign-ups to them, so that the next try uses them again.

        A sign-up that left nothing at Stripe is forgotten once no request for it can be under way.
        """
        core = self._core
        now = core.clock.now()
        open_since = OnboardingAttempt.created_at <= now - core.settings.stripe_patience_s
        loose = OnboardingAttempt.stripe_customer_id.is_(None), open_since
        with core.database.read() as session:
            attempts = session.scalars(select(OnboardingAttempt).where(*loose)).all()
        if not attempts:
            return
        oldest = min(each.created_at for each in attempts)
        seen = core.stripe.listings.customers_since(oldest - _DAY_S)
        theirs = {each.customer_id: each.id for each in seen}
        for attempt in attempts:
            found = theirs.get(attempt.customer_id)
            if found is None and now - attempt.created_at < 2 * _DAY_S:
                continue
            with core.database.write(alone_with=(f"email:{attempt.email_digest}",)) as session:
                row = session.get(OnboardingAttempt, attempt.email_digest)
                if row is None or row.customer_id != attempt.customer_id:
                    continue
                if found is None:
                    session.delete(row)
                    continue
                row.stripe_customer_id = found
            report.count("sign_up")

    def _authentications(self, report: Report) -> None:
        """Book payments that their holders have confirmed; end those left alone for a day."""
        core = self._core
        with core.database.read() as session:
            waiting = charging.unfinished(session)
        for attempt in waiting:
            intent = core.stripe.charges.intent(str(attempt.payment_intent))
            is_old = core.clock.now() - attempt.created_at > _DAY_S
            if intent.status in {"succeeded", "canceled"} or is_old:
                self._quietly(self._settle_fix, attempt.customer_id, attempt.fix_id)
                report.count("authentication")

    def _what_stripe_did(self, report: Report) -> None:
        """Read what happened at Stripe since the last pass, and bring in what we never learnt."""
        core = self._core
        with core.database.write(alone_with=("reconciler",)) as session:
            since = self._state(session).read_through
        events = core.stripe.listings.events_since(since - _OVERLAP_S, sorted(HANDLERS))
        charges = core.stripe.listings.charges_since(since - _OVERLAP_S)
        for event in self._missing_events(events):
            payload = {
                "id": event.id,
                "type": event.type,
                "data": {"object": {"id": event.object_id}},
            }
            if inbox.store(core, event.id, event.type, json.dumps(payload), is_handled=True):
                report.count("event")
        under_way = [c.created_at for c in charges if not self._is_booked(c, report)]
        newest = max([since, *(e.created_at for e in events), *(c.created_at for c in charges)])
        read_through = min([newest, *under_way])
        with core.database.write(alone_with=("reconciler",)) as session:
            state = self._state(session)
            state.read_through = max(state.read_through, read_through)

    def _missing_events(self, events: Sequence[EventSeen]) -> list[EventSeen]:
        """Pick the events about our customers that never reached the inbox, oldest first."""
        with self._core.database.read() as session:
            missing = [
                event
                for event in events
                if session.get(WebhookEvent, event.id) is None and self._is_ours(session, event)
            ]
        return missing[::-1]

    def _is_ours(self, session: Session, event: EventSeen) -> bool:
        if event.object_customer is not None:
            mine = Customer.stripe_customer_id == event.object_customer
            return session.scalar(select(Customer.id).where(mine)) is not None
        charge = event.object_charge
        return charge is not None and books.by_stripe_id(session, charge) is not None

    def _is_booked(self, charge: ChargeSeen, report: Report) -> bool:
        """Bring one charge into the books; tell whether it is settled (False: it is under way)."""
        core = self._core
        stripe_id = charge.movement.stripe_id
        with core.database.read() as session:
            if books.by_stripe_id(session, stripe_id) is not None:
                return True
            at_stripe = Customer.stripe_customer_id == charge.stripe_customer_id
            customer_id = session.scalar(select(Customer.id).where(at_stripe))
            pending = FixAttempt.outcome == charging.PENDING
            mine = FixAttempt.id == charge.attempt_id
            if session.scalar(select(FixAttempt.id).where(mine, pending)) is not None:
                return False
        if customer_id is None:
            if charge.environment == core.settings.environment:
                self._report(report, "charge_of_unknown_customer", stripe_id, charge)
            return True
        if self._take_in(customer_id, charge):
            report.count("charge")
        else:
            is_second = charge.fix_id is not None and charge.customer_id == customer_id
            kind = "double_charge" if is_second else "unknown_charge"
            self._report(report, kind, stripe_id, charge)
        return True

    def _take_in(self, customer_id: str, charge: ChargeSeen) -> bool:
        """Write down what a charge says of itself: a fix's, or one that paid an invoice."""
        core = self._core
        if charge.fix_id and charge.attempt_id and charge.customer_id == customer_id:
            return charging.adopt(
                core, customer_id, charge.fix_id, charge.attempt_id, charge.movement
            )
        for subscription in core.stripe.subscriptions.ids_of(str(charge.stripe_customer_id)):
            subscriptions.level(core, subscription)
            invoicing.level(core, subscription)
        with core.database.read() as session:
            return books.by_stripe_id(session, charge.movement.stripe_id) is not None

    def _long_doubts(self, report: Report) -> None:
        """Report what stays in doubt although it was looked for, again and again."""
        core = self._core
        now = core.clock.now()
        with core.database.read() as session:
            fix = FixAttempt.outcome == charging.PENDING, FixAttempt.created_at
            start = Subscription.status == subscriptions.STARTING, Subscription.created_at
            old = now - _LONG_IN_DOUBT_S
            fixes = session.scalars(select(FixAttempt.id).where(fix[0], fix[1] < old)).all()
            starts = session.scalars(select(Subscription.id).where(start[0], start[1] < old)).all()
            consented = CardAttempt.consented_at < old
            attached = session.scalars(select(CardAttempt.id).where(consented)).all()
        for kind, ids in (
            ("fix_in_doubt", fixes),
            ("subscription_in_doubt", starts),
            ("card_in_doubt", attached),
        ):
            for each in ids:
                self._report(report, kind, each, None)

    def _forget(self, _: Report) -> None:
        limits.forget(self._core)

    def _report(self, report: Report, kind: str, subject: str, charge: ChargeSeen | None) -> None:
        """Leave something to a person, in the log and in the table, once however often seen."""
        core = self._core
        now = core.clock.now()
        detail = {"amount_minor": charge.movement.amount_minor} if charge else {}
        report.findings.append((kind, subject))
        log.error("reconciler_finding", kind=kind, subject=subject, **detail)
        with core.database.write(alone_with=("reconciler",)) as session:
            row = session.get(Finding, (kind, subject))
            if row is None:
                row = Finding(kind=kind, subject=subject, first_seen_at=now)
                session.add(row)
            row.detail, row.last_seen_at, row.resolved_at = json.dumps(detail), now, None

    def _conclude(self, report: Report) -> None:
        """Mark the findings that are no more, and say what came of the pass."""
        core = self._core
        now = core.clock.now()
        booked = select(Payment.stripe_id)
        fixes = select(FixAttempt.id).where(FixAttempt.outcome == charging.PENDING)
        starts = select(Subscription.id).where(Subscription.status == subscriptions.STARTING)
        gone = {
            "unknown_charge": Finding.subject.in_(booked),
            "double_charge": Finding.subject.in_(booked),
            "charge_of_unknown_customer": Finding.subject.in_(booked),
            "fix_in_doubt": Finding.subject.not_in(fixes),
            "subscription_in_doubt": Finding.subject.not_in(starts),
            "card_in_doubt": Finding.subject.not_in(select(CardAttempt.id)),
        }
        with core.database.write(alone_with=("reconciler",)) as session:
            for kind, is_gone in gone.items():
                over = Finding.kind == kind, Finding.resolved_at.is_(None), is_gone
                session.execute(update(Finding).where(*over).values(resolved_at=now))
        failed = report.failed_steps
        log.info("reconciled", settled=report.settled, findings=len(report.findings), failed=failed)

    def _state(self, session: Session) -> ReconcilerState:
        """Give the reconciler's row; the first time it reads from before the first customer."""
        state = session.get(ReconcilerState, 1)
        if state is None:
            now = self._core.clock.now()
            first = session.scalar(select(func.min(Customer.created_at)))
            since = max((now if first is None else first) - _DAY_S, now - _EVENTS_KEPT_S)
            state = ReconcilerState(id=1, read_through=since, next_run_at=0, claimed_until=0)
            session.add(state)
        return state

    def _quietly(self, work: Callable[..., object], *arguments: object) -> None:
        """Do work whose refusal is a result like any other: it is written down where it belongs."""
        try:
            work(*arguments)
        except Problem as problem:
            log.info("doubt_settled", code=problem.code)
        except GatewayError as error:
            log.info("doubt_stays", error=str(error))
        except Exception:  # one piece of work must not keep the others waiting
            log.exception("doubt_not_settled")
