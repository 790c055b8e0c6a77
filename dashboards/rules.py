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
    """Give the rule file of a dashboard, as one group.

    The rules of a group are evaluated in their order, so alerts see what was recorded just now.
    """
    recorded = recording_rules() if plan.name == "billing" else {}
    rules: list[dict[str, Any]] = [{"record": k, "expr": v} for k, v in recorded.items()]
    rules += [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.hold,
            "labels": alert_labels(alert, pager),
            "annotations": alert_annotations(alert, pager),
        }
        for alert in plan.alerts
    ]
    return {"groups": [{"name": plan.name, "rules": rules}]}
