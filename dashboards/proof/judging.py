"""Holds what a query gives against its oracle, and says a difference in terms of money."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dashboards.observables.burn import recording_rules
from dashboards.promtest.write import fill
from dashboards.sources import SOURCES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dashboards.facts import Moment
    from dashboards.observables.model import Alert, DashboardPlan, Observable, Query
    from dashboards.oracles import Labels, Oracle, Tolerance, Truth
    from dashboards.proof.prometheus import Answer
    from dashboards.proof.reading import Bounds

    Ask = Callable[[str], Answer]

EXACTLY = 1e-6
"""What a share may differ where windows begin and end between phases: floating point, no more."""
AGE_S = 5.0
"""What an age may differ: the service goes on between the move of its clock and the scrape."""
_RULE = re.compile(r"job:[a-z_]+:[a-z_]+\d+[a-z]")
_AGED = re.compile(r"age_seconds|time\(\)")
_CENTS = re.compile(r"_cents\b.*/ 100\b")


@dataclass(frozen=True, slots=True)
class When:
    """At which moment, of which view, with which words for Grafana's windows."""

    name: str
    moment: Moment
    asked_s: float
    share: float = EXACTLY
    chosen: Labels = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """What a panel's query, or an alert, gave at a moment, beside the truth.

    Where the truth is known to lie between two values, `least` has the lower ones.
    """

    dashboard: str
    key: str
    title: str
    legend: str
    expr: str
    when: str
    values: Mapping[Labels, float]
    truth: Mapping[Labels, float]
    differs: tuple[str, ...]
    least: Mapping[Labels, float] = field(default_factory=dict)

    @property
    def is_equal(self) -> bool:
        """Whether all that is shown is true, and all that is true is shown."""
        return not self.differs

    @property
    def says_something(self) -> bool:
        """Whether there was anything but nothing and 0 to be shown."""
        return any(self.truth.values())


def judge_panels(plan: DashboardPlan, bounds: Bounds, when: When, ask: Ask) -> Iterator[Shown]:
    """Ask every query of a dashboard, and compare."""
    for each in plan.observables:
        for query in each.queries:
            yield judge_query(plan.name, each, query, bounds, when, ask)


def judge_query(  # noqa: PLR0913, PLR0917 - what a comparison is made of
    dashboard: str, observable: Observable, query: Query, bounds: Bounds, when: When, ask: Ask
) -> Shown:
    """Ask one query, and compare."""
    expr = filled(query.expr, when.moment, when.chosen)
    answer = ask(expr)
    values = {k: v for k, v in answer.values.items() if not math.isnan(v)}
    low = query.oracle.truth(bounds.least, when.moment)
    high = query.oracle.truth(bounds.most, when.moment)
    slack = AGE_S if _AGED.search(expr) else 0.0
    compare = _Comparison(observable.title, query, when.share, slack)
    odd = [answer.error] if answer.error else list(compare.differences(values, low, high))
    told = (dashboard, observable.key, observable.title, query.legend, expr, when.name)
    return Shown(*told, values, high, tuple(odd), low)


def judge_alert(dashboard: str, alert: Alert, bounds: Bounds, when: When, ask: Ask) -> Shown:
    """Ask whether an alert's condition holds, and compare it with whether it must."""
    expr = expanded(alert.expr)
    answer = ask(expr)
    must = alert.truth(bounds.most, when.moment)
    holds = bool(answer.values)
    odd: tuple[str, ...] = (answer.error,) if answer.error else ()
    if holds != must:
        word = "is silent, and must fire" if must else "fires, and must be silent"
        odd = (*odd, f"{alert.name} {word}")
    told = (dashboard, alert.name, alert.name, "", expr, when.name)
    return Shown(*told, {(): float(holds)}, {(): float(must)}, odd)


def filled(expr: str, moment: Moment, chosen: Labels = ()) -> str:
    """Put values in for Grafana's variables: everything, where nothing is chosen."""
    windows = {"__range": f"{moment.range_s:.0f}s", "__rate_interval": f"{moment.rate_s:.0f}s"}
    return fill(expr, {**windows, **dict(chosen)})


def expanded(expr: str) -> str:
    """Put what a recorded series is made of in its place: of the past nothing was recorded.

    >>> expanded("job:billing_payments:increase1h > 1")[:9]
    '(sum by ('
    """
    rules = recording_rules()
    return _RULE.sub(lambda match: f"({rules[match[0]]})", expr)


@dataclass(frozen=True, slots=True)
class _Comparison:
    title: str
    query: Query
    share: float
    slack: float

    def differences(self, values: Truth, low: Truth, high: Truth) -> Iterator[str]:
        """Say every value that is not the truth, and every truth that is not shown."""
        keys = dict.fromkeys([*values, *low, *high])
        several = len(keys) > 1
        for key in sorted(keys):
            value, least, most = values.get(key), low.get(key), high.get(key)
            truths = [t for t in (least, most) if t is not None]
            if value is None:
                # Of several series, one at 0 and one that is not there are the same.
                if any(truths) or not several:
                    yield self._said(key, None, truths)
            elif not truths:
                if value or not several:
                    yield self._said(key, value, truths)
            elif not self._allows(self.query.oracle.tolerance, value, truths):
                yield self._said(key, value, truths)

    def _allows(self, tolerance: Tolerance, value: float, truths: list[float]) -> bool:
        least, most = min(truths), max(truths)
        if tolerance.edges:
            # Beyond the last edge a histogram knows nothing, and the panel shows that edge.
            last = len(tolerance.edges) - 1
            buckets = [min(last, bisect_left(tolerance.edges, t)) for t in (least, value, most)]
            return buckets == sorted(buckets)
        if math.isclose(value, least, rel_tol=1e-9, abs_tol=self.slack) or math.isclose(
            value, most, rel_tol=1e-9, abs_tol=self.slack
        ):
            return True
        # A gauge of the database is exact; only what is stretched to a window may be off.
        share = self.share if tolerance.share else 1e-9
        return least * (1 - share) - 1e-9 <= value <= most * (1 + share) + 1e-9

    def _said(self, key: Labels, value: float | None, truths: list[float]) -> str:
        whose = " ".join(text for _, text in key) or self.query.legend
        truth = " to ".join(dict.fromkeys(map(self._figure, truths))) or "nothing"
        shown = "nothing" if value is None else self._figure(value)
        record = witness(self.query.oracle)
        return f"{self.title}, {whose}: the panel shows {shown}, {record} {truth}"

    def _figure(self, value: float) -> str:
        if _CENTS.search(self.query.expr) and "rate(" not in self.query.expr:
            return f"{value * 100:.0f} cents"
        return f"{value:.15g}" if value == int(value) else f"{value:.6g}"


def witness(oracle: Oracle) -> str:
    """Say who tells the truth of an oracle: the ledger, wherever it has a say."""
    if "with status failed" in oracle.meaning and "divided" not in oracle.meaning:
        return "the bank"
    records = [s.record for s in SOURCES if s.event in oracle.reads]
    found = "ledger" if "ledger" in records else next(iter(records), "report")
    return f"the {found}" if oracle.reads else "the rule"
