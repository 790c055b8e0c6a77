"""Says what a proof came to: a line for each panel, and the facts for machines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dashboards.oracles import Labels, Truth
    from dashboards.proof.judging import Shown
    from dashboards.proof.prove import Proof

_VALUES_MAX = 4
NEVER_SHOWN = {
    "telemetry_errors": "a right service tells nothing that makes no sense",
    "AuditStale": "an audit is as old as the machine's own clock says; promtool's tests fire it",
}
"""What a scenario cannot bring about, by the key of panel or alert, with the reason."""


@dataclass(frozen=True, slots=True)
class Line:
    """One query or alert with all the moments at which it was asked."""

    dashboard: str
    key: str
    title: str
    legend: str
    asked: tuple[Shown, ...]

    @property
    def is_equal(self) -> bool:
        """Whether it was true at every moment."""
        return all(each.is_equal for each in self.asked)

    @property
    def told(self) -> Shown:
        """Give the moment that says most: one that differs, else the one that shows most."""
        odd = [each for each in self.asked if not each.is_equal]
        if odd:
            return odd[-1]
        return max(self.asked, key=lambda each: sum(map(bool, each.truth.values())))


def group(proof: Proof) -> list[Line]:
    """Put what was shown together by query, in the order of the panels."""
    found: dict[tuple[str, str, str], list[Shown]] = {}
    for each in proof.shown:
        found.setdefault((each.dashboard, each.key, each.legend), []).append(each)
    return [
        Line(dashboard, key, asked[0].title, legend, tuple(asked))
        for (dashboard, key, legend), asked in found.items()
    ]


def lines(proof: Proof) -> Iterator[str]:
    """Give a line for each query: what it shows, what is true, and whether that is the same."""
    for line in group(proof):
        told = line.told
        verdict = "equal " if line.is_equal else "DIFFER"
        name = f"{line.dashboard}: {line.title}" + (f", {line.legend}" if line.legend else "")
        values, truth = figures(told.values), truths(told)
        yield f"{verdict} {name} · {told.expr} · {values} · true: {truth}"
        for each in line.asked:
            yield from (f"         {each.when}: {word}" for word in each.differs)


def truths(told: Shown) -> str:
    """Give what is true, and where only two bounds of it are known, both."""
    low, high = figures(told.least), figures(told.truth)
    return high if low == high or not told.least else f"{low} to {high}"


def figures(values: Truth) -> str:
    """Give the values that are not 0, the greatest first; or say that there are none."""
    there = sorted(((k, v) for k, v in values.items() if v), key=lambda pair: -abs(pair[1]))
    if not there:
        return "0" if values else "nothing"
    shown = [f"{_named(labels)}{value:.6g}" for labels, value in there[:_VALUES_MAX]]
    more = len(there) - _VALUES_MAX
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _named(labels: Labels) -> str:
    return "".join(f"{value} " for _, value in labels)


def headline(proof: Proof) -> str:
    """Say what the proof came to, in a sentence or two."""
    found = group(proof)
    odd = sum(not line.is_equal for line in found)
    counts = f"{len(found)} queries and alerts, asked {len(proof.shown)} times"
    word = "all equal the truth" if not odd else f"{odd} differ from the truth"
    told = [
        f"{line.title} ({NEVER_SHOWN.get(line.key, 'a hole of the scenario')})"
        for line in idle(proof)
    ]
    rest = f" Nothing but 0 to be shown on: {', '.join(told)}." if told else ""
    return f"{counts}: {word}. Seed {proof.seed}, {proof.took_s:.0f} s.{rest}"


def idle(proof: Proof) -> list[Line]:
    """Give the queries and alerts that had nothing but 0 to show: at 0 nothing is proven."""
    return [line for line in group(proof) if not any(each.says_something for each in line.asked)]


def as_facts(proof: Proof) -> str:
    """Give everything as JSON."""
    data = {
        "verdict": "invalid" if proof.different else "valid",
        "seed": proof.seed,
        "began_at": proof.began_s,
        "took_s": round(proof.took_s, 1),
        "shown": [_plain(each) for each in proof.shown],
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _plain(each: Shown) -> dict[str, Any]:
    return {
        "dashboard": each.dashboard,
        "panel": each.key,
        "title": each.title,
        "legend": each.legend,
        "query": each.expr,
        "when": each.when,
        "value": _listed(each.values),
        "truth": _listed(each.truth),
        "truth_least": _listed(each.least),
        "equal": each.is_equal,
        "differs": list(each.differs),
    }


def _listed(values: Truth) -> list[dict[str, Any]]:
    return [{"labels": dict(labels), "value": value} for labels, value in values.items()]
