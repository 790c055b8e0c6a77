"""How a measurement is taken and told: ours beside a peer's, from one run, as a ratio."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured twice. `ratio` is the peer's time over ours: above 1 we are faster."""

    what: str
    unit: str
    ours: float
    peer: float
    peer_name: str

    @property
    def ratio(self) -> float:
        """Give the peer's time over ours."""
        return self.peer / self.ours

    def line(self) -> str:
        """Say it in a line."""
        return (
            f"{self.what}: {self.ours:.3f} {self.unit}, {self.peer_name} {self.peer:.3f}"
            f" {self.unit}, ratio {self.ratio:.2f}"
        )

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {**asdict(self), "ratio": round(self.ratio, 3)}


def percentiles_ms(act: Callable[[], object], times: int) -> tuple[float, float]:
    """Give the median and the 95th percentile of an act's duration."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
