"""Soak: usage for long, at a rate that is no strain; what grows slowly shows."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, ClassVar

from suites.load.scenarios.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from suites.load.ground import LoadGround
    from suites.load.measuring.result import Result

_INTERVALS_MIN = 8


class Soak(Usage):
    """The usage scenario for half an hour, whose end must be as quick as its beginning."""

    name: ClassVar[str] = "soak"
    help: ClassVar[str] = "Usage for half an hour: the last quarter must be as quick as the first."
    rate: ClassVar[float] = 10.0
    duration_s: ClassVar[float] = 1800.0
    extras: ClassVar[Mapping[str, tuple[float, str]]] = {
        **Usage.extras,
        "drift": (2.0, "how many times the first quarter's p99 the last one's may be"),
        "drift_ms": (50.0, "milliseconds by which it may grow in any case"),
    }

    def review(self, ground: LoadGround, result: Result) -> list[dict[str, Any]]:
        """Add a threshold of its own: the p99 of the last quarter against the first's."""
        before, after = quarters(result.series)
        if before is not None and after is not None:
            most = max(self.own["drift"] * before, before + self.own["drift_ms"])
            told = {
                "expression": f"last_quarter.latency_ms.p99<={most:.4g}",
                "value": after,
                "passed": after <= most,
            }
            result.thresholds.append(told)
        return super().review(ground, result)


def quarters(series: list[dict[str, float]]) -> tuple[float | None, float | None]:
    """Give the median of the p99s of a run's first and last quarter; None where it is too short."""
    answered = [interval["p99"] for interval in series if interval.get("completed")]
    if len(answered) < _INTERVALS_MIN:
        return None, None
    part = len(answered) // 4
    return statistics.median(answered[:part]), statistics.median(answered[-part:])
