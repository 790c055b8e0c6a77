"""Runs the tests that are likeliest to find something first, and stops once it is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.checks import CHECKS
from harness.found import ANYTHING, BLIND, function_of, names_of
from harness.pytest_plugin import TOLD

if TYPE_CHECKING:
    from collections.abc import Collection


class Aim:
    """A pytest plugin. `found` says by what the run was stopped, None while nothing was found.

    `blind` says that nothing here can find what is looked for: then the run stops at once.

    `first` and `stop_at` name test functions; `stop_at` checks, too, or `*` for any. Tests that run
    in processes of their own (`-n`) keep their order.
    """

    def __init__(self, first: Collection[str], stop_at: Collection[str]) -> None:
        self.found: str | None = None
        self.blind: str | None = None
        self._first = frozenset(first)
        self._stop_at = frozenset(stop_at)
        self._session: pytest.Session | None = None

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Take hold of what can be stopped."""
        self._session = session

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put the likeliest tests first; the rest stay as they are."""
        items.sort(key=lambda item: function_of(item.nodeid) not in self._first)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Stop at once where no check and no test has a name that is looked for."""
        there = {ANYTHING, *(check.name for check in CHECKS)}
        there |= {function_of(item.nodeid) for item in session.items}
        if self._stop_at and not self._stop_at & there:
            self.blind = f"{BLIND} {', '.join(sorted(self._stop_at))}"
            session.shouldstop = self.blind

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Stop after the test that found what is looked for."""
        told = getattr(report, TOLD, None)
        for finding in told["findings"] if told else ():
            names = [*names_of(finding), ANYTHING]
            name = next((name for name in names if name in self._stop_at), None)
            if name and self._session and not self.found:
                self.found = name
                self._session.shouldstop = f"{name} has found what is looked for"
