"""A progress bar where a person watches, and a line now and then where a log is kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from harness.cli.console import errors

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.progress import ProgressColumn

_LINE_EVERY_S = 2.0


class Bar:
    """One bar on standard error. `figures` stand between it and the time that has passed."""

    def __init__(self, description: str, *figures: ProgressColumn, parts: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), *figures, TimeElapsedColumn())
        self._bar = Progress(
            *columns, console=errors, transient=True, disable=not errors.is_terminal
        )
        self._task = self._bar.add_task(description, total=None, visible=bool(description))
        self._parts = parts
        self._told = 0
        self._told_at = time.monotonic()

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

    def hide(self) -> None:
        """Begin anew, without a bar until it shows something."""
        self._told = 0
        self._told_at = time.monotonic()
        self._bar.update(self._task, visible=False)

    def show(
        self, done: float, total: float | None, line: str, description: str | None = None
    ) -> None:
        """Show how much is done; where nobody watches, print the line when a part more is.

        A log is not told of parts that pass in a moment, but always of the end.
        """
        self._bar.update(
            self._task, visible=True, completed=done, total=total, description=description
        )
        if errors.is_terminal or not total:
            return
        part, now = int(self._parts * done / total), time.monotonic()
        if part > self._told and (now - self._told_at >= _LINE_EVERY_S or done >= total):
            self._told, self._told_at = part, now
            errors.print(line)
