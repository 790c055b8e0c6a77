"""Shows a run's progress, and each bad test at once."""

from __future__ import annotations

from typing import Any

import pytest
from rich.progress import MofNCompleteColumn
from rich.text import Text

from harness.cli.bar import Bar
from harness.cli.console import COLOURS, errors
from harness.pytest_plugin import TOLD

_PARTS = 4


class Progress(Bar):
    """A pytest plugin: counts tests as they end, and tells of each bad one at once."""

    def __init__(self) -> None:
        super().__init__("running", MofNCompleteColumn(), parts=_PARTS)
        self._total = 0
        self._done = 0
        self._bad: set[str] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Learn how many tests there are."""
        self._set_total(len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:  # noqa: ARG002 - the hook's argument
        """Learn it from a worker: each collects them all."""
        self._set_total(len(ids))

    def _set_total(self, total: int) -> None:
        self._total = total or self._total
        self._count()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test at its end, and tell of it at once if it is bad."""
        told = getattr(report, TOLD, None)
        if told and told["result"] in {"failed", "unknown"}:
            self._tell(report.nodeid, told)
        if report.when == "teardown":
            self._done += 1
            self._count()

    def _tell(self, test: str, told: dict[str, Any]) -> None:
        if test in self._bad:
            return
        self._bad.add(test)
        result = told["result"]
        colour = COLOURS.get(result, "yellow")
        reason = (told["reason"] or "").splitlines()[:1]
        line = Text.assemble((result, colour), f" {test}: ", *reason)
        errors.print(line)

    def _count(self) -> None:
        self.show(self._done, self._total or None, f"{self._done} of {self._total} tests")
