"""What panels must equal: oracles and gauges over facts, against sums made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from dashboards.facts import DAY_S, Fact, Facts, Moment
from dashboards.levels import LEVELS, level
from dashboards.oracles import (
    EXACT,
    STRETCHED,
    Tolerance,
    counted,
    labels,
    less,
    only,
    per_second,
    quantile,
    share,
    within,
)

NOW = 200_000.0
MOMENT = Moment(NOW, DAY_S, 300)


def paid(minor: int, at_s: float = NOW, status: str = "succeeded", **more: Any) -> Fact:
    """Give a movement of money."""
    fields = {"plan": "payg", "currency": "usd", "customer": "c", "cause": "f"}
    return Fact(
        "payment_processed", at_s, {**fields, "status": status, "amount_minor": minor} | more
    )


MONEY = Facts(
    (
        paid(2900),
        paid(1500, cause="g"),
        paid(59900, NOW - DAY_S, plan="pro", cause="in"),
        paid(700, status="refunded"),
        paid(100, status="disputed"),
        Fact("payment_processed", NOW, {"status": "failed", "failure_code": "expired_card"}),
        Fact("usage_tracked", NOW, {"outcome": "charged", "amount_minor": 2900, "customer": "c",
                                    "cause": "f"}),
        Fact("usage_tracked", NOW, {"outcome": "credit", "amount_minor": 0, "customer": "c",
                                    "cause": "h"}),
        Fact("invoice_paid", NOW - DAY_S, {"amount_minor": 59900, "currency": "usd"}),
    )
)  # fmt: skip


def test_counts_are_by_label_and_window() -> None:
    """A count has every declared value, and takes what is in the window but not at its start."""
    by = {"status": ("succeeded", "failed", "refunded")}
    assert counted("payment_processed", by).truth(MONEY, MOMENT) == {
        labels(status="succeeded"): 2,
        labels(status="failed"): 1,
        labels(status="refunded"): 1,
    }
    whole = counted("payment_processed", window_s=DAY_S + 1, where={"status": ("succeeded",)})
    assert whole.truth(MONEY, MOMENT) == {(): 3}


def test_rates_and_amounts() -> None:
    """A rate is per second of its own interval; an amount is added up and scaled."""
    cents = counted(
        "payment_processed", amount="amount_minor", scale=0.01, where={"status": ("succeeded",)}
    )
    assert cents.truth(MONEY, MOMENT) == {(): 44.0}
    paid_rate = per_second("payment_processed", where={"status": ("succeeded",)})
    assert paid_rate.truth(MONEY, MOMENT) == {(): 2 / 300}


def test_shares_and_differences() -> None:
    """A share of nothing is nothing; a difference keeps the first's labels."""
    some = counted("payment_processed", where={"status": ("failed",)})
    tried = counted("payment_processed", where={"status": ("succeeded", "failed")})
    assert share(some, tried).truth(MONEY, MOMENT) == {(): 1 / 3}
    assert share(some, tried).truth(Facts(), MOMENT) == {}
    assert less(tried, some).truth(MONEY, MOMENT) == {(): 2}
    assert less(tried, some, and_more=True).truth(MONEY, MOMENT) == {(): 4}
    by = {"status": ("succeeded", "failed", "unknown")}
    top = only(counted("payment_processed", by), bool, most=1)
    assert top.truth(MONEY, MOMENT) == {labels(status="succeeded"): 2}


def test_quantiles_are_known_to_their_bucket() -> None:
    """The rank's own value is the truth, and anything else in its bucket is near enough."""
    facts = Facts(tuple(Fact("payment_timed", NOW, {"duration_s": s / 100}) for s in range(1, 101)))
    oracle = quantile(0.95, "payment_timed", "duration_s", (0.5, 1.0, 2.5))
    assert oracle.truth(facts, MOMENT) == {(): 0.95}
    assert oracle.tolerance.allows(0.51, 0.95)
    assert not oracle.tolerance.allows(0.5, 0.95)
    assert not oracle.tolerance.allows(1.01, 0.95)
    assert within("payment_timed", "duration_s", 0.5).truth(facts, MOMENT) == {(): 0.5}
    assert oracle.truth(Facts(), MOMENT) == {}


def test_tolerances() -> None:
    """Exact means exact, also for large sums; a stretched count may be one in twenty off."""
    assert EXACT.allows(10.0**12, 10.0**12)
    assert not EXACT.allows(1000.01, 1000.0)
    assert STRETCHED.allows(2047.07, 1998)
    assert not STRETCHED.allows(2200, 1998)
    assert Tolerance(edges=(1, 2)).allows(5, 7)


@pytest.mark.parametrize(
    ("gauge", "truth"),
    [
        ("ledger_cents", {labels(kind="charge", currency="usd"): 64300,
                          labels(kind="refund", currency="usd"): -700,
                          labels(kind="dispute", currency="usd"): -100}),
        ("revenue_24h_cents", {labels(plan="payg", currency="usd"): 3600}),
        ("reconciliation_difference_cents", {(): -1500}),
        ("duplicate_charges", {(): 0}),
    ],
)  # fmt: skip
def test_gauges_of_money(gauge: str, truth: dict[Any, float]) -> None:
    """Each gauge of money is the sum that a person makes of the same facts."""
    assert LEVELS[f"billing_{gauge}"].read(MONEY, NOW) == truth


def test_a_second_charge_for_one_fix_is_double() -> None:
    """Charges beyond the first count for the same fix of the same customer, and for no other."""
    twice = Facts((*MONEY.events, paid(2900), paid(2900, customer="d"), paid(5, cause="in")))
    assert LEVELS["billing_duplicate_charges"].read(twice, NOW) == {(): 1}


def test_gauges_of_levels() -> None:
    """Subscriptions, credits and stored events are what came less what went, at that moment."""
    facts = Facts(
        (
            Fact("subscription_created", 10, {"plan": "pro"}),
            Fact("subscription_created", 20, {"plan": "pro"}),
            Fact("subscription_cancelled", 30, {"plan": "pro"}),
            Fact("credits_added", 10, {"units": 60}),
            Fact("credits_consumed", 20, {"units": 7}),
            Fact("credits_expired", 30, {"units": 3}),
            Fact("webhook_stored", 10, {"settled_at": 15}),
            Fact("webhook_stored", 12, {"settled_at": None}),
            Fact("webhook_stored", 14, {"settled_at": 99}),
        )
    )
    read = {name.removeprefix("billing_"): gauge.read for name, gauge in LEVELS.items()}
    assert read["active_subscriptions"](facts, 25) == {labels(plan="pro"): 2}
    assert read["active_subscriptions"](facts, 30) == {labels(plan="pro"): 1}
    assert read["credits_outstanding"](facts, 30) == {(): 50}
    assert read["webhook_backlog"](facts, 20) == {(): 2}
    assert read["webhook_oldest_age_seconds"](facts, 20) == {(): 8}
    assert read["webhook_oldest_age_seconds"](Facts(), 20) == {(): 0}
    by_plan = level("billing_active_subscriptions", {"plan": ("trial", "pro")})
    assert by_plan.truth(facts, Moment(30)) == {labels(plan="trial"): 0, labels(plan="pro"): 1}
