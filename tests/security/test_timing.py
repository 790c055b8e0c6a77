"""What the timing tests make of answers that take their time: a breach, a pass, or a doubt."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import Unknown
from harness.target.wire import NoReply, Reply
from suites.security.test_timing import ROUNDS, _assert_alike

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.session import Session


def answering(times_ms: Sequence[float], status: int = 404) -> Callable[[Session], None]:
    """Have each request answered after the next of these times, over and over."""
    times = itertools.cycle(times_ms)

    def act(session: Any) -> None:
        reply = Reply(status) if status else NoReply("timeout", sent=True)
        exchange = SimpleNamespace(reply=reply, elapsed_ms=next(times))
        session.records.append(SimpleNamespace(exchanges=[exchange]))

    return act


def judged(known_ms: Sequence[float], unknown_ms: Sequence[float], status: int = 404) -> None:
    """Have the suite compare answers that take so long."""
    session: Any = SimpleNamespace(records=[])
    rounds = iter([session] * ROUNDS)
    _assert_alike(rounds, answering(known_ms, status), answering(unknown_ms, status), "it is told")


def test_a_refusal_that_takes_longer_is_a_breach() -> None:
    """Five milliseconds more for what there is are found, and said as what they tell."""
    with pytest.raises(AssertionError, match="by the time of its refusal alone, it is told"):
        judged([9.0, 9.1, 8.9], [4.0, 4.1, 3.9, 4.2, 3.8])


def test_refusals_that_take_the_same_are_a_pass() -> None:
    """Times that differ by less than is seen from elsewhere are no finding."""
    judged([4.1, 4.0, 3.9], [4.0, 4.1, 3.9, 4.2, 3.8])


@pytest.mark.parametrize("status", [429, 0], ids=["limited", "silent"])
def test_answers_that_cannot_be_measured_prove_nothing(status: int) -> None:
    """A refusal by a limit, or none at all, is no refusal of what was asked."""
    with pytest.raises(Unknown, match="could not be measured"):
        judged([9.0], [4.0], status)


def test_a_busy_machine_proves_nothing() -> None:
    """Where one thing takes now 1 ms and now 40, no millisecond can be seen."""
    with pytest.raises(Unknown, match="vary too much"):
        judged([1.0, 40.0, 7.0, 22.0], [30.0, 2.0, 11.0, 40.0, 1.0])
