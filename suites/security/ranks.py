"""Tells slow from slower by ranks, for a single threshold deceives on a machine that is busy.

The test is Wilcoxon's for matched pairs, exact: https://doi.org/10.2307/3001968.
"""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

CHANCE = 0.001
PAIRS_MIN = 10
_NORMAL = 1.4826  # of a median deviation: the standard deviation, where values are spread normally
_MEDIAN = 1.2533  # the square root of pi/2: how much wider a median is spread than a mean
_SURE = 3.29  # standard deviations, beyond which one in 1000 lies


def slower(these: Sequence[float], those: Sequence[float]) -> bool:
    """Whether the first of each pair takes longer, by more than chance explains (one in 1000).

    Raises `ValueError` for too few pairs to tell at all.

    >>> slower([1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0], [1.0] * 10)
    True
    >>> slower([1.0] * 10, [1.0] * 10)
    False
    """
    if len(these) != len(those) or len(these) < PAIRS_MIN:
        raise ValueError(f"{PAIRS_MIN} pairs are the least")
    differences = [this - that for this, that in zip(these, those, strict=True) if this != that]
    return _chance(differences) < CHANCE


def told_apart(
    these: Sequence[float], those: Sequence[float], again: Sequence[float], least: float
) -> Literal["yes", "no", "unknown"]:
    """Whether these differ from those by `least` or more, and not by chance (one in 1000).

    Each of `these` stands beside one of `those`, and beside one of those measured `again`: where
    two measurements of one thing differ, or vary too much for so small a difference to be seen,
    nothing is known. Raises `ValueError` for too few to tell at all.

    >>> steady = [1.0, 1.1] * 8
    >>> told_apart([3.0, 3.1] * 8, steady, steady[::-1], 1.0)
    'yes'
    >>> told_apart(steady[::-1], steady, steady[::-1], 1.0)
    'no'
    >>> told_apart([1.0, 9.0, 4.0, 0.0] * 4, [5.0, 1.0, 2.0, 7.0] * 4, [0.0, 8.0] * 8, 1.0)
    'unknown'
    """
    drift = [one - other for one, other in zip(again, those, strict=True)]
    gap = [this - that for this, that in zip(these, those, strict=True)]
    if slower(again, those) or slower(those, again):
        return "unknown"
    if (slower(these, those) or slower(those, these)) and abs(median(gap)) >= least:
        return "yes"
    return "no" if max(_blur(gap), _blur(drift)) < least else "unknown"


def _blur(differences: Sequence[float]) -> float:
    """Give how far their median may lie from the true one."""
    middle = median(differences)
    deviation = median(abs(each - middle) for each in differences)
    return _SURE * _MEDIAN * _NORMAL * deviation / math.sqrt(len(differences))


def _chance(differences: Sequence[float]) -> float:
    """Give the chance of ranks so high among the positive where the sign means nothing."""
    ordered = sorted(differences, key=abs)
    score = sum(rank for rank, value in enumerate(ordered, 1) if value > 0)
    # ways[s]: in how many ways signs can be dealt out so that the positive ranks add up to s.
    ways: list[int] = [1]
    for rank in range(1, len(ordered) + 1):
        longer = [0] * (len(ways) + rank)
        for total, count in enumerate(ways):
            longer[total] += count
            longer[total + rank] += count
        ways = longer
    return sum(ways[score:]) / float(2 ** len(ordered))
