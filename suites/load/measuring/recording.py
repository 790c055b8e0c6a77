"""The books of one worker: every arrival of its share is in exactly one column at any time."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from suites.load.measuring.latency import Histogram, Moment, Track

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

_US = 1_000_000


class Recorder:
    """Counts and measures. Times are seconds of the monotonic clock.

    `scheduled` is this worker's share; None in the closed model, where what is sent is what was
    scheduled. `trace` gets a line for each arrival that has ended.
    """

    def __init__(
        self, scheduled: int | None, began: float, interval_s: float, trace: TextIO | None = None
    ) -> None:
        self.began = began
        self.sent = self.completed = self.dropped = self.ended = self.waited = 0
        self.ended_at = began
        self.reasons: Counter[str] = Counter()
        self.counters: Counter[str] = Counter()
        self.arrivals = Track()
        self.kinds: defaultdict[str, Track] = defaultdict(Track)
        self.lateness = Histogram()
        self.lag = Histogram()
        self._scheduled = scheduled
        self._interval_s = interval_s
        self._moments: defaultdict[int, Moment] = defaultdict(Moment)
        self._changed: set[int] = set()
        self._trace = trace
        self.count_cpu()

    @property
    def scheduled(self) -> int:
        """How many arrivals are this worker's."""
        return self.sent + self.dropped if self._scheduled is None else self._scheduled

    def begin(self, intended: float, free: float, started: float) -> None:
        """Note that an arrival begins: due at `intended`, its connection free at `free`.

        Where the connection was free in time, what is late is the generator's own lateness.
        """
        self.sent += 1
        index = int((intended - self.began) / self._interval_s)
        self._moments[index].sent += 1
        self._changed.add(index)
        if free <= intended:
            self.lateness.record(int((started - intended) * _US))
        else:
            self.waited += 1

    def drop(self, intended: float) -> None:
        """Note that an arrival came too late to be begun."""
        self.dropped += 1
        index = int((intended - self.began) / self._interval_s)
        self._moments[index].dropped += 1
        self._changed.add(index)

    def end(
        self,
        k: int,
        intended: float,
        started: float,
        ended: float,
        reason: str | None,
        *,
        answered: bool,
    ) -> None:
        """Note how an arrival ended; `reason` says why it is an error, None where it is none."""
        self.ended += 1
        self.ended_at = ended
        latency_us = int((ended - intended) * _US)
        self.arrivals.record(latency_us, int((ended - started) * _US))
        index = int((intended - self.began) / self._interval_s)
        moment = self._moments[index]
        moment.latencies.append(latency_us)
        self._changed.add(index)
        if answered:
            self.completed += 1
            moment.completed += 1
        if reason is not None:
            self.arrivals.errors += 1
            self.reasons[reason] += 1
            moment.errors += 1
        if self._trace:
            told = f"{k},{intended:.6f},{started:.6f},{ended:.6f},{reason or ''}\n"
            self._trace.write(told)

    def count_cpu(self) -> None:
        """Count the processor's time from now on."""
        self._cpu_began, self._wall_began = time.process_time(), time.monotonic()

    def cpu(self) -> float:
        """Give the share of one core that this process has used since then."""
        wall_s = time.monotonic() - self._wall_began
        return (time.process_time() - self._cpu_began) / wall_s if wall_s > 0 else 0.0

    def snapshot(
        self, *, whole: bool, breathe: Callable[[], object] = lambda: None
    ) -> dict[str, Any]:
        """Give the books as plain data, all totals from the beginning.

        The series tells the intervals that changed since the last snapshot; all if `whole`. To
        encode them takes some milliseconds, in which no arrival would begin: `breathe` is called
        in between, and what happens then may be in the histograms and not yet in the counts.
        """
        told = self._moments.keys() if whole else self._changed
        moments = [[index, self._moments[index].encode()] for index in sorted(told)]
        self._changed = set()
        if self._trace:
            self._trace.flush()
        books = self._counts() | {"moments": moments}
        breathe()
        books["arrivals"] = self.arrivals.encode()
        breathe()
        books["lateness"], books["lag"] = self.lateness.encode(), self.lag.encode()
        books["kinds"] = {}
        for name, track in list(self.kinds.items()):
            breathe()
            books["kinds"][name] = track.encode()
        return books

    def _counts(self) -> dict[str, Any]:
        return {
            "scheduled": self.scheduled,
            "sent": self.sent,
            "completed": self.completed,
            "dropped": self.dropped,
            "ended": self.ended,
            "waited": self.waited,
            "ended_after_s": self.ended_at - self.began,
            "reasons": dict(self.reasons),
            "counters": dict(self.counters),
            "cpu": self.cpu(),
        }
