"""Prometheus' rules: what is recorded, and every alert of the observables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboards.observables.burn import recording_rules

if TYPE_CHECKING:
    from dashboards.observables.model import Alert, DashboardPlan

OWNER = "billing"
_RUNBOOKS = "docs/DASHBOARDS.md"


def alert_labels(alert: Alert, owner: str = OWNER) -> dict[str, str]:
    """Give the labels that an alert carries beside those of its series."""
    return {"severity": alert.severity, "owner": owner}


def alert_annotations(alert: Alert, runbooks: str = _RUNBOOKS) -> dict[str, str]:
    """Give an alert's words, with Prometheus' templates in them."""
    return {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": f"{runbooks}#{alert.name.lower()}",
    }


def rule_groups(plan: DashboardPlan, owner: str = OWNER) -> dict[str, Any]:
    """Give the rule file of a dashboard: recorded series first, then alerts."""
    recorded = [{"record": k, "expr": v} for k, v in recording_rules().items()]
    alerts = [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.hold,
            "labels": alert_labels(alert, owner),
            "annotations": alert_annotations(alert),
        }
        for alert in plan.alerts
    ]
    first = [{"name": f"{plan.name}_recorded", "rules": recorded}] if plan.name == "billing" else []
    return {"groups": [*first, {"name": f"{plan.name}_alerts", "rules": alerts}]}
