"""Prometheus' rules: what is recorded, and every alert of the observables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dashboards.observables.burn import recording_rules

if TYPE_CHECKING:
    from dashboards.observables.model import Alert, DashboardPlan

OWNER = "billing"
RUNBOOKS = "docs/DASHBOARDS.md"


@dataclass(frozen=True, slots=True)
class Pager:
    """Whose alerts these are, and the page on which each alert's runbook stands."""

    owner: str = OWNER
    runbooks: str = RUNBOOKS


OURS = Pager()


def alert_labels(alert: Alert, pager: Pager = OURS) -> dict[str, str]:
    """Give the labels that an alert carries beside those of its series."""
    return {"severity": alert.severity, "owner": pager.owner}


def alert_annotations(alert: Alert, pager: Pager = OURS) -> dict[str, str]:
    """Give an alert's words, with Prometheus' templates in them."""
    return {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": f"{pager.runbooks}#{alert.name.lower()}",
    }


def rule_groups(plan: DashboardPlan, pager: Pager = OURS) -> dict[str, Any]:
    """Give the rule file of a dashboard: recorded series first, then alerts."""
    recorded = [{"record": k, "expr": v} for k, v in recording_rules().items()]
    alerts = [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.hold,
            "labels": alert_labels(alert, pager),
            "annotations": alert_annotations(alert, pager),
        }
        for alert in plan.alerts
    ]
    first = [{"name": f"{plan.name}_recorded", "rules": recorded}] if plan.name == "billing" else []
    return {"groups": [*first, {"name": f"{plan.name}_alerts", "rules": alerts}]}
