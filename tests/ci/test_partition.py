"""Shares of the tests: each test in exactly one, balanced, the same everywhere, none empty."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SettingsError
from harness.partition import (
    Durations,
    Partition,
    digest,
    parse_partition,
    partition_of,
    read_durations,
    shares,
)
from harness.share import Share

if TYPE_CHECKING:
    import random
    from collections.abc import Generator
    from pathlib import Path

COSTS = st.dictionaries(st.text(max_size=4), st.none() | st.floats(0, 100), max_size=40)


@given(COSTS, st.integers(1, 8))
def test_shares_are_a_partition_of_all_tests(costs: dict[str, float | None], total: int) -> None:
    """Each test is in exactly one share, and none is empty where there are tests enough."""
    dealt = shares(costs, total)
    assert len(dealt) == total
    assert sorted(test for share in dealt for test in share) == sorted(costs)
    if len(costs) >= total:
        assert all(dealt)


@given(COSTS, st.integers(1, 8), st.randoms(use_true_random=False))
def test_shares_are_the_same_on_every_machine(
    costs: dict[str, float | None], total: int, dice: random.Random
) -> None:
    """The order in which a machine collects tests changes nothing."""
    mixed = list(costs.items())
    dice.shuffle(mixed)
    assert shares(dict(mixed), total) == shares(costs, total)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=60), st.integers(1, 8))
def test_no_share_is_longer_than_the_mean_and_one_test(costs: list[float], total: int) -> None:
    """The greedy bound holds: the longest share is within one test of the mean."""
    named = {f"t{number}": cost for number, cost in enumerate(costs)}
    loads = [sum(named[test] for test in share) for share in shares(dict(named), total)]
    assert max(loads) <= sum(costs) / total + max(costs) + 1e-6


def test_a_test_without_a_record_costs_the_median() -> None:
    """An unknown test weighs as much as the median of those known, not nothing."""
    dealt = shares({"a": 9.0, "b": 3.0, "c": 3.0, "new": None}, 2)
    assert sorted(map(sorted, dealt)) == [["a"], ["b", "c", "new"]]


@pytest.mark.parametrize("text", ["0/4", "5/4", "2", "2/", "-1/4", "2/4/8", "1/1001", "a/b", "٢/٤"])
def test_what_is_no_partition_is_refused(text: str) -> None:
    """Anything but K/N with 1 ≤ K ≤ N is told with an example, never run as the whole."""
    with pytest.raises(SettingsError, match="names no partition"):
        parse_partition(text)


@pytest.mark.parametrize(
    ("variables", "partition"),
    [
        ({}, None),
        ({"CI_NODE_TOTAL": "1"}, None),
        ({"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "4"}, Partition(1, 4)),
        ({"CI_NODE_INDEX": "4", "CI_NODE_TOTAL": "4"}, Partition(4, 4)),
        ({"CIRCLE_NODE_INDEX": "0", "CIRCLE_NODE_TOTAL": "4"}, Partition(1, 4)),
        ({"CIRCLE_NODE_INDEX": "3", "CIRCLE_NODE_TOTAL": "4"}, Partition(4, 4)),
    ],
)
def test_a_ci_systems_variables_name_the_partition(
    variables: dict[str, str], partition: Partition | None
) -> None:
    """GitLab counts from 1, and tells every job a total of 1; CircleCI counts from 0."""
    assert partition_of(variables) == partition


@pytest.mark.parametrize(
    "variables",
    [
        {"CI_NODE_TOTAL": "4"},
        {"CI_NODE_INDEX": "2"},
        {"CI_NODE_INDEX": "0", "CI_NODE_TOTAL": "4"},
        {"CI_NODE_INDEX": "x", "CI_NODE_TOTAL": "4"},
        {"CIRCLE_NODE_INDEX": "4", "CIRCLE_NODE_TOTAL": "4"},
    ],
)
def test_half_a_partition_is_refused(variables: dict[str, str]) -> None:
    """An index without a total, or counted from elsewhere, would leave a hole or run all twice."""
    with pytest.raises(SettingsError):
        partition_of(variables)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"tests": []}', '{"tests": {"a": "x"}}', '{"tests": {"a": NaN}}',
             '{"tests": {"a": -1}}', '{"tests": {"a": 1e9}}'],
)  # fmt: skip
def test_damaged_durations_are_refused(text: str, tmp_path: Path) -> None:
    """Shares cut by nonsense would differ between jobs: the file is told instead."""
    file = tmp_path / "durations.json"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"durations\.json"):
        read_durations(file)


def test_durations_come_back_as_they_were_kept(tmp_path: Path) -> None:
    """A record is read as it was written; one that is not there yet is empty, and no mistake."""
    kept = Durations({"a": 1.5, "b": 0.25}, "main", "c0ffee")
    file = tmp_path / "durations.json"
    file.write_text(json.dumps(kept.to_json()))
    assert read_durations(file) == kept
    assert read_durations(tmp_path / "none.json") == Durations()
    assert kept.digest != Durations().digest


class Collected:
    """What pytest hands to a plugin after collection, and what it says was left out."""

    def __init__(self, tests: dict[str, tuple[str, ...]]) -> None:
        self.items: list[Any] = [
            SimpleNamespace(nodeid=name, fixturenames=fixtures, stash=pytest.Stash())
            for name, fixtures in tests.items()
        ]
        self.left_out: list[str] = []
        self.hook = self

    def pytest_deselected(self, items: list[Any]) -> None:
        """Note what was left out."""
        self.left_out += [item.nodeid for item in items]


def kept_by(
    index: int, tests: dict[str, tuple[str, ...]], durations: Durations, workers: int = 1
) -> list[str]:
    """Give what the plugin keeps of these tests, by their fixtures, for one share of two."""
    found: Any = Collected(tests)
    share = Share(Partition(index, 2), durations, workers)
    share.pytest_collection_modifyitems(found, found.items)
    own = [item.nodeid for item in found.items]
    assert share.selection == tuple(tests)
    assert sorted([*own, *found.left_out]) == sorted(tests)
    return own


def test_the_plugin_keeps_its_share_in_the_order_of_the_whole() -> None:
    """Two jobs keep all tests between them, in the order in which they were collected."""
    tests: dict[str, tuple[str, ...]] = dict.fromkeys("dcba", ())
    durations = Durations(dict.fromkeys("abcd", 1.0))
    first, second = kept_by(1, tests, durations), kept_by(2, tests, durations)
    assert sorted(first + second) == list("abcd")
    assert first == sorted(first, reverse=True)


def test_a_test_that_runs_alone_costs_every_worker_its_time() -> None:
    """With four workers a story of time keeps them all waiting, and weighs four times as much."""
    tests = {"clock": ("clock",), **dict.fromkeys("abcd", ())}
    durations = Durations(dict.fromkeys(tests, 1.0))
    assert len(kept_by(1, tests, durations, workers=1)) == 3
    assert kept_by(1, tests, durations, workers=4) == ["clock"]


def finished(steps: Generator[Any, Any, Any], given: object = None) -> Any:
    """Go through a wrapping hook whose inside gives this; give what it gives."""
    next(steps)
    with pytest.raises(StopIteration) as ended:
        steps.send(given)
    return ended.value.value


def test_what_tests_share_is_no_cost_of_the_one_that_came_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Time for a fixture of a module, and for what it needs, is in no test's; a test's own is."""
    now = [0.0]
    monkeypatch.setattr("harness.share.time.perf_counter", lambda: now[0])
    share = Share(Partition(1, 2), Durations())

    def made(scope: str) -> Generator[Any, Any, Any]:
        fixture: Any = SimpleNamespace(scope=scope)
        return share.pytest_fixture_setup(fixture)

    def told(duration_s: float) -> float:
        report = SimpleNamespace(duration=duration_s)
        return float(finished(share.pytest_runtest_makereport(), report).duration)

    outer = made("module")
    next(outer)
    now[0] = 2.0
    inner = made("session")
    next(inner)
    now[0] = 3.0
    with pytest.raises(StopIteration):
        inner.send("inner")
    with pytest.raises(StopIteration, match="outer"):
        outer.send("outer")
    assert finished(made("function"), "own") == "own"
    assert (told(3.5), told(3.5)) == (0.5, 3.5)


def test_a_digest_tells_lists_apart() -> None:
    """Another test, or another order, is another digest."""
    assert len({digest("ab"), digest("ba"), digest("abc")}) == 3
