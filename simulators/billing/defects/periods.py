"""Mistakes about time and about the end of paying: periods, cancellation, dunning."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from simulators.billing import ledger
from simulators.billing.defects.catalogue import defect
from simulators.billing.domain import plans
from simulators.billing.operations import accounts, invoicing, reports, subscriptions
from simulators.billing.stripe_gateway import facts
from simulators.billing.stripe_gateway.subscriptions import SubscriptionCalls

if TYPE_CHECKING:
    import stripe
    from sqlalchemy.orm import Session

    from simulators.billing.core import Core
    from simulators.billing.defects.overlay import Overlay
    from simulators.billing.storage.tables import CreditTransaction, Customer, Subscription
    from simulators.billing.stripe_gateway.facts import SubscriptionFacts

_OFFICE = ZoneInfo("America/New_York")


@defect(
    "renewals-stop-on-the-31st",
    "time",
    breaks=8,
    found_by=("invoices_grant_once", "test_a_subscription_of_the_31st_renews_at_each_months_end"),
)
def renewals_stop_on_the_31st(overlay: Overlay) -> None:
    """Look for the same day of the next month, and skip the renewal where there is none."""

    def grant(core: Core, session: Session, customer: Customer, paid: Any, now: int) -> int:
        start = datetime.fromtimestamp(paid.invoice.period_start, UTC)
        try:
            start.replace(month=start.month % 12 + 1)
        except ValueError:
            return 0
        units: int = genuine(core, session, customer, paid, now)
        return units

    genuine = overlay.replace(invoicing, "_grant", grant)


@defect(
    "period-end-by-the-office-clock",
    "time",
    breaks=8,
    found_by=("test_a_period_ends_when_the_provider_says",),
)
def period_end_by_the_office_clock(overlay: Overlay) -> None:
    """Work a period's end out by local time, an hour off where the clocks change within it."""

    def read(found: stripe.Subscription) -> SubscriptionFacts:
        told: SubscriptionFacts = genuine(found)
        start = datetime.fromtimestamp(told.current_period_start, _OFFICE)
        days = round((told.current_period_end - told.current_period_start) / 86_400)
        # Adding days to a local time keeps the hour that the clock shows, across a change too.
        end = int((start + timedelta(days=days)).timestamp())
        scheduled = end if told.ends_at == told.current_period_end else told.ends_at
        return replace(told, current_period_end=end, ends_at=scheduled)

    genuine = overlay.replace(facts, "subscription", read)


@defect(
    "local-time-shown-as-utc",
    "time",
    breaks=10,
    found_by=("test_an_entry_is_dated_when_it_was_made",),
)
def local_time_shown_as_utc(overlay: Overlay) -> None:
    """Date entries by the office's clock without its zone, which readers take for UTC."""

    def view(row: CreditTransaction) -> dict[str, Any]:
        shown: dict[str, Any] = genuine(row)
        local = datetime.fromtimestamp(row.created_at, _OFFICE).replace(tzinfo=UTC)
        return {**shown, "created_at": int(local.timestamp())}

    genuine = overlay.replace(reports, "transaction_view", view)


@defect(
    "month-by-the-office-clock",
    "time",
    breaks=10,
    found_by=("test_the_last_hours_of_a_month_count_in_it",),
)
def month_by_the_office_clock(overlay: Overlay) -> None:
    """Begin the month of usage at local midnight, so its first hours count in the month before."""

    def month(now: int) -> tuple[int, int]:
        local = datetime.fromtimestamp(now, _OFFICE).replace(tzinfo=UTC)
        bounds: tuple[int, int] = genuine(int(local.timestamp()))
        naive = (datetime.fromtimestamp(each, UTC).replace(tzinfo=_OFFICE) for each in bounds)
        start, end = (int(each.timestamp()) for each in naive)
        return start, end

    genuine = overlay.replace(reports, "month_of", month)


@defect(
    "scheduled-end-takes-the-plan-at-once",
    "time",
    breaks=8,
    found_by=("test_a_scheduled_end_keeps_the_plan_until_then",),
)
def scheduled_end_takes_the_plan_at_once(overlay: Overlay) -> None:
    """Take the plan's prices away when the end is scheduled, though the period is paid for."""

    def apply(
        record: Subscription, customer: Customer, found: SubscriptionFacts, *, is_pro: bool
    ) -> None:
        genuine(record, customer, found, is_pro=is_pro and not found.cancel_at_period_end)

    genuine = overlay.replace(subscriptions, "_apply", apply)


@defect(
    "cancelled-subscription-bills-on",
    "time",
    breaks=8,
    found_by=("test_a_cancellation_at_the_end_of_the_period_stops_the_next",),
)
def cancelled_subscription_bills_on(overlay: Overlay) -> None:
    """Note a cancellation in the own books and never tell Stripe, which charges on."""

    def cancel(self: SubscriptionCalls, stripe_id: str, *, scheduled: bool) -> SubscriptionFacts:
        if not scheduled:
            resumed: SubscriptionFacts = genuine(self, stripe_id, scheduled=False)
            return resumed
        found = self.get(stripe_id)
        return replace(found, cancel_at_period_end=True, ends_at=found.current_period_end)

    genuine = overlay.replace(SubscriptionCalls, "cancel_at_period_end", cancel)


@defect(
    "past-due-never-ends",
    "dunning",
    breaks=8,
    found_by=("test_a_debt_that_is_never_paid_ends_the_plan",),
)
def past_due_never_ends(overlay: Overlay) -> None:
    """Leave a subscription past due for ever, since its end is expected from `active` alone."""

    def apply(
        record: Subscription, customer: Customer, found: SubscriptionFacts, *, is_pro: bool
    ) -> None:
        if record.status == "past_due" and plans.has_ended(found.status):
            return
        genuine(record, customer, found, is_pro=is_pro)

    genuine = overlay.replace(subscriptions, "_apply", apply)


@defect(
    "paid-plans-prices-after-the-end",
    "dunning",
    breaks=8,
    found_by=(
        "test_after_cancelling_at_once_usage_costs_the_payg_rate",
        "test_a_debt_that_is_never_paid_ends_the_plan",
    ),
)
def paid_plans_prices_after_the_end(overlay: Overlay) -> None:
    """Keep the paid plan's lower prices for whoever's subscription has ended."""

    def plan(status: str, before: str) -> str:
        found: str = genuine(status, before)
        return before if before == "pro" else found

    genuine = overlay.replace(plans, "plan_under", plan)


@defect(
    "old-debt-forgotten",
    "dunning",
    breaks=2,
    found_by=("test_what_is_owed_is_taken_from_the_next_grant",),
)
def old_debt_forgotten(overlay: Overlay) -> None:
    """Grant a new subscription's units whole, whatever is still owed from before."""

    def take(_session: Session, _grant: CreditTransaction, _at: int) -> None:
        """Leave the debt where it is."""

    overlay.replace(ledger, "_take_debt", take)


@defect(
    "past-due-shown-as-active",
    "dunning",
    breaks=10,
    found_by=("test_a_failed_renewal_is_shown_as_past_due",),
)
def past_due_shown_as_active(overlay: Overlay) -> None:
    """Show whoever has an account as active, so that nobody is told that a payment failed."""

    def status(session: Session, customer: Customer) -> str:
        found: str = genuine(session, customer)
        return "active" if found == "past_due" else found

    genuine = overlay.replace(accounts, "status", status)
