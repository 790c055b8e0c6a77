"""Mistakes that only show when two things happen at once, or when something dies in between."""

from __future__ import annotations

import contextlib
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from simulators.billing import books, ledger
from simulators.billing.core import Answer
from simulators.billing.defects.catalogue import defect
from simulators.billing.defects.overlay import ROUND_TRIP_S
from simulators.billing.identifiers import new_id
from simulators.billing.operations import charging, corrections, subscriptions
from simulators.billing.operations.corrections import _refund_view
from simulators.billing.problems import Refusal
from simulators.billing.reconciler import Reconciler
from simulators.billing.storage.tables import CreditTransaction, FixAttempt
from simulators.billing.stripe_gateway.facts import Movement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from simulators.billing.core import Core, InFlight
    from simulators.billing.defects.overlay import Overlay
    from simulators.billing.idempotency import Slot
    from simulators.billing.ledger import Posting
    from simulators.billing.operations.charging import Charge, Fix
    from simulators.billing.operations.subscriptions import Start
    from simulators.billing.storage.tables import Customer, Payment, Subscription

_seen: ContextVar[Any] = ContextVar("seen", default=None)
_CAUSE = "uq_credit_transactions_customer_id_source_cause"


@defect(
    "balance-read-before-the-lock",
    "concurrency",
    breaks=2,
    found_by=("balance_equals_ledger", "test_usages_at_once_never_overdraw_the_balance"),
)
def balance_read_before_the_lock(overlay: Overlay) -> None:
    """Read the balance, then take a credit: usages at once take the same one, and overdraw."""
    overlay.without_constraint("credit_transactions", "ck_credit_transactions_never_negative")
    _read_balance_early(overlay)


@defect(
    "debit-that-took-nothing",
    "concurrency",
    breaks=1,
    found_by=("usage_takes_effect_once", "test_usages_at_once_never_overdraw_the_balance"),
)
def debit_that_took_nothing(overlay: Overlay) -> None:
    """Take a credit only where one is left, and do not look whether one was taken."""
    balance = _read_balance_early(overlay)

    def append(
        session: Session, customer_id: str, posting: Posting, *, at: int
    ) -> CreditTransaction:
        took_nothing = posting.source == "consumed" and balance(session, customer_id) == 0
        last = select(CreditTransaction).where(CreditTransaction.customer_id == customer_id)
        newest = last.order_by(CreditTransaction.sequence.desc()).limit(1)
        if took_nothing and (unchanged := session.scalar(newest)) is not None:
            return unchanged
        entry: CreditTransaction = genuine(session, customer_id, posting, at=at)
        return entry

    genuine = overlay.replace(ledger, "append", append)


@defect(
    "double-click-subscribes-twice",
    "concurrency",
    breaks=3,
    found_by=("test_subscribing_many_times_at_once_is_paid_once",),
)
def double_click_subscribes_twice(overlay: Overlay) -> None:
    """Look for a subscription before the lock, so that two clicks make two."""
    overlay.without_index("uq_subscriptions_living")

    def begin(core: Core, customer_id: str, quantity: int) -> Start | InFlight:
        with core.database.read() as session:
            is_free = living(session, customer_id) is None
        with _seeing(is_free):
            started: Start | InFlight = genuine(core, customer_id, quantity)
        return started

    def living_record(session: Session, customer_id: str) -> Subscription | None:
        found: Subscription | None = None if _seen.get() else living(session, customer_id)
        return found

    living = overlay.replace(subscriptions, "living_record", living_record)
    genuine = overlay.replace(subscriptions, "begin", begin)


@defect(
    "refund-booked-though-refused",
    "concurrency",
    breaks=3,
    found_by=("books_equal_provider", "test_refunds_never_exceed_their_charge"),
)
def refund_booked_though_refused(overlay: Overlay) -> None:
    """Write a refund down whatever Stripe says, so that refunds exceed their charge."""
    overlay.without_trigger("payments", "payments_refund_within_charge")

    def refund(core: Core, charge: Payment, amount_minor: int | None, slot: Slot) -> Answer:
        try:
            answer: Answer = genuine(core, charge, amount_minor, slot)
        except Refusal as refusal:
            if refusal.code != "refund_exceeds_charge" or amount_minor is None:
                raise
            made = Movement(new_id("re"), amount_minor, charge.currency, parent=charge.stripe_id)
            with core.database.write() as session:
                books.record_reversal(session, charge, made, "refund", core.clock.now())
                return slot.keep(session, Answer(201, _refund_view(session, charge, made)))
        return answer

    genuine = overlay.replace(corrections, "refund", refund)


@defect(
    "pending-charge-tried-anew",
    "concurrency",
    breaks=1,
    found_by=(
        "charges_are_explained",
        "test_one_usage_told_many_times_at_once_is_charged_once",
        "test_a_charge_whose_answer_is_lost_is_made_once",
    ),
)
def pending_charge_tried_anew(overlay: Overlay) -> None:
    """Take a charge that is under way for one that failed, and make another."""
    overlay.without_index("uq_fix_attempts_living")
    overlay.without_constraint("credit_transactions", _CAUSE)

    def rejoin(
        core: Core, customer: Customer, earlier: FixAttempt, now: int
    ) -> Charge | InFlight | None:
        if earlier.outcome == charging.PENDING:
            return None
        found: Charge | InFlight | None = genuine(core, customer, earlier, now)
        return found

    genuine = overlay.replace(charging, "_rejoin", rejoin)


@defect(
    "clean-up-marks-failed-what-succeeded",
    "concurrency",
    breaks=1,
    found_by=(
        "charges_are_explained",
        "test_a_charge_left_in_doubt_is_settled_and_not_made_again",
    ),
)
def clean_up_marks_failed_what_succeeded(overlay: Overlay) -> None:
    """Have the clean-up call old charges failed without a look at Stripe, so they are made anew."""

    def settle(self: Reconciler, customer_id: str, fix_id: str) -> None:
        same = FixAttempt.customer_id == customer_id, FixAttempt.fix_id == fix_id
        failed = update(FixAttempt).where(*same, FixAttempt.outcome == charging.PENDING)
        with self._core.database.write() as session:
            session.execute(failed.values(outcome="refused", reason="timed_out", next_try_at=None))

    overlay.replace(Reconciler, "_settle_fix", settle)


def _read_balance_early(overlay: Overlay) -> Any:
    """Have fixes decided by a balance that was read before their transaction; give the genuine."""

    def begin(core: Core, customer_id: str, fix: Fix, slot: Slot) -> Answer | Charge | InFlight:
        with core.database.read() as session:
            early = read(session, customer_id)
        with _seeing(early):
            begun: Answer | Charge | InFlight = genuine(core, customer_id, fix, slot)
        return begun

    def balance(session: Session, customer_id: str) -> int:
        early = _seen.get()
        found: int = read(session, customer_id) if early is None else early
        return found

    genuine = overlay.replace(charging, "begin", begin)
    read = overlay.replace(ledger, "balance", balance)
    return read


@contextlib.contextmanager
def _seeing(early: object) -> Iterator[None]:
    """Have what was looked at before be what counts, a moment later."""
    token = _seen.set(early)
    time.sleep(ROUND_TRIP_S)
    try:
        yield
    finally:
        _seen.reset(token)
