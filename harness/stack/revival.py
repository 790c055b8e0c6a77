"""Starts a service again that died because a test asked for it, as a supervisor would.

The reference's failpoints can kill the process that passes one. What was armed, and whether it has
acted, stands in a file in the stack's folder; any other death is one that nobody asked for.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from typing import TYPE_CHECKING

from harness.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from harness.stack.process import Child, DeadChild

_POLL_S = 0.05
_KILLED = 128 + signal.SIGKILL
_ARMED = "billing-failpoints-*.json"


class Revival:
    """A context manager: inside, the last of `children` is started again when it was to die.

    `start` gives a child that is ready, or raises `StackError`: then the old one stays, dead.
    """

    def __init__(self, children: list[Child], start: Callable[[], Child], folder: Path) -> None:
        self._children = children
        self._start = start
        self._folder = folder
        self._swapping = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="revival", daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End watching; one that is being started again is waited for."""
        self._over.set()
        self._thread.join()

    def dead(self) -> list[DeadChild]:
        """Return the children that ended though nobody asked for it."""
        with self._swapping:
            found = [dead for child in self._children if (dead := child.dead())]
            return [dead for dead in found if dead.status != _KILLED or not self._asked_for()]

    def _watch(self) -> None:
        while not self._over.wait(_POLL_S):
            if self._children[-1].status() == _KILLED and self._asked_for():
                try:
                    fresh = self._start()
                except StackError:
                    return self._forget()
                with self._swapping:
                    self._children[-1] = fresh
                    self._forget()
        return None

    def _asked_for(self) -> bool:
        """Whether a place that was to kill has done so."""
        for file in self._folder.glob(_ARMED):
            with contextlib.suppress(OSError, ValueError):
                for place in json.loads(file.read_text("utf-8")):
                    if place["action"] == "kill" and place["has_acted"]:
                        return True
        return False

    def _forget(self) -> None:
        for file in self._folder.glob(_ARMED):
            file.unlink(missing_ok=True)
