"""The label values that panels are drawn by, and the objectives in their histograms' edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.metrics import CATALOGUE

if TYPE_CHECKING:
    from dashboards.oracles import Values


def values(metric: str, label: str) -> tuple[str, ...]:
    """Give every value that a label can have."""
    return CATALOGUE[metric].labels[label]


def edges(histogram: str) -> tuple[float, ...]:
    """Give the edges of a histogram's buckets."""
    return CATALOGUE[histogram].buckets


PLANS = values("billing_active_subscriptions", "plan")
CURRENCIES = values("billing_ledger_cents", "currency")
BY_PLAN: Values = {"plan": PLANS}
BY_PLAN_CURRENCY: Values = {"plan": PLANS, "currency": CURRENCIES}
FIX_EDGE_S, CHARGE_EDGE_S, SUMMARY_EDGE_S, WEBHOOK_EDGE_S = 0.1, 0.5, 0.05, 0.2
