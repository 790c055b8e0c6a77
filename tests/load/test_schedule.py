import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SettingsError
from suites.load.schedule import Stage, count, duration_s, level, offsets, scaled, share

_rates = st.integers(0, 40).map(float)
_stages = st.lists(
    st.builds(
        Stage,
        duration_s=st.integers(1, 6).map(float),
        rate=_rates,
        rate_end=st.none() | _rates,
        burst=st.integers(0, 5),
    ),
    min_size=1,
    max_size=4,
)


@given(_stages, st.none() | st.integers(0, 99), st.integers(1, 7))
@settings(max_examples=60)
def test_a_split_schedule_is_the_same_schedule(
    stages: list[Stage], seed: int | None, workers: int
) -> None:
    """However many workers share a schedule, together they have every arrival exactly once."""
    whole = list(enumerate(offsets(stages, poisson_seed=seed)))
    shares = [share(offsets(stages, poisson_seed=seed), n, workers) for n in range(workers)]
    assert sorted(itertools.chain(*shares)) == whole


@given(_stages, st.none() | st.integers(0, 99))
@settings(max_examples=60)
def test_arrivals_never_go_back_nor_past_the_end(stages: list[Stage], seed: int | None) -> None:
    """Offsets never fall, and all lie within the stages."""
    found = list(offsets(stages, poisson_seed=seed))
    assert found == sorted(found)
    assert not found or (found[0] >= 0 and found[-1] <= duration_s(stages) + 1e-6)


@given(_stages)
@settings(max_examples=60)
def test_evenly_spaced_arrivals_are_as_many_as_the_area_under_the_rate(stages: list[Stage]) -> None:
    """Beside the bursts, there are as many arrivals as the rates add up to."""
    area = math.fsum(stage.area for stage in stages)
    bursts = sum(stage.burst for stage in stages)
    assert len(list(offsets(stages))) == count(stages) == bursts + math.ceil(round(area, 6))


def test_the_webhook_schedule_has_the_arrivals_that_one_counts_by_hand() -> None:
    """17 a second for a minute and 50 for half a minute are 1020 and 1500 arrivals, 20 ms apart."""
    found = list(offsets([Stage(60, 17), Stage(30, 50)]))
    assert len(found) == 1020 + 1500
    assert found[1020] == pytest.approx(60.0)
    assert found[1021] - found[1020] == pytest.approx(0.02)


def test_a_ramp_comes_closer_and_closer() -> None:
    """From 0 to 10 a second in 10 seconds, arrival k comes at the root of 2 k."""
    found = list(offsets([Stage(10, 0, 10)]))
    assert found == pytest.approx([math.sqrt(2 * k) for k in range(50)])


def test_poisson_arrivals_follow_from_the_seed() -> None:
    """The same seed draws the same arrivals, another one others, of the same mean."""
    stages = [Stage(200, 50)]
    first, again, other = (list(offsets(stages, poisson_seed=seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert abs(len(first) - 10_000) < 5 * math.sqrt(10_000)


def test_a_poisson_burst_still_comes_whole() -> None:
    """A burst is no matter of chance."""
    stages = [Stage(1, 0), Stage(1, 0, burst=7)]
    assert list(offsets(stages, poisson_seed=3)) == [1.0] * 7


def test_scaling_shortens_stages_and_leaves_rates() -> None:
    """A scaled schedule has the same rates in less time."""
    assert scaled([Stage(60, 17, 50, 3)], 0.1) == (Stage(6.0, 17, 50, 3),)


def test_users_due_follow_the_stages() -> None:
    """In the closed model a stage's rate is the number of users, until the stages are over."""
    stages = [Stage(10, 0, 20), Stage(5, 20)]
    assert [level(stages, at) for at in (0.0, 5.0, 12.0)] == [0.0, 10.0, 20.0]
    assert level(stages, 15.0) is None


@pytest.mark.parametrize("figures", [(-1.0, 5.0), (5.0, -1.0), (math.inf, 1.0), (1.0, math.nan)])
def test_stages_that_make_no_sense_are_refused(figures: tuple[float, float]) -> None:
    """A negative or endless duration or rate is a user's mistake, told as such."""
    with pytest.raises(SettingsError):
        Stage(*figures)
