"""The panels of the last load run: what arrived, how long it took, what failed, what was dropped.

The service's own view of the same minutes is on the billing dashboard.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from dashboards.observables.model import Observable, Panel, Query, Section, Threshold
from dashboards.observables.pushed import last
from dashboards.oracles import reported

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dashboards.facts import Facts

_GATED = "A threshold that the load misses ends its run with 99, and the run's success alerts."


def _of(key: str) -> Callable[[Facts], Mapping[Any, float]]:
    def read(facts: Facts) -> Mapping[Any, float]:
        return {name: told[key] for name, told in facts.load["scenarios"].items()}

    return read


def _latency(facts: Facts, quantile: str) -> Mapping[Any, float]:
    scenarios = facts.load["scenarios"].items()
    return {s: told["quantiles_s"][quantile] for s, told in scenarios}


def load() -> Section:
    """Give the panels of load."""
    return Section("The last load run", (_rate(), *_latencies(), _errors(), _dropped()))


def _rate() -> Observable:
    return Observable(
        "load_rate",
        "Load: requests per second",
        "Requests per second as they arrived, whether or not the target kept up.",
        Panel("timeseries", "reqps", 8),
        (
            Query(
                last("ci_load_rate"),
                "arrived",
                reported("the load's rate", lambda facts: {(): facts.load["rate"]}),
            ),
        ),
        "Another rate than was asked for makes the run void: look at the load machine.",
        no_alert=_GATED,
    )


def _latencies() -> tuple[Observable, ...]:
    return tuple(
        Observable(
            f"load_latency_p{quantile[2:]}",
            f"Load: latency, p{quantile[2:]}",
            f"The time, from the intended start, within which {quantile[2:]} of 100 requests of"
            " each scenario were answered.",
            Panel("timeseries", "s", 8),
            (
                Query(
                    last("ci_load_latency_seconds", quantile=quantile).replace(
                        "scenario, quantile", "scenario"
                    ),
                    "{{scenario}}",
                    reported(
                        f"the load's quantile {quantile}",
                        partial(_latency, quantile=quantile),
                        "scenario",
                    ),
                ),
            ),
            "Compare with the service's own objectives for the same minutes: what is slow here and"
            " quick there waited before the service, in a queue or the network.",
            no_alert=_GATED,
        )
        for quantile in ("0.95", "0.99")
    )


def _errors() -> Observable:
    return Observable(
        "load_errors",
        "Load: errors",
        "The share of each scenario's requests that failed.",
        Panel(
            *("stat", "percentunit", 12),
            (Threshold("green"), Threshold("yellow", 0.001), Threshold("red", 0.01)),
            minimum=0,
            maximum=1,
            decimals=2,
            no_value="no load",
        ),
        (
            Query(
                last("ci_load_error_ratio"),
                "{{scenario}}",
                reported("the load's error ratios", _of("error_ratio"), "scenario"),
            ),
        ),
        "Match them with the ledger first: did a failed request charge all the same?",
        no_alert=_GATED,
    )


def _dropped() -> Observable:
    return Observable(
        "load_dropped",
        "Load: dropped arrivals",
        "Arrivals that no request was made for; any of them makes latency look better than it is.",
        Panel(
            *("stat", "short", 12),
            (Threshold("green"), Threshold("yellow", 1), Threshold("red", 10)),
            no_value="no load",
        ),
        (
            Query(
                last("ci_load_dropped"),
                "{{scenario}}",
                reported("the load's dropped arrivals", _of("dropped"), "scenario"),
            ),
        ),
        "Give the load machine more users or cores, and run again: this run is void.",
        no_alert=_GATED,
    )
