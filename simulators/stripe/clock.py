"""The virtual clock: wall time plus an offset, or standing still."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Clock:
    """Tells virtual time in whole seconds since 1970; it never goes back."""

    def __init__(self, *, running: bool = True, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._offset = 0.0
        self._floor = 0
        self._still_at: int | None = None if running else int(wall())
        self._held_at: int | None = None

    @property
    def now(self) -> int:
        """The virtual time."""
        if self._held_at is not None:
            return self._held_at
        if self._still_at is not None:
            return self._still_at
        # The floor absorbs float rounding and a wall clock that is set back.
        self._floor = max(self._floor, int(self._wall() + self._offset))
        return self._floor

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have whatever is done inside happen at one moment.

        A second that begins in the middle of a request would, for one, make a subscription's first
        period a part of one, and its price a proration.
        """
        self._held_at = self.now
        try:
            yield
        finally:
            self._held_at = None

    @property
    def running(self) -> bool:
        """Whether time passes by itself."""
        return self._still_at is None

    def stop(self) -> None:
        """Stand still at now."""
        self._still_at = self.now

    def run(self) -> None:
        """Let time pass again, from now on."""
        if self._still_at is not None:
            self._offset = self._still_at - self._wall()
            self._floor, self._still_at = self._still_at, None

    def move_to(self, moment: int) -> None:
        """Be at `moment`, which must not be past."""
        if self._still_at is None:
            self._offset = moment - self._wall()
            self._floor = moment
        else:
            self._still_at = moment

    def as_json(self) -> dict[str, float | int | None]:
        """Return what `restore` needs to go on with this time."""
        return {"offset": self._offset, "floor": self.now, "still_at": self._still_at}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with another clock's time; one that ran has been running in the meantime."""
        self._offset, self._floor = state["offset"], state["floor"]
        self._still_at = state["still_at"]
