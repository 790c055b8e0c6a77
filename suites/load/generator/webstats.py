"""Feeds Locust's own statistics, which its web page shows, once a second instead of per request."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from locust.stats import RequestStats, StatsEntry

    from suites.load.measuring.recording import Recorder

_METHOD = "load"


class Tally:
    """Remembers how many errors Locust has been told of already."""

    def __init__(self) -> None:
        self._errors: Counter[str] = Counter()

    def enter(self, stats: RequestStats, recorder: Recorder) -> None:
        """Enter what is new in the books: latencies from the intended start, and errors."""
        for kind, track in recorder.kinds.items():
            errors = track.errors - self._errors[kind]
            self._errors[kind] = track.errors
            fresh = track.latency.drain_ms()
            for entry in (stats.get(kind, _METHOD), stats.total):
                _add(entry, fresh, errors)


def _add(entry: StatsEntry, fresh_ms: Counter[int], errors: int) -> None:
    from locust.stats import bucket_response_time  # only in the load process

    second = int(time.time())
    for value_ms, times in fresh_ms.items():
        entry.log(value_ms, 0)
        entry.response_times[bucket_response_time(value_ms)] += times - 1
        entry.num_requests += times - 1
        entry.num_reqs_per_sec[second] += times - 1
        entry.total_response_time += value_ms * (times - 1)
    if errors:
        entry.num_failures += errors
        entry.num_fail_per_sec[second] += errors
