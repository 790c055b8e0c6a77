"""When requests shall start: stages to offsets, the same however many workers share them.

A stage's rate is a straight line from `rate` to `rate_end`; arrivals fall where the area under the
rates passes 0, 1, 2 …. A Poisson process passes the sums of exponential steps instead, drawn from
the seed, so its arrivals too are known before the start. Arrival k belongs to worker k mod N.
"""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_EPSILON = 1e-9  # areas are sums of products of decimal figures: 17/s for 60 s is 1020 arrivals


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a schedule. In the closed model, `rate` and `rate_end` are users.

    `burst` arrivals start together at its beginning; then the rate goes from `rate` to `rate_end`
    (the same where None) in `duration_s`.
    """

    duration_s: float
    rate: float
    rate_end: float | None = None
    burst: int = 0

    def __post_init__(self) -> None:
        figures = (self.duration_s, self.rate, self.end, self.burst)
        if not all(math.isfinite(figure) and figure >= 0 for figure in figures):
            raise SettingsError(
                f"a stage cannot be {self.duration_s:g} s long, and {self.rate:g} to {self.end:g}",
                hint="Durations and rates are finite and not negative.",
            )

    @property
    def end(self) -> float:
        """The rate at its end."""
        return self.rate if self.rate_end is None else self.rate_end

    @property
    def area(self) -> float:
        """How many arrivals the rate makes, the burst not counted."""
        return (self.rate + self.end) / 2 * self.duration_s

    def rate_at(self, offset_s: float) -> float:
        """Give the rate at an offset from its beginning."""
        return self.rate + (self.end - self.rate) * offset_s / self.duration_s

    def reached(self, area: float) -> float:
        """Give the offset at which the area since its beginning is so much.

        >>> Stage(10, 0, 10).reached(12.5)
        5.0
        """
        slope = (self.end - self.rate) / self.duration_s
        root = math.sqrt(max(self.rate**2 + 2 * slope * area, 0.0))
        return 2 * area / (self.rate + root) if area > 0 else 0.0


def offsets(stages: Iterable[Stage], *, poisson_seed: int | None = None) -> Iterator[float]:
    """Give each arrival's offset from the start in seconds, never falling.

    >>> list(offsets([Stage(2, 2), Stage(1, 0, burst=2)]))
    [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]
    """
    marks = _marks(poisson_seed)
    mark = next(marks)
    passed = began = 0.0
    for stage in stages:
        yield from itertools.repeat(began, stage.burst)
        while mark < passed + stage.area - _EPSILON:
            yield began + stage.reached(mark - passed)
            mark = next(marks)
        passed += stage.area
        began += stage.duration_s


def _marks(poisson_seed: int | None) -> Iterator[float]:
    if poisson_seed is None:
        return map(float, itertools.count())
    drawn = random.Random(poisson_seed)  # noqa: S311 - a schedule is repeatable, not secret
    return itertools.accumulate(drawn.expovariate(1.0) for _ in itertools.count())


def share(arrivals: Iterable[float], worker: int, workers: int) -> Iterator[tuple[int, float]]:
    """Give one worker's arrivals: number and offset.

    >>> list(share([0.0, 0.1, 0.2, 0.3], 1, 3))
    [(1, 0.1)]
    """
    return itertools.islice(enumerate(arrivals), worker, None, workers)


def count(stages: Sequence[Stage], *, poisson_seed: int | None = None) -> int:
    """Count a schedule's arrivals; those drawn by chance have to be drawn for it."""
    if poisson_seed is not None:
        return sum(1 for _ in offsets(stages, poisson_seed=poisson_seed))
    area = 0.0
    for stage in stages:  # in the order in which `offsets` adds them up
        area += stage.area
    return sum(stage.burst for stage in stages) + max(0, math.ceil(area - _EPSILON))


def duration_s(stages: Iterable[Stage]) -> float:
    """Give how long stages last in all."""
    return math.fsum(stage.duration_s for stage in stages)


def level(stages: Sequence[Stage], offset_s: float) -> float | None:
    """Give the rate (or the users) due at an offset; None after the end."""
    for stage in stages:
        if offset_s < stage.duration_s:
            return stage.rate_at(offset_s)
        offset_s -= stage.duration_s
    return None


def scaled(stages: Iterable[Stage], scale: float) -> tuple[Stage, ...]:
    """Shorten (or lengthen) every stage; rates and bursts stay."""
    return tuple(
        Stage(stage.duration_s * scale, stage.rate, stage.rate_end, stage.burst) for stage in stages
    )
