"""The alert on payment success: burn rates over two windows each, and never on a few payments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.facts import Moment
from dashboards.objectives import FAST_BURN, SLOW_BURN
from dashboards.observables.alerts import BILLING, selector
from dashboards.observables.model import Alert, Case, Series
from dashboards.oracles import NOBODY, counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dashboards.facts import Facts
    from dashboards.objectives import Objectives

WINDOWS = {"5m": 300, "30m": 1800, "1h": 3600, "6h": 21_600}
_PAIRS = (("1h", "5m", FAST_BURN), ("6h", "30m", SLOW_BURN))
_FAILED = counted("payment_processed", where={"status": ("failed",)})
_TRIED = counted("payment_processed", where={"status": ("succeeded", "failed")})


def recording_rules() -> Mapping[str, str]:
    """Give the recorded series by name: failure ratios and counts, for each window."""
    found = {}
    for window in WINDOWS:
        failed = f'sum by (job) (increase(billing_payments_total{{status="failed"}}[{window}]))'
        tried = (
            "sum by (job) (increase("
            f'billing_payments_total{{status=~"succeeded|failed"}}[{window}]))'
        )
        found[_ratio(window)] = f"{failed} / ({tried} > 0)"
        if window in {long for long, _, _ in _PAIRS}:
            found[_count(window)] = tried
    return found


def _ratio(window: str) -> str:
    return f"job:billing_payment_failures:ratio_increase{window}"


def _count(window: str) -> str:
    return f"job:billing_payments:increase{window}"


def _burns(objectives: Objectives) -> str:
    budget = 1 - objectives.payment_success
    parts = []
    for long, short, burn in _PAIRS:
        limit = f"{burn * budget:.6g}"
        parts.append(
            f"({_ratio(long)} > {limit} and {_ratio(short)} > {limit}"
            f" and {_count(long)} >= {objectives.payments_min:g})"
        )
    return " or ".join(parts)


def payment_success_low(objectives: Objectives) -> Alert:
    """Fire where the month's error budget burns away, over a long and a short window."""
    budget = 1 - objectives.payment_success

    def truth(facts: Facts, moment: Moment) -> bool:
        return any(
            _tried(facts, moment, WINDOWS[long]) >= objectives.payments_min
            and _share(facts, moment, WINDOWS[long]) > burn * budget
            and _share(facts, moment, WINDOWS[short]) > burn * budget
            for long, short, burn in _PAIRS
        )

    return Alert(
        "BillingPaymentSuccessLow",
        _burns(objectives),
        "2m",
        "warning",
        "Payments fail faster than the objective allows",
        f"{{{{ $value | humanizePercentage }}}} of payments fail; the objective is that"
        f" {objectives.payment_success * 100:g} % succeed.",
        "Open “Failed payments by reason”. One reason in front: the provider's status page for"
        " processing_error, a card attack for incorrect_cvc and fraudulent. All reasons: the last"
        " deployment.",
        truth,
        cases=(
            # An hour in which nine of ten fail, after a quiet morning: only the fast pair sees it.
            _case("6h5m", "0+1x120 129+9x26", "0+40x120 4801+1x26", fires="90%"),
            # Half of all fail for hours: only the slow pair does.
            _case("6h", "0+5x144", "0+5x144", fires="50%"),
            # Everything fails, but these are six payments.
            _case("2h", "0+0x41 0+1x6", "0+0x48"),
            # It was bad and is over: the long windows remember it, the short ones do not.
            _case("6h", "0+9x120 1080+0x24", "0+1x120 120+20x24"),
        ),
    )


def _case(eval_time: str, failed: str, succeeded: str, fires: str | None = None) -> Case:
    series = (_payments("failed", failed), _payments("succeeded", succeeded))
    return Case(series, eval_time, ((BILLING, fires),) if fires else ())


def _payments(status: str, values: str) -> Series:
    labels = (*BILLING, ("instance", "a:8000"), ("status", status))
    return Series(selector("billing_payments_total", labels), values)


def _tried(facts: Facts, moment: Moment, window_s: float) -> float:
    return _TRIED.truth(facts, Moment(moment.end_s, window_s))[NOBODY]


def _share(facts: Facts, moment: Moment, window_s: float) -> float:
    tried = _tried(facts, moment, window_s)
    failed = _FAILED.truth(facts, Moment(moment.end_s, window_s))[NOBODY]
    return failed / tried if tried else 0.0
