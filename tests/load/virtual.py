"""Time that passes when everybody sleeps: slots as greenlets, a clock that jumps."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]  # it declares no types

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class VirtualTime:
    """A clock and a sleep; `run` goes on until everybody has ended."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self._queue: list[tuple[float, int, greenlet]] = []
        self._numbers = itertools.count()
        self._hub = getcurrent()

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self._put(self.now + max(seconds, 0.0), getcurrent())
        self._hub.switch()

    def run(self, works: Sequence[Callable[[], None]]) -> None:
        self._hub = getcurrent()
        for work in works:
            self._put(self.now, greenlet(work))
        while self._queue:
            due, _, sleeper = heapq.heappop(self._queue)
            self.now = max(self.now, due)
            sleeper.switch()

    def _put(self, due: float, sleeper: greenlet) -> None:
        heapq.heappush(self._queue, (due, next(self._numbers), sleeper))
