"""What must hold: `latency_ms.p99<200`, `errors.ratio<0.01`, `kind:charge.latency_ms.p95<500`.

A name that nothing measures is an error, told before anything starts.
"""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from suites.load.measuring.result import Result

SERIES = ("latency_ms", "service_ms")
STATISTICS = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}
TOTALS = ("errors", "dropped", "completed", "sent")
GENERATOR = (
    "cpu",
    "start_lateness_ms_p50",
    "start_lateness_ms_p99",
    "start_lateness_ms_max",
    "loop_lag_ms_p99",
    "loop_lag_ms_max",
)
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = re.compile(r"\s*([^<>=\s]+)\s*(<=|>=|==|<|>)\s*([0-9.eE+-]+)\s*")
_HINT = (
    "Known: latency_ms.p99 (p50 p90 p95 p99 p999 max mean), service_ms.p95, errors.ratio, "
    "errors.count (also dropped, completed, sent), counter:NAME, generator.cpu, and any of "
    "latency_ms, service_ms, errors of one kind: kind:NAME.latency_ms.p95."
)


@dataclass(frozen=True, slots=True)
class Threshold:
    """One thing that must hold. `kind` and `counter` are None unless it is about one."""

    expression: str
    section: str
    statistic: str
    sign: str
    limit: float
    kind: str | None = None

    def value(self, result: Result) -> float | None:
        """Give the figure that it is about; None where the run has none."""
        if self.section == "counter":
            return float(result.counters.get(self.statistic, 0))
        if self.section == "generator":
            return result.generator.get(self.statistic)
        if self.section in SERIES:
            source = _section(result, self.kind)
            figures = source.get(self.section, {}) if source else {}
            return figures.get(self.statistic) if figures.get("count") else None
        return self._total(result)

    def judge(self, result: Result) -> dict[str, Any]:
        """Give expression, value, limit and whether it held (None: nothing was measured)."""
        value = self.value(result)
        passed = None if value is None else _OPERATORS[self.sign](value, self.limit)
        return {
            "expression": self.expression,
            "value": value,
            "limit": self.limit,
            "passed": passed,
        }

    def allowed(self, scheduled: int) -> float | None:
        """Give how many arrivals may be on the wrong side; None where that says nothing.

        For a percentile: those that may be longer than the limit. For a ratio: those that may be
        errors (or dropped). So a run can be given up that cannot hold it any more.
        """
        if self.kind is not None or self.sign not in {"<", "<="}:
            return None
        if self.section in SERIES:
            share = {**STATISTICS, "max": 100.0}.get(self.statistic)
            # a percentile is the value at the nearest rank
            return None if share is None else scheduled - int(share * scheduled / 100 + 0.5)
        if self.section in {"errors", "dropped"}:
            return self.limit * (scheduled if self.statistic == "ratio" else 1)
        return None

    def _total(self, result: Result) -> float | None:
        if self.kind is not None:
            source = _section(result, self.kind)
            if not source:
                return None
            count, whole = float(source["errors"]), float(source["count"])
        else:
            count = float(getattr(result, self.section))
            whole = float(result.sent if self.section == "errors" else result.scheduled)
        if self.statistic == "count":
            return count
        return count / whole if whole else None


def parse(
    expressions: Iterable[str],
    *,
    kinds: Collection[str] | None = None,
    counters: Collection[str] | None = None,
) -> list[Threshold]:
    """Read thresholds. Raises `SettingsError` for one that nothing can be held against.

    `kinds` and `counters` are those that the scenario has; None where it does not say.

    >>> parse(["latency_ms.p99<200"])[0].limit
    200.0
    """
    return [_one(expression, kinds, counters) for expression in expressions]


def _one(
    expression: str, kinds: Collection[str] | None, counters: Collection[str] | None
) -> Threshold:
    form = _FORM.fullmatch(expression)
    if not form:
        raise SettingsError(
            f"the threshold {expression!r} is not of the form NAME<NUMBER", hint=_HINT
        )
    name, sign, figure = form.groups()
    kind = None
    rest = name
    if name.startswith("kind:"):
        # a type of event is a kind, and has stops of its own
        kind, *last = name.removeprefix("kind:").rsplit(".", 2)
        rest = ".".join(last)
        _known(expression, "kind", kind, kinds)
    if name.startswith("counter:"):
        statistic = name.removeprefix("counter:")
        _known(expression, "counter", statistic, counters)
        return Threshold(expression, "counter", statistic, sign, _number(expression, figure))
    section, _, statistic = rest.partition(".")
    if statistic not in _statistics(section, kind):
        raise SettingsError(f"nothing measures {name!r}, of --threshold {expression!r}", hint=_HINT)
    return Threshold(expression, section, statistic, sign, _number(expression, figure), kind)


def _statistics(section: str, kind: str | None) -> Collection[str]:
    if section in SERIES:
        return (*STATISTICS, "max", "mean")
    if section in TOTALS and (kind is None or section == "errors"):
        return ("ratio", "count")
    return GENERATOR if section == "generator" and kind is None else ()


def _known(expression: str, what: str, name: str, known: Collection[str] | None) -> None:
    if not name or (known is not None and name not in known):
        raise SettingsError(
            f"this load has no {what} {name!r}, of --threshold {expression!r}",
            hint=f"It has: {', '.join(sorted(known))}."
            if known
            else f"It has no {what} of its own.",
        )


def _number(expression: str, figure: str) -> float:
    try:
        limit = float(figure)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise SettingsError(f"{figure!r} is no number, of --threshold {expression!r}")
    return limit


def _section(result: Result, kind: str | None) -> Mapping[str, Any]:
    if kind is not None:
        return result.kinds.get(kind, {})
    return {"latency_ms": result.latency_ms, "service_ms": result.service_ms}
