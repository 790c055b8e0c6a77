"""The ten panels of billing: what sells, what is paid, what is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.levels import level
from dashboards.observables.burn import payment_success_low
from dashboards.observables.model import Observable, Panel, Query, Section, Threshold
from dashboards.observables.queries import increase, quantile_of, rate, reading
from dashboards.observables.vocabulary import BY_PLAN, BY_PLAN_CURRENCY, edges, values
from dashboards.oracles import counted, less, only, per_second, quantile, share

if TYPE_CHECKING:
    from dashboards.objectives import Objectives

_MINUTES_5_S = 300
_TOP = 10
_STAGES = {
    "signup": "1 signed up",
    "billing_added": "2 added billing",
    "payg": "3 pays as they go",
    "pro": "4 on pro",
}
_FIXED = "~credit|charged"


def billing(objectives: Objectives) -> Section:
    """Give the ten panels."""
    return Section(
        "Billing",
        (
            _creation_rate(),
            _payment_success(objectives),
            _revenue(),
            _payment_duration(),
            _usage(),
            _funnel(),
            _failures(),
            _cancellation(),
            _active(),
            _credits(),
        ),
    )


def _creation_rate() -> Observable:
    name = "billing_subscriptions_created_total"
    oracle = counted("subscription_created", BY_PLAN, window_s=_MINUTES_5_S)
    return Observable(
        "subscription_creation_rate",
        "Subscriptions created, per 5 minutes",
        "How many subscriptions were placed in the five minutes before each moment, by plan.",
        Panel("timeseries", "short"),
        (Query(increase(name, "plan", "5m"), "{{plan}}", oracle),),
        "Compare with the funnel and with sign-ups: a fall here alone points at checkout.",
        no_alert="Sales are seldom and seasonal: a silent hour is no fault.",
    )


def _payment_success(objectives: Objectives) -> Observable:
    name = "billing_payments_total"
    paid = increase(name, status="succeeded")
    tried = increase(name, status="~succeeded|failed")
    objective = objectives.payment_success
    return Observable(
        "payment_success",
        "Payment success",
        "The share of attempts to charge that succeeded, over the chosen time.",
        Panel(
            "gauge",
            "percentunit",
            thresholds=(
                Threshold("red"),
                Threshold("yellow", objective),
                Threshold("green", (1 + objective) / 2),
            ),
            minimum=0,
            maximum=1,
            decimals=1,
            no_value="no payments",
        ),
        (
            Query(
                f"{paid} / ({tried} > 0)",
                "success",
                share(
                    counted("payment_processed", where={"status": ("succeeded",)}),
                    counted("payment_processed", where={"status": ("succeeded", "failed")}),
                ),
            ),
        ),
        "Read the failed payments by reason: declines are the customers' banks, processing_error"
        " and authentication_required are ours or the provider's.",
        alerts=(payment_success_low(objectives),),
        is_critical=True,
    )


def _revenue() -> Observable:
    query = f"{reading('billing_revenue_24h_cents', 'plan, currency')} / 100 != 0"
    oracle = level("billing_revenue_24h_cents", BY_PLAN_CURRENCY, scale=0.01)
    return Observable(
        "revenue_by_plan",
        "Revenue by plan, last 24 h",
        "Charges less refunds and disputes of the last 24 hours, in each currency's major unit,"
        " read from the ledger and not from a counter.",
        Panel("piechart", "short", 8, decimals=2, no_value="none"),
        (Query(query, "{{plan}} {{currency}}", only(oracle, bool)),),
        "Where it differs from the provider's own figures, look at the ledger's difference below.",
        no_alert="Revenue has no objective; what must never happen has alerts of its own below.",
        is_critical=True,
    )


def _payment_duration() -> Observable:
    name = "billing_payment_duration_seconds"
    return Observable(
        "payment_duration",
        "Payment duration, p95",
        "The time within which 95 of 100 charges at the provider ended, well or not.",
        Panel("timeseries", "s", 8),
        (
            Query(
                quantile_of(0.95, name),
                "p95",
                quantile(0.95, "payment_timed", "duration_s", edges(name)),
            ),
        ),
        "Look at the provider's status page, then at how many charges are under way at once.",
        no_alert="The share of charges within their objective says it without the noise.",
    )


def _usage() -> Observable:
    oracle = per_second("usage_tracked", BY_PLAN, where={"outcome": ("credit", "charged")})
    return Observable(
        "usage_by_plan",
        "Usage by plan",
        "Fixes per second that were paid for, by a credit or a charge.",
        Panel("timeseries", "ops", 8),
        (Query(rate("billing_usage_fixes_total", "plan", outcome=_FIXED), "{{plan}}", oracle),),
        "A fall of all plans at once is the service or its callers; of one plan, its price rule.",
        no_alert="Usage follows the customers' working day; requests that fail are watched below.",
    )


def _funnel() -> Observable:
    queries = tuple(
        Query(
            f"round({increase('billing_conversions_total', stage=stage)})",
            title,
            counted("customer_converted", where={"stage": (stage,)}),
        )
        for stage, title in _STAGES.items()
    )
    return Observable(
        "conversion_funnel",
        "Conversion funnel",
        "How many customers reached each stage in the chosen time, from sign-up to pro.",
        Panel("bargauge", "short", thresholds=(Threshold("green"),), minimum=0),
        queries,
        "Find the first stage that shrank; sign-ups have a panel of their own below.",
        no_alert="A funnel is a matter of weeks, and nobody mends it at night.",
    )


def _failures() -> Observable:
    name = "billing_payment_failures_total"
    codes = {"failure_code": values(name, "failure_code")}
    counts = counted("payment_processed", codes, where={"status": ("failed",)})
    return Observable(
        "failed_payments",
        "Failed payments by reason",
        "The ten commonest reasons why charges failed in the chosen time, with their counts.",
        Panel("table", "short", no_value="no failed payment"),
        (
            Query(
                f"topk({_TOP}, round({increase(name, 'failure_code')}) > 0)",
                "{{failure_code}}",
                only(counts, bool, most=_TOP),
            ),
        ),
        "processing_error: the provider's status page. A wave of fraudulent or incorrect_cvc:"
        " somebody tries cards, so look at sign-ups.",
        no_alert="Single declines are daily life; their share is what payment success alerts on.",
        is_critical=True,
    )


def _cancellation() -> Observable:
    ended = increase("billing_subscriptions_cancelled_total", customer_segment="~.+")
    cancelled = counted("subscription_cancelled")
    living = level("billing_active_subscriptions")
    return Observable(
        "cancellation_rate",
        "Cancellation rate",
        "Subscriptions that ended in the chosen time, as a share of those that ended or live;"
        " of all segments.",
        Panel(
            "stat",
            "percentunit",
            8,
            thresholds=(Threshold("green"), Threshold("yellow", 0.02), Threshold("red", 0.05)),
            minimum=0,
            decimals=2,
            no_value="no subscriptions",
        ),
        (
            Query(
                f"{ended} / ({reading('billing_active_subscriptions')} + {ended} > 0)",
                "cancelled",
                share(cancelled, less(living, cancelled, and_more=True)),
            ),
        ),
        "Split it by mode: ended at once in number is unpaid invoices or our own job, not churn.",
        no_alert="Churn is decided by people in daylight.",
    )


def _active() -> Observable:
    return Observable(
        "active_subscriptions",
        "Active subscriptions by plan",
        "Subscriptions that have not ended, by plan, read from the database.",
        Panel("timeseries", "short", 8),
        (
            Query(
                reading("billing_active_subscriptions", "plan"),
                "{{plan}}",
                level("billing_active_subscriptions", BY_PLAN),
            ),
        ),
        "A step downwards: look at the cancellation rate and at what was deployed.",
        no_alert="Whether the database can be read at all has an alert of its own.",
        is_critical=True,
    )


def _credits() -> Observable:
    added, consumed = (f"billing_credits_{way}_total" for way in ("added", "consumed"))
    return Observable(
        "credits_flow",
        "Credits added and consumed",
        "Credits granted or bought, and credits used, per second.",
        Panel("timeseries", "ops", 8),
        (
            Query(rate(added), "added", per_second("credits_added", amount="units")),
            Query(
                rate(consumed),
                "consumed",
                per_second("credits_consumed", amount="units"),
            ),
        ),
        "More consumed than ever added cannot be: compare with credits outstanding below.",
        no_alert="What customers have left is on the ledger, whose difference alerts.",
    )
