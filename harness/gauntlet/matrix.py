"""The kill matrix: which mistakes the suites found, who found each, and what they missed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.report.results import EXIT_INTERRUPTED, EXIT_INVALID, EXIT_UNKNOWN, EXIT_VALID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.gauntlet.hunt import Hunt, Status

EXIT_MISSED = 99


@dataclass(frozen=True, slots=True)
class Matrix:
    """What came of every mutant, and of the target without a mistake.

    `clean` is None where it was not tried. `min_score` is the share of mutants, from 0 to 1, that
    must be killed as intended.
    """

    target: str
    seed: int
    suites: tuple[str, ...]
    hunts: tuple[Hunt, ...]
    clean: Hunt | None
    started_at: float
    duration_s: float
    min_score: float = 1.0
    interrupted: bool = False

    @property
    def survivors(self) -> tuple[Hunt, ...]:
        """Give the mutants that were not found for the right reason, those in doubt included."""
        return tuple(hunt for hunt in self.hunts if hunt.status != "killed")

    @property
    def false_alarms(self) -> tuple[dict[str, Any], ...]:
        """Give what was found where there is no mistake."""
        return self.clean.findings if self.clean else ()

    @property
    def gaps(self) -> tuple[str, ...]:
        """Say what is not known; a matrix with gaps is partial."""
        found = [f"{h.mutant.name}: {h.reason}" for h in self.hunts if h.status == "unknown"]
        if self.interrupted:
            found.append("the gauntlet was interrupted")
        if self.clean is None:
            found.append("the target without a mistake was not tried")
        elif not self.false_alarms and self.clean.reason:
            found.append(f"the target without a mistake: {self.clean.reason}")
        return tuple(found)

    @property
    def score(self) -> float:
        """Give the share of mutants that were killed as intended."""
        return 1 - len(self.survivors) / len(self.hunts) if self.hunts else 0.0

    @property
    def exit_status(self) -> int:
        """130 interrupted; 1 a false alarm; 99 too few killed; 2 partial; else 0."""
        if self.interrupted:
            return EXIT_INTERRUPTED
        if self.false_alarms:
            return EXIT_INVALID
        known = [hunt for hunt in self.hunts if hunt.status in {"survived", "incidental"}]
        if known and self.score < self.min_score:
            return EXIT_MISSED
        return EXIT_UNKNOWN if self.gaps else EXIT_VALID

    def headline(self) -> str:
        """Say in a line what was found of what there is."""
        counts = Counter(hunt.status for hunt in self.hunts)
        told = ", ".join(f"{counts[name]} {name}" for name in _ORDER if counts[name])
        alarms = len(self.false_alarms)
        return (
            f"{len(self.hunts)} defects: {told or 'none tried'};"
            f" {alarms} false alarm{'' if alarms == 1 else 's'} on the clean target"
            + ("; partial" if self.gaps else "")
        )

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data, for machines, for the page and for the documentation."""
        return {
            "target": self.target,
            "seed": self.seed,
            "suites": list(self.suites),
            "started_at": self.started_at,
            "duration_s": round(self.duration_s, 1),
            "headline": self.headline(),
            "complete": not self.gaps,
            "gaps": list(self.gaps),
            "score": round(self.score, 3),
            "min_score": self.min_score,
            "defects": [hunt.to_json() for hunt in self.hunts],
            "survivors": [hunt.mutant.name for hunt in self.survivors],
            "false_alarms": list(self.false_alarms),
            "clean": self.clean.to_json() if self.clean else None,
        }


_ORDER: tuple[Status, ...] = ("killed", "incidental", "survived", "unknown")


def summary(data: Mapping[str, Any]) -> dict[str, Any]:
    """Give a matrix's plain data in short: how many of each group were killed as intended."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for defect in data["defects"]:
        groups.setdefault(defect["group"], []).append(defect)
    told = [
        {
            "name": name,
            "count": len(defects),
            "killed": sum(defect["killed_as_intended"] for defect in defects),
            "missed": [d["name"] for d in defects if not d["killed_as_intended"]],
        }
        for name, defects in groups.items()
    ]
    return {
        "started_at": data["started_at"],
        "count": len(data["defects"]),
        "killed": sum(group["killed"] for group in told),
        "groups": told,
    }
