"""What was measured: two histograms a kind, counts, and a series over time; merged exactly.

Values are whole microseconds in an HdrHistogram of three significant figures from 1 µs to an hour;
one beyond that is recorded at the hour and counted as clamped. Recording collects values and enters
them in lots, as equal values enter together: a lot costs less than its values one by one.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]  # it declares no types

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HIGHEST_US = 3_600_000_000
FIGURES = 3
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}
_LOT = 512
_SPECTRUM_TICKS = 5
_COARSE_BITS = 6
_US_PER_MS = 1000


class Histogram:
    """Durations, recorded in lots. `clamped` values were longer than an hour."""

    def __init__(self) -> None:
        self.clamped = 0
        self.fresh_ms: Counter[int] = Counter()
        self._hdr = HdrHistogram(1, HIGHEST_US, FIGURES)
        self._total_us = 0
        self._lot: list[int] = []

    def record(self, value_us: int) -> None:
        """Record one duration."""
        self._lot.append(value_us)
        if len(self._lot) >= _LOT:
            self._enter()

    def _enter(self) -> None:
        lot, self._lot = self._lot, []
        for value_us, times in Counter(lot).items():
            self.clamped += times if value_us > HIGHEST_US else 0
            kept_us = min(value_us, HIGHEST_US)
            self._hdr.record_value(kept_us, times)
            self._total_us += kept_us * times
            self.fresh_ms[kept_us // _US_PER_MS] += times

    def drain_ms(self) -> Counter[int]:
        """Give what has been recorded since the last time, in whole milliseconds."""
        self._enter()
        fresh, self.fresh_ms = self.fresh_ms, Counter()
        return fresh

    @property
    def count(self) -> int:
        """How many durations there are."""
        self._enter()
        return int(self._hdr.total_count)

    def above(self, limit_us: float) -> int:
        """Count those that are longer than a limit, as far as three figures can tell."""
        self._enter()
        bucket = self._hdr._counts_index_for(int(limit_us))  # noqa: SLF001 - it has no public name
        return sum(self._hdr.counts[bucket + 1 : self._hdr.counts_len])

    def add(self, data: Mapping[str, Any]) -> None:
        """Take in what another one encoded; counts are added bucket by bucket."""
        self._enter()
        self._hdr.decode_and_add(data["hdr"].encode())
        self.clamped += data["clamped"]
        self._total_us += data["total_us"]

    def encode(self) -> dict[str, Any]:
        """Give it as plain data, in HdrHistogram's own compressed form."""
        self._enter()
        encoded = self._hdr.encode()
        return {"hdr": encoded.decode(), "clamped": self.clamped, "total_us": self._total_us}

    def summary_ms(self) -> dict[str, float]:
        """Give count, mean, percentiles and the greatest value, in milliseconds."""
        count, ranks = self.count, self._ranks()
        told: dict[str, float] = {"count": count, "clamped": self.clamped}
        for name, percentile in PERCENTILES.items():
            told[name] = self._at(ranks, percentile)
        told["max"] = self._hdr.get_max_value() / _US_PER_MS if count else 0.0
        told["mean"] = self._total_us / count / _US_PER_MS if count else 0.0
        return {name: round(value, 3) for name, value in told.items()}

    def percentile_ms(self, percentile: float) -> float:
        """Give one percentile; 0 where nothing was recorded."""
        return self._at(self._ranks(), percentile)

    def spectrum(self) -> list[list[float]]:
        """Give `[percentile, milliseconds]`, closer together towards the top.

        The levels are those of HdrHistogram's percentile iterator: five for each halving of what
        is left to 100.
        """
        ranks = self._ranks()
        found: list[list[float]] = []
        level = 0.0
        while ranks:
            found.append([round(level, 5), self._at(ranks, level)])
            if self._rank(level) >= ranks[-1]:
                found[-1][0] = 100.0
                break
            halvings = int(math.log2(100 / (100 - level))) + 1
            level += 100 / (_SPECTRUM_TICKS * 2**halvings)
        return found

    def _ranks(self) -> list[int]:
        """Give how many values lie in each bucket or in one before it."""
        self._enter()
        if not self._hdr.total_count:
            return []
        last = self._hdr._counts_index_for(self._hdr.get_max_value())  # noqa: SLF001 - the same
        return list(itertools.accumulate(self._hdr.counts[: last + 1]))

    def _rank(self, percentile: float) -> int:
        return int(self._hdr.get_target_count_at_percentile(percentile))

    def _at(self, ranks: list[int], percentile: float) -> float:
        """Give the value at the nearest rank: the highest that its bucket stands for."""
        if not ranks:
            return 0.0
        bucket = bisect.bisect_left(ranks, self._rank(percentile))
        value_us = self._hdr.get_value_from_index(bucket)
        return float(self._hdr.get_highest_equivalent_value(value_us)) / _US_PER_MS


@dataclass(slots=True)
class Track:
    """The two series of one kind: from the intended start, and from the actual one."""

    latency: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    errors: int = 0

    def record(self, latency_us: int, service_us: int) -> None:
        """Record one that has ended."""
        self.latency.record(latency_us)
        self.service.record(service_us)

    def encode(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {
            "latency": self.latency.encode(),
            "service": self.service.encode(),
            "errors": self.errors,
        }

    def add(self, data: Mapping[str, Any]) -> None:
        """Take in what another one encoded."""
        self.latency.add(data["latency"])
        self.service.add(data["service"])
        self.errors += data["errors"]

    def tell(self) -> dict[str, Any]:
        """Give it as a result tells it."""
        return {
            "count": self.latency.count,
            "errors": self.errors,
            "latency_ms": self.latency.summary_ms(),
            "service_ms": self.service.summary_ms(),
            "spectrum": self.latency.spectrum(),
        }


def coarse(value_us: int) -> int:
    """Round down to six significant bits: within 3 %, for the picture over time.

    >>> coarse(63), coarse(1000), coarse(1015)
    (63, 992, 992)
    """
    shift = max(0, value_us.bit_length() - _COARSE_BITS)
    return value_us >> shift << shift


@dataclass(slots=True)
class Moment:
    """One interval of the series, by intended start."""

    sent: int = 0
    completed: int = 0
    errors: int = 0
    dropped: int = 0
    latencies: list[int] = field(default_factory=list)
    counts: Counter[int] = field(default_factory=Counter)

    def encode(self) -> list[Any]:
        """Give it as plain data."""
        self.counts.update(map(coarse, self.latencies))
        self.latencies.clear()
        figures = [self.sent, self.completed, self.errors, self.dropped]
        return [*figures, [list(pair) for pair in self.counts.items()]]

    def add(self, data: Iterable[Any]) -> None:
        """Take in what another one encoded."""
        sent, completed, errors, dropped, counts = data
        self.sent += sent
        self.completed += completed
        self.errors += errors
        self.dropped += dropped
        for value_us, times in counts:
            self.counts[value_us] += times

    def tell(self, at_s: float) -> dict[str, float]:
        """Give it as a result tells it: percentiles within 3 %."""
        told: dict[str, float] = {
            "t": at_s,
            "sent": self.sent,
            "completed": self.completed,
            "errors": self.errors,
            "dropped": self.dropped,
        }
        values = sorted(self.counts.items())
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            told[name] = _at_share(values, share) / _US_PER_MS
        return told


def _at_share(values: list[tuple[int, int]], share: float) -> int:
    due = max(1, round(share * sum(times for _, times in values)))
    passed = 0
    for value_us, times in values:
        passed += times
        if passed >= due:
            return value_us
    return 0
