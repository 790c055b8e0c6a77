"""What the timing tests say of times that differ, of times that do not, and of a busy machine."""

from __future__ import annotations

import random

import pytest

from suites.security.ranks import told_apart

LEAST_S = 0.001


def _times(seed: str, noise_s: float, more_s: float = 0.0) -> list[float]:
    choices = random.Random(seed)  # noqa: S311 - no secret is drawn
    return [0.004 + more_s + choices.expovariate(1 / noise_s) for _ in range(36)]


@pytest.mark.parametrize(
    ("more_s", "noise_s", "verdict"),
    [
        (0.0, 0.0003, "no"),
        (0.0002, 0.0003, "no"),
        (0.003, 0.0003, "yes"),
        (-0.003, 0.0003, "yes"),
        (0.0, 0.02, "unknown"),
        (0.002, 0.02, "unknown"),
    ],
    ids=["alike", "too-little", "slower", "faster", "busy", "busy-and-slower"],
)
def test_times_are_told_apart_where_they_can_be(
    more_s: float, noise_s: float, verdict: str
) -> None:
    """A difference that a stranger could see is one; where noise would hide it, nothing is known.

    Neither verdict is given wrongly for any of many draws, which are the same every time.
    """
    found = {
        told_apart(
            _times(f"these {draw}", noise_s, more_s),
            _times(f"those {draw}", noise_s),
            _times(f"again {draw}", noise_s),
            LEAST_S,
        )
        for draw in range(12)
    }
    assert found == {verdict}


def test_a_machine_that_grows_slower_meanwhile_tells_nothing() -> None:
    """Where the same thing takes longer the second time, no difference means anything."""
    those = _times("those", 0.0003)
    again = [each + 0.002 for each in _times("again", 0.0003)]
    assert told_apart(_times("these", 0.0003, 0.003), those, again, LEAST_S) == "unknown"
