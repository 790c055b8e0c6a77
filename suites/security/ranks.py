"""Tells slow from slower by ranks, for a single threshold deceives on a machine that is busy.

The test is Wilcoxon's for matched pairs, exact: https://doi.org/10.2307/3001968.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CHANCE = 0.001
PAIRS_MIN = 10


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
