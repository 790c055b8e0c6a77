"""A pytest plugin for every process of a run, that keeps one job's share of the tests.

Each collects the whole selection, computes the same shares from it, and keeps its own. What several
tests share is made once in each share, at whichever comes first there: it is left out of durations.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from harness.order import as_written, moves_time
from harness.partition import shares

if TYPE_CHECKING:
    from collections.abc import Generator

    from harness.partition import Durations, Partition

SHARE = "harness-share"


class Share:
    """A pytest plugin: keeps the tests of one share; `selection` names all that there were."""

    def __init__(self, partition: Partition, durations: Durations, workers: int = 1) -> None:
        self.selection: tuple[str, ...] = ()
        self._partition = partition
        self._durations = durations
        self._workers = max(workers, 1)
        self._shared_s = 0.0
        self._is_timing = False

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave the other shares' tests out, once all that was not asked for is out."""
        self.selection = tuple(item.nodeid for item in as_written(items))
        costs = {item.nodeid: self._cost(item) for item in items}
        own = set(shares(costs, self._partition.total)[self._partition.index - 1])
        others = [item for item in items if item.nodeid not in own]
        if others:
            config.hook.pytest_deselected(items=others)
            items[:] = [item for item in items if item.nodeid in own]

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """Measure what it takes to make a fixture that outlives its test."""
        if fixturedef.scope == "function" or self._is_timing:
            return (yield)
        self._is_timing, began = True, time.perf_counter()
        try:
            return (yield)
        finally:
            self._is_timing = False
            self._shared_s += time.perf_counter() - began

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Take from a test's time what it made for others, too."""
        report = yield
        report.duration = max(0.0, report.duration - self._shared_s)
        self._shared_s = 0.0
        return report

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Tell the controlling process of the whole selection, where this is a worker's."""
        told: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if told is not None:
            told["harness_selection"] = list(self.selection)

    def _cost(self, item: pytest.Item) -> float | None:
        """Give what a test costs its share: one that runs alone keeps every worker waiting."""
        cost = self._durations.tests.get(item.nodeid)
        return cost * self._workers if cost is not None and moves_time(item) else cost
