"""A day of a small billing service as facts, and the series that telemetry makes of them.

Every five minutes the same things happen, each another number of times, so that each wrong label or
window gives another sum. The series come from the real `BillingTelemetry`; the gauges from the
definition of what the database would say. The truth is told by the oracles, from the facts alone.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from dashboards.facts import Fact, Facts, Moment
from dashboards.levels import LEVELS
from dashboards.observables.alerts import selector
from dashboards.observables.model import Series
from harness.metrics import CATALOGUE, BillingTelemetry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dashboards.oracles import Labels

STEP_S = 300
STEPS = 312
INTERVAL_S = STEP_S // 2
"""Between two samples: the shortest window must hold two, also where it is open to the left."""
SAMPLES = 2 * STEPS
MOMENT = Moment(end_s=STEP_S * STEPS, range_s=86_400, rate_s=4 * STEP_S)
_NOT_TOLD = frozenset({"webhook_stored", "credits_expired"})
_STUCK_FROM_STEP = 300
_BIG = "cust_big"
_SELF, _MARKET = "self_serve", "marketplace"


def _cycle() -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Give what happens every five minutes: how often, the event, and its fields."""
    pro: dict[str, Any] = {"plan": "pro", "customer_segment": _MARKET}
    payg: dict[str, Any] = {"plan": "payg", "customer_segment": _SELF}
    dollars: dict[str, Any] = {"currency": "usd", "payment_method": "card"}
    paid: dict[str, Any] = {"status": "succeeded", **dollars}
    yield 4, "subscription_created", {**pro, "status": "active", "amount_minor": 59900, **dollars}
    yield 2, "subscription_created", {**pro, "status": "trialing", "amount_minor": 59900, **dollars}
    yield 1, "subscription_created", {**payg, "status": "incomplete", "amount_minor": 900}
    yield 1, "subscription_cancelled", {**pro, "mode": "period_end"}
    yield 2, "subscription_renewed", pro
    yield 3, "payment_processed", {**pro, **paid, "amount_minor": 59900, "cause": "in_1"}
    yield 9, "payment_processed", {**payg, **paid, "amount_minor": 2900, "cause": "fix_1"}
    yield 5, "payment_processed", {**payg, **paid, "amount_minor": 1500, "customer": _BIG}
    yield 1, "payment_processed", {**pro, **paid, "amount_minor": 41000, "currency": "eur"}
    yield 1, "payment_processed", {**payg, **paid, "status": "refunded", "amount_minor": 2900}
    yield 1, "payment_processed", {**pro, **paid, "status": "disputed", "amount_minor": 700}
    yield 2, "payment_processed", {"status": "failed", "failure_code": "insufficient_funds"}
    yield 1, "payment_processed", {"status": "failed", "failure_code": "processing_error"}
    yield from ((n, "payment_timed", {"duration_s": s}) for n, s in ((15, 0.15), (4, 0.4), (2, 3)))
    yield from ((n, "subscription_timed", {"duration_s": s}) for n, s in ((6, 0.3), (1, 0.8)))
    yield 3, "invoice_paid", {"amount_minor": 59900, "currency": "usd"}
    yield 4, "first_invoice_paid", {"amount_minor": 59900, "currency": "usd"}
    yield 1, "invoice_failed", {}
    yield from _usage(payg)
    yield 6, "credits_added", {"source": "purchased", "units": 60}
    yield 1, "credits_added", {"source": "trial_signup", "units": 5}
    yield 7, "credits_consumed", {"plan": "pro", "units": 1}
    yield 1, "credits_expired", {"units": 3}
    for count, stage in ((8, "signup"), (5, "billing_added"), (3, "payg"), (2, "pro")):
        yield count, "customer_converted", {"stage": stage, "source": "direct"}
    signed_up = {"source": "direct", "result": "succeeded", "duration_s": 0.3}
    yield 8, "customer_onboarded", signed_up
    yield 2, "customer_onboarded", {**signed_up, "source": "gh_marketplace", "duration_s": 2}
    yield 1, "customer_onboarded", {**signed_up, "result": "refused", "duration_s": 0.02}
    yield from _requests()


def _usage(payg: dict[str, Any]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    used: dict[str, Any] = {"resource_type": "repository", "quantity": 1, "currency": "usd"}
    fix: dict[str, Any] = {**payg, **used, "outcome": "charged", "amount_minor": 2900}
    yield 9, "usage_tracked", {**fix, "cause": "fix_1"}
    yield 5, "usage_tracked", {**fix, "amount_minor": 1500, "customer": _BIG}
    yield 7, "usage_tracked", {**fix, "plan": "pro", "outcome": "credit", "quantity": 3}
    yield 3, "usage_tracked", {**fix, "plan": "trial", "outcome": "refused"}


def _requests() -> Iterator[tuple[int, str, dict[str, Any]]]:
    done = ("2xx", "4xx", "5xx")
    for count, operation, duration_s, status in (
        (20, "record_usage", 0.03, 0), (2, "record_usage", 0.15, 0), (1, "record_usage", 0.7, 2),
        (12, "get_balance", 0.008, 0), (3, "get_balance", 0.07, 0), (5, "subscribe", 0.3, 1),
    ):  # fmt: skip
        told = {"operation": operation, "duration_s": duration_s, "status_class": done[status]}
        yield count, "request_served", told
    for count, kind, result, duration_s in (
        (10, "invoice.paid", "processed", 0.04), (3, "charge.refunded", "processed", 0.15),
        (2, "invoice.paid", "failed", 0.9), (4, "other", "ignored", 0.004),
    ):  # fmt: skip
        told = {"type": kind, "result": result, "duration_s": duration_s}
        yield count, "webhook_handled", told


@cache
def facts() -> Facts:
    """Give everything that happened, a full report of a pipeline's last run among it."""
    from dashboards.promtest.audited import AUDIT
    from dashboards.promtest.run import LOAD, MATRIX, REPORT

    found = []
    for step in range(1, STEPS + 1):
        for position, (count, event, fields) in enumerate(_cycle()):
            found += [
                Fact(event, step * STEP_S, _own(fields, step, position, n)) for n in range(count)
            ]
    stuck_s = _STUCK_FROM_STEP * STEP_S
    found += [Fact("webhook_stored", stuck_s), Fact("webhook_stored", stuck_s + STEP_S)]
    return Facts(tuple(found), REPORT, LOAD, MATRIX, AUDIT)


def _own(fields: dict[str, Any], step: int, position: int, number: int) -> dict[str, Any]:
    """Give each its own cause and customer; the first of `fix_1` is charged twice at each step."""
    cause = fields.get("cause")
    which = max(number, 1) if cause == "fix_1" else number
    own = f"{step}.{which}" if cause else f"{step}.{position}.{number}"
    return {"customer": "other", **fields, "cause": f"{cause or 'none'}.{own}"}


@cache
def series() -> tuple[Series, ...]:
    """Give every series of the service for the whole story, a second instance's gauges too."""
    return (*_counted(), *_levels())


def _counted() -> Iterator[Series]:
    """Give what telemetry counts: the same again at each step, so that one cycle tells all."""
    telemetry = BillingTelemetry(watched=[_BIG])
    for count, event, fields in _cycle():
        for _ in range(count if event not in _NOT_TOLD else 0):
            telemetry.record(event, **fields)
    shown: set[tuple[str, str, str]] = set()
    samples = list(_samples(telemetry))
    for number, (name, labels, value) in enumerate(sorted(samples, key=lambda s: not s[2])):
        # Of what stays at 0, one series for each value of a label is enough.
        fresh = {(name, *pair) for pair in labels} - shown
        if value or fresh or not labels:
            shown |= fresh
            # Each has counted something else before, which no window may show.
            before = 1000 + 37 * number if value else 0
            yield _series(name, labels, "a", f"{before}+{value / 2:.15g}x{SAMPLES}")


def _samples(telemetry: BillingTelemetry) -> Iterator[tuple[str, Labels, float]]:
    body, _ = telemetry.exposition()
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            if family.type != "gauge" and not sample.name.endswith("_created"):
                yield sample.name, tuple(sample.labels.items()), sample.value


def _levels() -> Iterator[Series]:
    """Give each gauge as it is at the end; before, it is 0, so that no average passes for it."""
    for name, gauge in LEVELS.items():
        found = gauge.read(facts(), MOMENT.end_s)
        for values in CATALOGUE[name].combinations():
            labels = tuple(zip(CATALOGUE[name].labels, values, strict=True))
            value = found.get(tuple(sorted(labels)), 0.0)
            if value or not labels:
                for instance in "ab":
                    yield _series(name, labels, instance, f"0+0x{SAMPLES - 1} {value:.15g}")


def _series(name: str, labels: Labels, instance: str, values: str) -> Series:
    own = (("job", "billing"), ("instance", f"{instance}:8000"))
    return Series(selector(name, (*own, *labels)), values)
