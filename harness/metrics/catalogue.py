"""Every metric of a billing service, and what each event does to them: data, and nothing else.

Names and units follow Prometheus' practice: base units, `_total` for counters. Every label has a
declared, small set of values.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Kind = Literal["counter", "histogram", "gauge"]
Labels: TypeAlias = "Mapping[str, tuple[str, ...]]"

UNKNOWN = "unknown"
OTHER = "other"
SEGMENTS = ("self_serve", "marketplace")
WATCHED_MAX = 20
BUILD_INFO = "billing_build_info"

_PLAN = ("trial", "payg", "pro", UNKNOWN)
_SOURCE = ("direct", "gh_marketplace", UNKNOWN)
_CURRENCY = ("usd", "eur", "gbp", OTHER, UNKNOWN)
_PAYMENT = ("succeeded", "failed", "refunded", "disputed", UNKNOWN)
_METHOD = ("card", "link", "us_bank_account", "sepa_debit", OTHER, UNKNOWN)
_CREDIT = (
    *("trial_signup", "trial_billing_added", "pro_subscription_payment", "purchased"),
    *("adjustment", OTHER, UNKNOWN),
)
_FAILURE = (
    *("card_declined", "generic_decline", "insufficient_funds", "expired_card", "incorrect_cvc"),
    *("lost_card", "stolen_card", "do_not_honor", "fraudulent", "processing_error"),
    *("authentication_required", OTHER, UNKNOWN),
)
_EVENT = (
    *("invoice.paid", "invoice.payment_succeeded", "invoice.payment_failed"),
    *("customer.subscription.created", "customer.subscription.updated"),
    *("customer.subscription.deleted", "charge.refunded", "charge.dispute.created", OTHER, UNKNOWN),
)
_RESULT = ("processed", "failed", "waiting", "duplicate", "ignored", "invalid_signature", UNKNOWN)
_STATUS = ("incomplete", "trialing", "active", "past_due", "canceled", "unpaid", OTHER, UNKNOWN)
_OPERATION = (
    *("create_customer", "get_customer", "close_customer", "get_subscription"),
    *("add_payment_method", "list_payment_methods", "remove_payment_method", "set_plan"),
    *("subscribe", "change_subscription", "resume_subscription", "cancel_subscription"),
    *("record_usage", "get_balance", "list_ledger", "list_payments", "list_invoices"),
    *("refund_payment", "adjust_credits", "create_key", "rotate_key", "revoke_key"),
    *("exchange_credentials", "receive_webhook", OTHER, UNKNOWN),
)
_ONBOARDED = ("succeeded", "refused", "unavailable", "failed", UNKNOWN)

# Edges stand at the service objectives: fix 100 ms, charge 500 ms, usage summary 50 ms,
# webhook 200 ms.
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)
_DOLLARS = (1.0, 5.0, 15.0, 50.0, 100.0, 500.0, 1000.0)
_UNITS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 600.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what it is called, what it means, and every value its labels can have."""

    name: str
    kind: Kind
    help: str
    labels: Labels = field(default_factory=lambda: MappingProxyType({}))
    buckets: tuple[float, ...] = ()

    @property
    def series_max(self) -> int:
        """Give the number of label combinations that there can ever be."""
        return math.prod(len(values) for values in self.labels.values())

    def combinations(self) -> Iterator[tuple[str, ...]]:
        """Give every combination of label values."""
        return itertools.product(*self.labels.values())

    def tags(self, fields: Mapping[str, object]) -> tuple[str, ...]:
        """Give the label values for an event's fields; what is not declared falls back."""
        return tuple(_tag(fields.get(name), values) for name, values in self.labels.items())


def _tag(value: object, allowed: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in allowed:
        return value
    # A customer who is not watched is not unknown: every one belongs to the sum.
    if OTHER in allowed and (UNKNOWN not in allowed or (isinstance(value, str) and value)):
        return OTHER
    return UNKNOWN


def catalogue(
    segments: Sequence[str] = SEGMENTS,
    watched: Sequence[str] = (),
    *,
    version: str = UNKNOWN,
    commit: str = UNKNOWN,
) -> Mapping[str, Metric]:
    """Give every metric by name; `segments` and `watched` customers are an owner's to declare.

    So are `version` and `commit`, of which a process has one each.
    """
    if len(watched) > WATCHED_MAX:
        raise ValueError(f"at most {WATCHED_MAX} customers can be watched")
    segment = tuple(dict.fromkeys((*segments, UNKNOWN)))
    customer = tuple(dict.fromkeys((*watched, OTHER)))
    build = {"version": (version or UNKNOWN,), "commit": (commit or UNKNOWN,)}
    info = Metric(BUILD_INFO, "gauge", "What was deployed: always 1.", MappingProxyType(build))
    found = (*_counters(segment), *_watched(customer), *_distributions(), *_gauges(), info)
    return MappingProxyType({metric.name: metric for metric in found})


def _counters(segment: tuple[str, ...]) -> Iterator[Metric]:
    def counter(name: str, text: str, **labels: tuple[str, ...]) -> Metric:
        return Metric(f"billing_{name}_total", "counter", text, MappingProxyType(labels))

    by: dict[str, tuple[str, ...]] = {"customer_segment": segment}
    mode = ("at_once", "period_end", UNKNOWN)
    stage = ("signup", "billing_added", "payg", "pro", UNKNOWN)
    resource = ("repository", "unspecified", UNKNOWN)
    outcome = ("credit", "charged", "refused", UNKNOWN)
    yield counter(
        "subscriptions_created", "Subscriptions placed.", plan=_PLAN, status=_STATUS, **by
    )
    yield counter("subscriptions_renewed", "Renewals that were paid.", plan=_PLAN, **by)
    yield counter("subscriptions_cancelled", "Subscriptions ended.", plan=_PLAN, mode=mode, **by)
    yield counter("payments", "Movements of money.", status=_PAYMENT, payment_method=_METHOD, **by)
    yield counter("payment_failures", "Charges that failed, by reason.", failure_code=_FAILURE)
    yield counter("invoices", "Invoices settled.", status=("paid", "failed", UNKNOWN))
    yield counter(
        "usage_fixes",
        "Fixes asked for, by what became of them.",
        plan=_PLAN,
        outcome=outcome,
        resource_type=resource,
        **by,
    )
    yield counter("credits_added", "Credits granted or bought.", source=_CREDIT)
    yield counter("credits_consumed", "Credits used.", plan=_PLAN)
    yield counter("conversions", "Customers reaching a stage.", stage=stage, source=_SOURCE)
    yield counter(
        "webhook_events", "Events of the provider, by what became of them.",
        type=_EVENT, result=_RESULT,
    )  # fmt: skip
    yield counter("revenue_cents", "Money charged, gross.", plan=_PLAN, currency=_CURRENCY)
    yield counter("onboardings", "Sign-ups.", source=_SOURCE, result=_ONBOARDED)
    yield counter(
        "telemetry_errors", "Amounts or events that made no sense.", event=(*EFFECTS, UNKNOWN)
    )


def _watched(customer: tuple[str, ...]) -> Iterator[Metric]:
    def counter(name: str, text: str, **labels: tuple[str, ...]) -> Metric:
        told = MappingProxyType({"customer": customer, **labels})
        return Metric(f"billing_watched_{name}_total", "counter", text, told)

    yield counter("fixes", "Fixes, by watched customer.", outcome=("credit", "charged", "refused", UNKNOWN))  # noqa: E501  # fmt: skip  # one fact
    yield counter("payments", "Movements of money, by watched customer.", status=_PAYMENT)
    yield counter("revenue_cents", "Money charged, by watched customer.", currency=_CURRENCY)


def _distributions() -> Iterator[Metric]:
    def distribution(
        name: str, text: str, buckets: tuple[float, ...], **labels: tuple[str, ...]
    ) -> Metric:
        told = MappingProxyType(labels)
        return Metric(f"billing_{name}", "histogram", text, told, buckets)

    money = {"currency": _CURRENCY}
    classes = ("2xx", "3xx", "4xx", "5xx", UNKNOWN)
    yield distribution("payment_amount_dollars", "Charges, in major units.", _DOLLARS, **money)
    yield distribution("payment_duration_seconds", "Charging at the provider.", _SECONDS)
    yield distribution(
        "subscription_amount_dollars", "First invoices, in major units.", _DOLLARS, **money
    )
    yield distribution("subscription_creation_duration_seconds", "Subscribing.", _SECONDS)
    yield distribution("invoice_amount_dollars", "Paid invoices.", _DOLLARS, **money)
    yield distribution("usage_quantity", "Units in one record of usage.", _UNITS, plan=_PLAN)
    yield distribution("credits_amount", "Credits in one grant.", _UNITS, source=_CREDIT)
    yield distribution(
        "webhook_processing_duration_seconds", "Giving an event its effect.", _SECONDS, type=_EVENT
    )
    yield distribution("onboarding_duration_seconds", "Signing up.", _SECONDS)
    yield distribution(
        *("request_duration_seconds", "Answering a request.", _SECONDS),
        operation=_OPERATION,
        status_class=classes,
    )


def _gauges() -> Iterator[Metric]:
    def gauge(name: str, text: str, **labels: tuple[str, ...]) -> Metric:
        return Metric(f"billing_{name}", "gauge", text, MappingProxyType(labels))

    kinds = ("charge", "refund", "dispute", UNKNOWN)
    yield gauge("active_subscriptions", "Subscriptions that have not ended.", plan=_PLAN)
    yield gauge("credits_outstanding", "Credits that customers have left.")
    yield gauge("ledger_cents", "Sum of the payments.", kind=kinds, currency=_CURRENCY)
    yield gauge("revenue_24h_cents", "Charges less what went back, of the last 24 hours.",
                plan=_PLAN, currency=_CURRENCY)  # fmt: skip
    yield gauge("reconciliation_difference_cents", "What was paid, less what the books say.")
    yield gauge("duplicate_charges", "Charges beyond the first for one fix or invoice.")
    yield gauge("webhook_backlog", "Events stored and still owed their effect.")
    yield gauge("webhook_oldest_age_seconds", "Age of the oldest such event.")
    yield gauge("database_up", "Whether the gauges could be read from the database (1) or not (0).")


@dataclass(frozen=True, slots=True)
class Effect:
    """What an event does to a metric: counts one, or adds or observes the amount in a field."""

    metric: str
    amount: str | None = None
    scale: float = 1.0
    fixed: tuple[tuple[str, str], ...] = ()
    only: tuple[str, str] | None = None


_PAID, _FAILED = ("status", "succeeded"), ("status", "failed")
_CENT = 0.01
EFFECTS: Mapping[str, tuple[Effect, ...]] = MappingProxyType(
    {
        "subscription_created": (
            Effect("billing_subscriptions_created_total"),
            Effect("billing_subscription_amount_dollars", "amount_minor", _CENT),
            Effect("billing_subscription_creation_duration_seconds", "duration_s"),
        ),
        "first_invoice_paid": (
            Effect("billing_subscription_amount_dollars", "amount_minor", _CENT),
        ),
        "subscription_renewed": (Effect("billing_subscriptions_renewed_total"),),
        "subscription_cancelled": (Effect("billing_subscriptions_cancelled_total"),),
        "payment_processed": (
            Effect("billing_payments_total"),
            Effect("billing_watched_payments_total"),
            Effect("billing_payment_failures_total", only=_FAILED),
            Effect("billing_revenue_cents_total", "amount_minor", only=_PAID),
            Effect("billing_watched_revenue_cents_total", "amount_minor", only=_PAID),
            Effect("billing_payment_amount_dollars", "amount_minor", _CENT, only=_PAID),
            Effect("billing_payment_duration_seconds", "duration_s"),
        ),
        "invoice_paid": (
            Effect("billing_invoices_total", fixed=(("status", "paid"),)),
            Effect("billing_invoice_amount_dollars", "amount_minor", _CENT),
        ),
        "invoice_failed": (Effect("billing_invoices_total", fixed=(("status", "failed"),)),),
        "usage_tracked": (
            Effect("billing_usage_fixes_total"),
            Effect("billing_watched_fixes_total"),
            Effect("billing_usage_quantity", "quantity"),
        ),
        "credits_added": (
            Effect("billing_credits_added_total", "units"),
            Effect("billing_credits_amount", "units"),
        ),
        "credits_consumed": (Effect("billing_credits_consumed_total", "units"),),
        "payment_timed": (Effect("billing_payment_duration_seconds", "duration_s"),),
        "subscription_timed": (
            Effect("billing_subscription_creation_duration_seconds", "duration_s"),
        ),
        "customer_converted": (Effect("billing_conversions_total"),),
        "customer_onboarded": (
            Effect("billing_onboardings_total"),
            Effect("billing_onboarding_duration_seconds", "duration_s"),
        ),
        "webhook_handled": (
            Effect("billing_webhook_events_total"),
            Effect("billing_webhook_processing_duration_seconds", "duration_s"),
        ),
        "request_served": (Effect("billing_request_duration_seconds", "duration_s"),),
    }
)
"""Every event, and what it does; its fields have the names of the labels that they fill."""

CATALOGUE: Mapping[str, Metric] = catalogue()
"""Every metric, with the segments declared by default and nobody watched."""
