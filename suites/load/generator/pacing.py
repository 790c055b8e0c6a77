"""Begins each arrival at its time, over a bounded pool of slots, and loses none.

A slot (a greenlet with a connection of its own) takes the next arrival off the worker's schedule
and waits until its time. Where all slots are busy, the arrival waits in the schedule: it begins
late, its latency counts from when it was due, and beyond `lateness_s_max` it is dropped, and
counted. Clock and sleep are handed in, so that a test can let time pass as it likes.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Protocol

from suites.load.schedule import level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from suites.load.measuring.recording import Recorder
    from suites.load.schedule import Stage

    Clock = Callable[[], float]
    Sleep = Callable[[float], object]

_LOOK_S = 0.05
_NAP_S = 0.5  # how soon a slot that waits hears that the run has ended


class Act(Protocol):
    """Does one arrival."""

    def __call__(self, k: int, intended: float) -> tuple[str | None, bool]:
        """Give the reason why it is an error (None: it is none), and whether it was answered."""
        ...


class Pool:
    """The slots of one worker, all on one schedule. `stop` has nothing more begun."""

    def __init__(self, recorder: Recorder, *, clock: Clock, sleep: Sleep) -> None:
        self.stopped = False
        self._recorder = recorder
        self._clock = clock
        self._sleep = sleep

    def stop(self) -> None:
        """Begin nothing more."""
        self.stopped = True

    def work(self, slot: int, act: Act) -> None:
        """Do arrivals in one slot until there are no more for it."""
        raise NotImplementedError

    def _do(self, k: int, intended: float, free: float, started: float, act: Act) -> None:
        self._recorder.begin(intended, free, started)
        reason, answered = act(k, intended)
        self._recorder.end(k, intended, started, self._clock(), reason, answered=answered)


class OpenPool(Pool):
    """The open model: arrivals come when they are due, whatever became of those before."""

    def __init__(
        self,
        arrivals: Iterator[tuple[int, float]],
        recorder: Recorder,
        *,
        lateness_s_max: float,
        clock: Clock,
        sleep: Sleep,
    ) -> None:
        super().__init__(recorder, clock=clock, sleep=sleep)
        self._arrivals = arrivals
        self._lateness_s_max = lateness_s_max

    def work(self, slot: int, act: Act) -> None:  # noqa: ARG002 - every slot is like the others
        """Do arrivals in one slot until the schedule is at its end."""
        for k, offset_s in self._arrivals:
            intended = self._recorder.began + offset_s
            free = started = self._clock()
            while started < intended and not self.stopped:  # a timer may fire a little early
                self._sleep(min(intended - started, _NAP_S))
                started = self._clock()
            if self.stopped:
                return
            if started - intended > self._lateness_s_max:
                self._recorder.drop(intended)
            else:
                self._do(k, intended, free, started, act)


class ClosedPool(Pool):
    """The closed model: each user waits for the answer, thinks, and comes again.

    Users come and go as the stages say: a slot is active while its rank among all workers' slots
    is below the number of users due. What is due is what is begun, so nothing can be late.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        recorder: Recorder,
        *,
        worker: int,
        workers: int,
        think_s: float,
        clock: Clock,
        sleep: Sleep,
    ) -> None:
        super().__init__(recorder, clock=clock, sleep=sleep)
        self._stages = stages
        self._worker, self._workers = worker, workers
        self._numbers = itertools.count(worker, workers)
        self._think_s = think_s

    def work(self, slot: int, act: Act) -> None:
        """Be one user until the stages are over."""
        rank = slot * self._workers + self._worker
        while not self.stopped:
            now = self._clock()
            users = level(self._stages, now - self._recorder.began) if self._begun(now) else 0.0
            if users is None:
                return
            if rank >= users:
                self._sleep(_LOOK_S)
                continue
            self._do(next(self._numbers), now, now, now, act)
            if self._think_s:
                self._sleep(self._think_s)

    def _begun(self, now: float) -> bool:
        return now >= self._recorder.began
