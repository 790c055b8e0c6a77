"""Writes the page for whoever is on call: every panel, what it means, and what to do next."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dashboards.objectives import Objectives
from dashboards.observables import plans
from dashboards.observables.model import metrics_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dashboards.observables.model import Alert, DashboardPlan, Observable

_TEMPLATE = re.compile(r"\{\{ \$(?:labels\.)?(\w+)[^}]*\}\}")
_HEAD = """\
# Dashboards, panel by panel

Generated from `dashboards/observables` by `billing-harness dashboards build`; do not edit. How to
import and customise them, and a runbook for every alert: [DASHBOARDS.md](DASHBOARDS.md).
"""


def reference_page(drawn: Iterable[DashboardPlan]) -> str:
    """Give the page in Markdown."""
    lines = [_HEAD]
    for plan in drawn:
        lines += [f"## {plan.title}", "", plan.description, ""]
        for section in plan.sections:
            lines += [f"### {section.title}", ""]
            for each in section.observables:
                lines += _entry(each)
    return "\n".join(lines).rstrip() + "\n"


def runbooks() -> str:
    """Give a runbook for every alert, with the objectives as they are by default."""
    found = {alert.name: alert for plan in plans(Objectives()) for alert in plan.alerts}
    shown = {
        a.name: each for p in plans(Objectives()) for each in p.observables for a in each.alerts
    }
    lines: list[str] = []
    for name, alert in found.items():
        lines += [f"### {name}", "", f"*{alert.severity}, after {alert.hold}.*", ""]
        lines += [f"{_plain(alert.summary)}. {_plain(alert.description)}", ""]
        lines += [f"1. Look at “{shown[name].title}”: {_lower(shown[name].meaning)}"]
        lines += [f"2. {alert.next_step}"]
        lines += ["3. It ends by itself once this no longer holds:", "", "   ```promql"]
        lines += [f"   {alert.expr}", "   ```", ""]
    return "\n".join(lines).rstrip()


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _entry(each: Observable) -> Iterator[str]:
    yield f"**{each.title}**{' (critical)' if each.is_critical else ''}. {each.meaning}"
    yield ""
    yield f"- Next step: {each.next_step}"
    yield f"- Metrics: {', '.join(f'`{name}`' for name in each.metrics)}"
    for query in each.queries:
        told = f"`{query.legend}` must equal " if len(each.queries) > 1 else "It must equal "
        yield f"- {told}{query.oracle.meaning} ({_nearness(query.oracle.tolerance.share)})."
    if each.alerts:
        yield from (f"- {_alert(alert)}" for alert in each.alerts)
    else:
        yield f"- No alert: {each.no_alert}"
    yield ""


def _nearness(share: float) -> str:
    return f"within {share:.0%}" if share else "as far as the query can tell, exactly"


def _alert(alert: Alert) -> str:
    recorded = "" if metrics_in(alert.expr) else " (on recorded series)"
    return (
        f"Alert `{alert.name}` ({alert.severity}, for {alert.hold}): “{_plain(alert.summary)}”"
        f"{recorded}: `{alert.expr}`"
    )


def _plain(text: str) -> str:
    """Leave Prometheus' templates out of a sentence."""
    return _TEMPLATE.sub(lambda match: f"`{match[1]}`", text)
