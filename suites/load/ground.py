"""What a scenario stands on while it prepares a load and looks back at it."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Protocol

from harness.ground import Ground

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.session import Customer, Session

_REMIND_S = 60.0


class Watcher(Protocol):
    """Whoever watches a load: it is told what it is at."""

    def say(self, line: str) -> None:
        """Tell a line."""
        ...

    def progress(self, what: str, done: int, whole: int) -> None:
        """Tell how much of something is done; called as often as there is something to tell."""
        ...


class Unwatched:
    """Tells nobody."""

    def say(self, line: str) -> None:
        """Tell nothing."""

    def progress(self, what: str, done: int, whole: int) -> None:
        """Tell nothing."""


@contextlib.contextmanager
def patiently(watcher: Watcher, line: str, every_s: float = _REMIND_S) -> Iterator[None]:
    """Tell what is waited for, and now and then for how long: nobody can see how much is left."""
    done = threading.Event()

    def remind() -> None:
        waited_s = 0.0
        while not done.wait(every_s):
            waited_s += every_s
            watcher.say(f"… {waited_s:g} s so far")

    watcher.say(line)
    reminder = threading.Thread(target=remind, name="reminder", daemon=True)
    reminder.start()
    try:
        yield
    finally:
        done.set()
        reminder.join()


class LoadGround(Ground):
    """The ground of a load: it remembers whom its sessions made, with their credentials."""

    def __init__(self, *arguments: Any, watcher: Watcher | None = None, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.watcher: Watcher = watcher or Unwatched()
        self._made: list[Session] = []

    def session(self, test: str) -> Session:
        """Give a session, and remember its customers."""
        made = super().session(test)
        self._made.append(made)
        return made

    @property
    def customers(self) -> list[Customer]:
        """Everybody that was made over this ground."""
        return [customer for session in self._made for customer in session.customers]
