"""The observables: one definition of each metric, panel, alert and proof; all else is generated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.observables.amounts import flows, watched
from dashboards.observables.audit import audits
from dashboards.observables.billing import billing
from dashboards.observables.care import money, webhooks
from dashboards.observables.load import load
from dashboards.observables.model import DashboardPlan, Section
from dashboards.observables.pipeline import pipeline, run_age
from dashboards.observables.quality import quality
from dashboards.observables.service import service

if TYPE_CHECKING:
    from dashboards.objectives import Objectives

CRITICAL = ("payment_success", "revenue_by_plan", "failed_payments", "active_subscriptions")
"""The panels without which a billing dashboard is none."""


def plans(objectives: Objectives) -> tuple[DashboardPlan, ...]:
    """Give every dashboard for an owner's objectives."""
    return (
        _service(objectives),
        DashboardPlan(
            "ci",
            "Billing: CI",
            "The last run of the suites, its time and what it found; generated, so change the"
            " definition and not this.",
            ("billing", "ci"),
            (*pipeline(objectives), quality(objectives), load()),
        ),
        DashboardPlan(
            "load",
            "Billing: load",
            "The last load run; generated, so change the definition and not this.",
            ("billing", "load"),
            (load(), Section("Its age", (run_age(objectives),))),
        ),
        DashboardPlan(
            "audit",
            "Billing: audit",
            "What the nightly audit of production found; generated, so change the definition and"
            " not this.",
            ("billing", "audit"),
            (audits(objectives),),
        ),
    )


def _service(objectives: Objectives) -> DashboardPlan:
    return DashboardPlan(
        "billing",
        "Billing",
        "What sells, what is paid and used, and whether the books agree; generated, so change"
        " the definition and not this.",
        ("billing", "stripe", "revenue"),
        (
            billing(objectives),
            money(),
            webhooks(objectives),
            service(objectives),
            flows(),
            watched(),
        ),
    )
