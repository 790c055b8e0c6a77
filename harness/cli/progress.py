"""Shows a run's progress: a bar where a person watches, a line now and then where a log is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.text import Text

from harness.cli.console import COLOURS, errors
from harness.pytest_plugin import TOLD

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_PARTS = 4


class Progress:
    """A pytest plugin: counts tests as they end, and tells of each bad one at once."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._bar = Bar(*columns, console=errors, transient=True, disable=not errors.is_terminal)
        self._task = self._bar.add_task("running", total=None)
        self._total = 0
        self._done = 0
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        self._bar.stop()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Learn how many tests there are."""
        self._set_total(len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:  # noqa: ARG002 - the hook's argument
        """Learn it from a worker: each collects them all."""
        self._set_total(len(ids))

    def _set_total(self, total: int) -> None:
        self._total = total or self._total
        self._bar.update(self._task, total=self._total)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test at its end, and tell of it at once if it is bad."""
        told = getattr(report, TOLD, None)
        if told and told["result"] in {"failed", "unknown"}:
            self._tell(report.nodeid, told)
        if report.when == "teardown":
            self._done += 1
            self._bar.update(self._task, completed=self._done)
            self._tell_part()

    def _tell(self, test: str, told: dict[str, Any]) -> None:
        if test in self._told:
            return
        self._told.add(test)
        result = told["result"]
        colour = COLOURS.get(result, "yellow")
        reason = (told["reason"] or "").splitlines()[:1]
        line = Text.assemble((result, colour), f" {test}: ", *reason)
        errors.print(line)

    def _tell_part(self) -> None:
        """Where there is no bar, tell each time a quarter of the tests has ended."""
        if errors.is_terminal or not self._total:
            return
        before, now = (count * _PARTS // self._total for count in (self._done - 1, self._done))
        if now > before:
            errors.print(f"{self._done} of {self._total} tests")
