"""What the service does for its callers: objectives, the error budget, sign-ups, amounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.observables.model import Observable, Panel, Query, Section, Threshold
from dashboards.observables.queries import (
    increase,
    rate,
    share_within,
)
from dashboards.observables.vocabulary import (
    CHARGE_EDGE_S,
    FIX_EDGE_S,
    SUMMARY_EDGE_S,
)
from dashboards.oracles import (
    STRETCHED,
    Oracle,
    counted,
    per_second,
    share,
    within,
)

if TYPE_CHECKING:
    from dashboards.facts import Facts, Moment
    from dashboards.objectives import Objectives
    from dashboards.oracles import Truth

_REQUESTS = "billing_request_duration_seconds"
_DAYS_30_S = 30 * 86_400
_SUCCEEDED = {"status": ("succeeded",)}


def service(objectives: Objectives) -> Section:
    """Give the panels of what callers feel."""
    return Section(
        "Service objectives",
        (
            _objective(
                ("fix_tracking", "Fix tracking within 100 ms", "record_usage"),
                FIX_EDGE_S,
                objectives.fix_share,
            ),
            _charge(objectives),
            _objective(
                ("usage_summary", "Usage summary within 50 ms", "get_balance"),
                SUMMARY_EDGE_S,
                objectives.summary_share,
            ),
            _requests(),
            _errors(),
            _budget(objectives),
        ),
    )


def _share_panel(objective: float) -> Panel:
    middle = (1 + objective) / 2
    lines = (Threshold("red"), Threshold("yellow", objective), Threshold("green", middle))
    return Panel("gauge", "percentunit", 8, lines, 0, 1, 2, no_value="no requests")


def _objective(names: tuple[str, str, str], edge_s: float, objective: float) -> Observable:
    key, title, operation = names
    return Observable(
        key,
        title,
        f"The share of `{operation}` requests answered within {edge_s * 1000:g} ms; the objective"
        f" is {objective:g}. The limit is an edge of the histogram, so the share is exact.",
        _share_panel(objective),
        (
            Query(
                share_within(_REQUESTS, edge_s, operation=operation),
                "within",
                within(
                    *("request_served", "duration_s", edge_s),
                    where={"operation": (operation,)},
                ),
            ),
        ),
        "Compare with the other objectives: all at once is the database or the machine.",
        no_alert="A slow answer is a daytime matter; an answer that fails or charges wrongly"
        " alerts.",
    )


def _charge(objectives: Objectives) -> Observable:
    name = "billing_payment_duration_seconds"
    return Observable(
        "charge_time",
        "Charges within 500 ms",
        "The share of charges at the provider that ended within 500 ms, well or not; the objective"
        f" is {objectives.charge_share:g}.",
        _share_panel(objectives.charge_share),
        (
            Query(
                share_within(name, CHARGE_EDGE_S),
                "within",
                within("payment_timed", "duration_s", CHARGE_EDGE_S),
            ),
        ),
        "The provider's status page, then the network between it and the service.",
        no_alert="The provider's slowness is not ours to mend at night; failed payments alert.",
    )


def _requests() -> Observable:
    seen = ("2xx", "4xx", "5xx")
    return Observable(
        "requests",
        "Requests by class of answer",
        "Requests per second, by the class of their answer's status.",
        Panel("timeseries", "reqps"),
        (
            Query(
                rate(f"{_REQUESTS}_count", "status_class", status_class="~2xx|4xx|5xx"),
                "{{status_class}}",
                per_second("request_served", {"status_class": seen}),
            ),
        ),
        "A wave of 4xx is a caller's mistake or an attack: look at the addresses in the log.",
        no_alert="Their share that fails is the next panel.",
    )


def _errors() -> Observable:
    count = f"{_REQUESTS}_count"
    query = f"{increase(count, status_class='5xx')} / ({increase(count)} > 0)"
    return Observable(
        "request_errors",
        "Requests that failed",
        "The share of requests that the service answered with a 5xx.",
        Panel(
            *("stat", "percentunit"),
            thresholds=(Threshold("green"), Threshold("yellow", 0.001), Threshold("red", 0.01)),
            minimum=0,
            maximum=1,
            decimals=2,
            no_value="no requests",
        ),
        (
            Query(
                query,
                "5xx",
                share(
                    counted("request_served", where={"status_class": ("5xx",)}),
                    counted("request_served"),
                ),
            ),
        ),
        "Which operation? Then the log's error, and the last deployment's mark on the panels.",
        no_alert="The load balancer sees more of it, and alerts; here money is watched.",
    )


def _budget(objectives: Objectives) -> Observable:
    budget = 1 - objectives.payment_success
    name = "billing_payments_total"
    failed = increase(name, window="30d", status="failed")
    tried = increase(name, window="30d", status="~succeeded|failed")
    ratio = share(
        counted("payment_processed", window_s=_DAYS_30_S, where={"status": ("failed",)}),
        counted(
            "payment_processed", window_s=_DAYS_30_S, where={"status": ("succeeded", "failed")}
        ),
    )

    def left(facts: Facts, moment: Moment) -> Truth:
        return {key: 1 - used / budget for key, used in ratio.truth(facts, moment).items()}

    return Observable(
        "error_budget",
        "Error budget of payments, 30 days",
        "What is left of the share of payments that may fail in 30 days; below 0 it is overspent.",
        Panel(
            *("stat", "percentunit", 24),
            thresholds=(Threshold("red"), Threshold("yellow", 0.0), Threshold("green", 0.25)),
            maximum=1,
            decimals=1,
            no_value="no payments",
        ),
        (
            Query(
                f"1 - {failed} / ({tried} > 0) / {budget:.6g}",
                "left",
                Oracle(left, STRETCHED, ratio.reads, "1 less the failed share over the budget"),
            ),
        ),
        "Overspent: what changes the way to a payment waits until the budget is whole again.",
        no_alert="The rate at which it burns alerts.",
    )
