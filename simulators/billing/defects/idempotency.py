"""Mistakes that make one request take effect twice, or one answer serve two requests."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from simulators.billing import idempotency
from simulators.billing.clock import MovableClock
from simulators.billing.defects.catalogue import defect
from simulators.billing.defects.overlay import ROUND_TRIP_S
from simulators.billing.idempotency import Request, Slot
from simulators.billing.identifiers import new_id
from simulators.billing.operations import charging
from simulators.billing.storage.tables import FixAttempt
from simulators.billing.stripe_gateway.charges import ChargeCalls
from simulators.billing.stripe_gateway.errors import StripeDoubt

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from simulators.billing.core import Answer, Core
    from simulators.billing.defects.overlay import Overlay
    from simulators.billing.storage.tables import IdempotencyRecord
    from simulators.billing.stripe_gateway.facts import ChargeOrder, Intent

_DAY_S = 86_400


@defect(
    "retry-under-a-new-key",
    "idempotency",
    breaks=1,
    found_by=("charges_are_explained", "test_a_charge_whose_answer_is_lost_is_made_once"),
)
def retry_under_a_new_key(overlay: Overlay) -> None:
    """Send a charge whose answer was lost once more, under a new key at Stripe."""

    def charge(self: ChargeCalls, order: ChargeOrder) -> Intent:
        try:
            paid: Intent = genuine(self, order)
        except StripeDoubt:
            paid = genuine(self, replace(order, key=new_id("retry")))
        return paid

    genuine = overlay.replace(ChargeCalls, "charge", charge)


@defect(
    "key-not-scoped-to-the-tenant",
    "idempotency",
    breaks=6,
    found_by=("test_an_idempotency_key_is_its_tenants_own",),
)
def key_not_scoped_to_the_tenant(overlay: Overlay) -> None:
    """Look an idempotency key up by itself alone, and give one tenant another's answer."""

    def parts(self: Request) -> tuple[str | bytes, ...]:
        if self.owner is None:
            own: tuple[str | bytes, ...] = genuine.fget(self)
            return own
        return (self.key,)

    genuine = overlay.replace(Request, "key_parts", property(parts))


@defect(
    "reused-key-with-another-body",
    "idempotency",
    breaks=1,
    found_by=("usage_takes_effect_once", "test_a_key_with_another_body_is_refused"),
)
def reused_key_with_another_body(overlay: Overlay) -> None:
    """Answer another request under a used key with the first one's answer, and do nothing."""

    def opened(core: Core, request: Request) -> Slot | Answer:
        bodiless = replace(request, body=b"") if request.owner else request
        found: Slot | Answer = genuine(core, bodiless)
        return found

    genuine = overlay.replace(idempotency, "open_slot", opened)


@defect(
    "same-key-at-once-runs-twice",
    "idempotency",
    breaks=2,
    found_by=(
        "test_one_key_sent_many_times_at_once_takes_effect_once",
        "test_a_refund_asked_again_before_its_answer_is_made_once",
    ),
)
def same_key_at_once_runs_twice(overlay: Overlay) -> None:
    """Know a key only once its request has ended, so that a second one at once runs, too."""

    def record(core: Core, slot: Slot, fingerprint: str, now: int) -> IdempotencyRecord:
        slot.token = new_id("once")
        made: IdempotencyRecord = genuine(core, slot, fingerprint, now)
        made.leased_until = 0
        return made

    def opened(core: Core, request: Request) -> Slot | Answer:
        found: Slot | Answer = first(core, request)
        time.sleep(ROUND_TRIP_S)
        return found

    genuine = overlay.replace(idempotency, "_new_record", record)
    first = overlay.replace(idempotency, "open_slot", opened)


@defect(
    "refund-key-minted-for-each-try",
    "idempotency",
    breaks=3,
    found_by=("test_a_refund_whose_answer_is_lost_is_made_once",),
)
def refund_key_minted_for_each_try(overlay: Overlay) -> None:
    """Name a refund to Stripe anew at each try, so that one tried again is given back twice."""

    def opened(core: Core, request: Request) -> Slot | Answer:
        found: Slot | Answer = genuine(core, request)
        if isinstance(found, Slot):
            found.token = new_id("once")
        return found

    genuine = overlay.replace(idempotency, "open_slot", opened)


@defect(
    "usage-told-twice-counts-twice",
    "idempotency",
    breaks=1,
    found_by=(
        "usage_takes_effect_once",
        "charges_are_explained",
        "test_usage_told_twice_counts_once",
        "test_a_charged_usage_told_again_is_not_charged_again",
    ),
)
def usage_told_twice_counts_twice(overlay: Overlay) -> None:
    """Do not look whether a fix was paid for before."""
    _forget_fixes(overlay, lambda _: True)


@defect(
    "usage-forgotten-after-a-day",
    "idempotency",
    breaks=1,
    found_by=("charges_are_explained", "test_usage_told_again_days_later_is_not_charged_again"),
)
def usage_forgotten_after_a_day(overlay: Overlay) -> None:
    """Remember a fix as long as Stripe does a key, and charge anew for a retry after 24 hours."""
    clock = MovableClock(overlay.database)
    _forget_fixes(overlay, lambda paid: paid.created_at < clock.now() - _DAY_S)


@defect(
    "usage-id-shared-by-tenants",
    "idempotency",
    breaks=6,
    found_by=("usage_takes_effect_once", "test_a_usage_id_belongs_to_its_customer"),
)
def usage_id_shared_by_tenants(overlay: Overlay) -> None:
    """Look a fix up by its id alone, and give one tenant the answer to another's."""

    def newest(session: Session, customer_id: str, fix_id: str) -> FixAttempt | None:
        paid = select(FixAttempt).where(FixAttempt.fix_id == fix_id, FixAttempt.answer.is_not(None))
        found: FixAttempt | None = genuine(session, customer_id, fix_id)
        return found or session.scalar(paid.limit(1))

    genuine = overlay.replace(charging, "_newest_attempt", newest)


def _forget_fixes(overlay: Overlay, is_forgotten: Callable[[FixAttempt], bool]) -> None:
    """Have fixes that were paid for be paid for again; no rule of the database forbids it."""
    overlay.without_index("uq_fix_attempts_living")
    cause = "uq_credit_transactions_customer_id_source_cause"
    overlay.without_constraint("credit_transactions", cause)

    def newest(session: Session, customer_id: str, fix_id: str) -> Any:
        found: FixAttempt | None = genuine(session, customer_id, fix_id)
        if found is None or found.answer is None or not is_forgotten(found):
            return found
        return FixAttempt(number=found.number, outcome="refused")

    genuine = overlay.replace(charging, "_newest_attempt", newest)
