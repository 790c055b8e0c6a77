"""What the panels of pushed metrics have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboards.ci_catalogue import CI_CATALOGUE
from dashboards.observables.model import Panel, Threshold
from dashboards.observables.queries import select

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dashboards.facts import Facts
    from dashboards.observables.model import PanelKind

OK = (Threshold("red"), Threshold("yellow", 0.5), Threshold("green", 1))
COUNT = (Threshold("green"), Threshold("yellow", 1), Threshold("red", 5))
OWNED = 'branch_class!="other"'
QUIET = "The run's own success alerts."


def last(metric: str, **matchers: str) -> str:
    """Write the last value of a pipeline's gauge, by its own labels."""
    names = ", ".join(CI_CATALOGUE[metric].labels)
    grouped = f" by ({names})" if names else ""
    return f"max{grouped} ({select(metric, **matchers)})"


def read(key: str) -> Callable[[Facts], Mapping[Any, float]]:
    """Read one value of the merged report; one that is not known gives nothing to show."""

    def value(facts: Facts) -> Mapping[Any, float]:
        found = facts.report.get(key)
        return {} if found is None else {(): found}

    return value


def panel(kind: PanelKind, unit: str, *thresholds: Threshold, width: Any = 8) -> Panel:
    """Give a panel of pushed metrics, which may not be told at all."""
    return Panel(kind, unit, width, thresholds, no_value="not told")
