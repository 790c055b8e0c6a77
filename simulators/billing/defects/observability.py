"""Mistakes by which metrics say other than what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from harness.metrics import BillingTelemetry
from simulators.billing import events
from simulators.billing.defects.catalogue import defect
from simulators.billing.http import telling
from simulators.billing.operations import gauges
from simulators.billing.storage.tables import Invoice
from simulators.billing.worker import loop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session
    from starlette.types import Scope

    from simulators.billing.defects.overlay import Overlay
    from simulators.billing.events import Fields
    from simulators.billing.operations.gauges import Reading
    from simulators.billing.storage.database import Database

_ERROR = 400


@defect(
    "success-counted-before-the-commit",
    "observability",
    breaks=10,
    found_by=("test_what_is_rolled_back_is_not_counted",),
)
def success_counted_before_the_commit(overlay: Overlay) -> None:
    """Count what is about to be committed, whether or not it then is."""

    def tell(session: Session, row: object, was: Fields | None) -> Iterator[tuple[str, Fields]]:
        telemetry = listener(session)
        for name, fields in genuine(session, row, was):
            if telemetry is not None:
                telemetry.record(name, **fields)
        yield from ()

    listener: Any = vars(events)["_listener"]
    genuine = overlay.replace(events, "_events", tell)


@defect(
    "failures-counted-as-unknown",
    "observability",
    breaks=10,
    found_by=("test_a_decline_is_counted_by_its_reason",),
)
def failures_counted_as_unknown(overlay: Overlay) -> None:
    """Count every failed payment under the reason `unknown`."""

    def tell(database: Database, name: str, **fields: object) -> None:
        fields.pop("failure_code", None)
        genuine(database, name, **fields)

    genuine = overlay.replace(events, "tell", tell)


@defect(
    "failed-effect-counted-as-processed",
    "observability",
    breaks=10,
    found_by=("test_an_event_whose_effect_fails_is_counted_as_failed",),
)
def failed_effect_counted_as_processed(overlay: Overlay) -> None:
    """Count an event as processed when it was taken up, also when its effect failed."""
    overlay.replace_item(vars(loop)["_RESULTS"], "pending", "processed")


@defect(
    "revenue-metric-renamed",
    "observability",
    breaks=10,
    found_by=("test_revenue_counted_is_money_charged",),
)
def revenue_metric_renamed(overlay: Overlay) -> None:
    """Tell revenue under a new name, while panels and alerts read zero under the old one."""

    def exposition(self: BillingTelemetry, accept: str = "") -> tuple[bytes, str]:
        body, kind = genuine(self, accept)
        return body.replace(b"billing_revenue_cents", b"billing_revenue_minor"), kind

    genuine = overlay.replace(BillingTelemetry, "exposition", exposition)


@defect(
    "errors-missing-from-the-latency",
    "observability",
    breaks=10,
    found_by=("test_every_request_is_in_the_latency",),
)
def errors_missing_from_the_latency(overlay: Overlay) -> None:
    """Observe how long requests took that went well, and no others."""

    def tell(scope: Scope, status: int | None, duration_s: float) -> None:
        if status is not None and status < _ERROR:
            genuine(scope, status, duration_s)

    genuine = overlay.replace(telling, "tell_request", tell)


@defect(
    "double-charges-uncounted",
    "observability",
    breaks=10,
    found_by=("test_a_double_charge_is_counted",),
)
def double_charges_uncounted(overlay: Overlay) -> None:
    """Count a second charge for one fix as a repeat of the first, so that the alert stays quiet."""

    def none(_: Session) -> float:
        return 0.0

    overlay.replace(gauges, "_duplicates", none)


@defect(
    "revenue-of-who-is-locked-out",
    "observability",
    breaks=10,
    found_by=("test_an_unpaid_invoice_is_no_revenue",),
)
def revenue_of_who_is_locked_out(overlay: Overlay) -> None:
    """Count an invoice as revenue when it is due, also where nobody ever pays it."""

    def revenue(session: Session, since: int) -> Iterator[Reading]:
        yield from genuine(session, since)
        due = select(Invoice.currency, func.sum(Invoice.amount_due_minor))
        unpaid = due.where(Invoice.status != "paid", Invoice.created_at > since)
        for currency, cents in session.execute(unpaid.group_by(Invoice.currency)):
            yield {"plan": "pro", "currency": currency}, float(cents)

    genuine = overlay.replace(gauges, "_revenue", revenue)
