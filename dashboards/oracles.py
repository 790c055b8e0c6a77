"""What a panel's value must equal, as functions over facts; nothing here knows PromQL.

An oracle gives a value for each set of labels that its query shows. A tolerance says how near the
query can come: counts and money are exact, a quantile can only be known to its bucket, and a count
over a window is stretched by Prometheus to the window's ends.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dashboards.facts import Fact, Facts, Moment

Labels: TypeAlias = tuple[tuple[str, str], ...]
Truth: TypeAlias = "Mapping[Labels, float]"
Values: TypeAlias = "Mapping[str, tuple[str, ...]]"
NOBODY: Labels = ()


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a query may be from the truth: a share of it, or within the same bucket."""

    share: float = 0.0
    edges: tuple[float, ...] = ()

    def allows(self, value: float, truth: float) -> bool:
        """Whether a value is as near to the truth as it can be.

        >>> Tolerance().allows(100.0, 101.0), Tolerance(edges=(1.0, 2.0)).allows(1.2, 1.9)
        (False, True)
        """
        if self.edges:
            return bisect_left(self.edges, value) == bisect_left(self.edges, truth)
        return math.isclose(value, truth, rel_tol=max(self.share, 1e-9), abs_tol=1e-9)


EXACT = Tolerance()
STRETCHED = Tolerance(share=0.05)


@dataclass(frozen=True, slots=True)
class Oracle:
    """A truth over facts at a moment, how near to it a query can come, and what it reads."""

    truth: Callable[[Facts, Moment], Truth]
    tolerance: Tolerance
    reads: tuple[str, ...]
    meaning: str


def labels(**pairs: str) -> Labels:
    """Give labels in the order in which they are compared."""
    return tuple(sorted(pairs.items()))


def _amount(fact: Fact, amount: str | None) -> float:
    return 1.0 if amount is None else float(fact.fields.get(amount) or 0)


def _matches(fact: Fact, wanted: Mapping[str, Iterable[str]]) -> bool:
    return all(fact.fields.get(name) in tuple(values) for name, values in wanted.items())


def _sums(facts: Iterable[Fact], by: Values, amount: str | None) -> dict[Labels, float]:
    """Add up by labels; every value that a label can have is there, also at 0."""
    found = {
        tuple(sorted(zip(by, values, strict=True))): 0.0
        for values in itertools.product(*by.values())
    }
    for fact in facts:
        if _matches(fact, by):
            found[tuple(sorted((name, str(fact.fields[name])) for name in by))] += _amount(
                fact, amount
            )
    return found


def _within(facts: Facts, event: str, end_s: float, length_s: float) -> Iterable[Fact]:
    return (fact for fact in facts.of(event) if end_s - length_s < fact.at_s <= end_s)


def counted(  # noqa: PLR0913 - a count is of so many facts
    event: str,
    by: Values | None = None,
    *,
    amount: str | None = None,
    window_s: float | None = None,
    scale: float = 1.0,
    where: Values | None = None,
) -> Oracle:
    """Count events, or add up a field of theirs, over the panel's range or a window of its own."""

    def truth(facts: Facts, moment: Moment) -> Truth:
        length_s = moment.range_s if window_s is None else window_s
        found = _within(facts, event, moment.end_s, length_s)
        sums = _sums((fact for fact in found if _matches(fact, where or {})), by or {}, amount)
        return {key: value * scale for key, value in sums.items()}

    what = f"{amount} of" if amount else "number of"
    return Oracle(truth, STRETCHED, (event,), f"{what} `{event}`{_told(by, where)} in the window")


def per_second(
    event: str,
    by: Values | None = None,
    *,
    amount: str | None = None,
    scale: float = 1.0,
    where: Values | None = None,
) -> Oracle:
    """Count events, or a field of theirs, per second of the rate's interval."""

    def truth(facts: Facts, moment: Moment) -> Truth:
        found = _within(facts, event, moment.end_s, moment.rate_s)
        sums = _sums((fact for fact in found if _matches(fact, where or {})), by or {}, amount)
        return {key: value * scale / moment.rate_s for key, value in sums.items()}

    what = f"{amount} of" if amount else "number of"
    return Oracle(truth, STRETCHED, (event,), f"{what} `{event}`{_told(by, where)} per second")


def _told(by: Values | None, where: Values | None) -> str:
    grouped = f" by {', '.join(by)}" if by else ""
    told = (f"{name} {' or '.join(values)}" for name, values in (where or {}).items())
    return grouped + "".join(f" with {each}" for each in told)


def share(part: Oracle, whole: Oracle) -> Oracle:
    """Divide one truth by another; where the whole is 0 there is nothing to show."""

    def truth(facts: Facts, moment: Moment) -> Truth:
        parts, wholes = part.truth(facts, moment), whole.truth(facts, moment)
        return {key: parts.get(key, 0.0) / value for key, value in wholes.items() if value}

    reads = tuple(dict.fromkeys((*part.reads, *whole.reads)))
    return Oracle(truth, part.tolerance, reads, f"{part.meaning}, divided by {whole.meaning}")


def less(first: Oracle, second: Oracle, *, and_more: bool = False) -> Oracle:
    """Give the difference of two truths, or with `and_more` their sum."""
    sign = 1.0 if and_more else -1.0

    def truth(facts: Facts, moment: Moment) -> Truth:
        taken = second.truth(facts, moment)
        return {k: v + sign * taken.get(k, 0.0) for k, v in first.truth(facts, moment).items()}

    reads = tuple(dict.fromkeys((*first.reads, *second.reads)))
    word = "plus" if and_more else "less"
    return Oracle(truth, first.tolerance, reads, f"{first.meaning}, {word} {second.meaning}")


def only(oracle: Oracle, keep: Callable[[float], bool], *, most: int | None = None) -> Oracle:
    """Keep the values that a panel shows, the `most` greatest of them."""

    def truth(facts: Facts, moment: Moment) -> Truth:
        kept = [(k, v) for k, v in oracle.truth(facts, moment).items() if keep(v)]
        return dict(sorted(kept, key=lambda pair: -pair[1])[:most])

    return Oracle(truth, oracle.tolerance, oracle.reads, f"{oracle.meaning}, where not 0")


def quantile(  # noqa: PLR0913 - a quantile is of so many facts
    rank: float,
    event: str,
    amount: str,
    edges: tuple[float, ...],
    *,
    scale: float = 1.0,
    where: Values | None = None,
) -> Oracle:
    """Give a quantile of a field over the rate's interval; a query knows it to its bucket."""

    def truth(facts: Facts, moment: Moment) -> Truth:
        found = _within(facts, event, moment.end_s, moment.rate_s)
        values = sorted(
            float(f.fields[amount]) * scale
            for f in found
            if _matches(f, where or {}) and f.fields.get(amount) is not None
        )
        return {NOBODY: values[max(0, math.ceil(rank * len(values)) - 1)]} if values else {}

    told = f"quantile {rank} of {amount} of `{event}`{_told(None, where)}, to its bucket"
    return Oracle(truth, Tolerance(edges=edges), (event,), told)


def within(event: str, amount: str, limit: float, *, where: Values | None = None) -> Oracle:
    """Give the share of events whose field is at most a limit, over the panel's range."""

    def truth(facts: Facts, moment: Moment) -> Truth:
        found = _within(facts, event, moment.end_s, moment.range_s)
        values = [
            float(f.fields[amount])
            for f in found
            if _matches(f, where or {}) and f.fields.get(amount) is not None
        ]
        return {NOBODY: sum(v <= limit for v in values) / len(values)} if values else {}

    told = f"share of `{event}`{_told(None, where)} with {amount} up to {limit}"
    return Oracle(truth, STRETCHED, (event,), told)


def reported(meaning: str, read: Callable[[Facts], Mapping[Any, float]], *names: str) -> Oracle:
    """Read values off the merged report of a run, keyed by the values of the labels `names`."""

    def truth(facts: Facts, _: Moment) -> Truth:
        found: dict[Labels, float] = {}
        for key, value in read(facts).items():
            values = key if isinstance(key, tuple) else (key,) if names else ()
            found[tuple(sorted(zip(names, map(str, values), strict=True)))] = float(value)
        return found

    return Oracle(truth, EXACT, ("report",), meaning)
