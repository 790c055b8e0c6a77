import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from suites.load.measuring.latency import HIGHEST_US, Histogram, Moment, Track, coarse

_values = st.lists(st.integers(0, 10**9) | st.integers(0, 5000), min_size=1, max_size=1500)


def _filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def at_rank(values: list[int], percentile: float) -> int:
    """Give the value at the nearest rank, as HdrHistogram defines a percentile."""
    rank = max(1, int(percentile / 100 * len(values) + 0.5))
    return sorted(values)[rank - 1]


@given(_values, st.sampled_from([50.0, 90.0, 95.0, 99.0, 99.9]))
@settings(max_examples=60)
def test_percentiles_have_three_significant_figures(values: list[int], percentile: float) -> None:
    """A percentile is within a thousandth of the recorded value at that rank, never below it."""
    found_us = round(_filled(values).percentile_ms(percentile) * 1000)
    true_us = at_rank(values, percentile)
    assert true_us <= found_us <= true_us * 1.001 + 1


@given(st.lists(_values, min_size=1, max_size=4))
@settings(max_examples=30)
def test_merging_is_exact(parts: list[list[int]]) -> None:
    """Histograms of several workers, sent as JSON and added, are that of all values in one."""
    merged = Histogram()
    for part in parts:
        merged.add(json.loads(json.dumps(_filled(part).encode())))
    whole = _filled([value for part in parts for value in part])
    assert merged.summary_ms() == whole.summary_ms()
    assert merged.spectrum() == whole.spectrum()


def test_what_is_longer_than_an_hour_is_counted_as_clamped() -> None:
    """A value beyond the range is recorded at its end and told, also after a merge."""
    histogram = _filled([HIGHEST_US + 1, HIGHEST_US * 9, 5])
    other = Histogram()
    other.add(histogram.encode())
    told = other.summary_ms()
    assert (told["clamped"], told["count"]) == (2, 3)
    assert abs(told["max"] - HIGHEST_US / 1000) < HIGHEST_US / 1e6


@given(_values, st.integers(1, 10**9))
@settings(max_examples=60)
def test_counting_above_a_limit_never_counts_too_many(values: list[int], limit: int) -> None:
    """A run is given up for values that are surely above a limit, and for all that clearly are."""
    found = _filled(values).above(limit)
    assert found <= sum(value > limit for value in values)
    assert found >= sum(value > limit * 1.001 + 1 for value in values)


def test_an_empty_histogram_tells_noughts() -> None:
    """What recorded nothing has no percentiles, and says so with a count of nought."""
    assert set(Histogram().summary_ms().values()) == {0.0}
    assert Histogram().spectrum() == []


def test_the_spectrum_ends_with_the_slowest() -> None:
    """The percentile spectrum rises to 100, where the greatest value stands."""
    spectrum = _filled(list(range(1, 2001))).spectrum()
    assert [level for level, _ in spectrum] == sorted(level for level, _ in spectrum)
    assert spectrum[-1] == [100.0, 2.0]


def test_the_two_series_of_a_kind_stay_apart() -> None:
    """Latency from the intended start and service time are told side by side, with the errors."""
    track = Track()
    track.record(2_000_000, 1_000)
    track.errors = 1
    other = Track()
    other.add(track.encode())
    told = other.tell()
    assert (told["count"], told["errors"]) == (1, 1)
    assert math.isclose(told["latency_ms"]["p50"], 2000, rel_tol=0.001)
    assert math.isclose(told["service_ms"]["p50"], 1, rel_tol=0.002)


@given(st.integers(0, 10**10))
def test_a_coarse_value_is_within_three_percent(value: int) -> None:
    """The picture over time is never off by more than its pixels."""
    assert value * 31 / 32 <= coarse(value) <= value


def test_an_interval_adds_up_over_workers() -> None:
    """An interval of the series is the sum of all workers' intervals."""
    one, other = Moment(sent=2, completed=2, latencies=[10, 30]), Moment(sent=1, errors=1)
    other.latencies.append(20)
    whole = Moment()
    whole.add(one.encode())
    whole.add(other.encode())
    told = whole.tell(3.0)
    assert (told["t"], told["sent"], told["completed"], told["errors"]) == (3.0, 3, 2, 1)
    assert (told["p50"], told["max"]) == (0.02, 0.03)
