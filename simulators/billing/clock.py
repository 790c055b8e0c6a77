"""The time, from one object that is injected everywhere; nothing else asks the wall for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import select

from simulators.billing.storage.tables import ClockOffset

if TYPE_CHECKING:
    from simulators.billing.storage.database import Database


class ClockBackwardsError(Exception):
    """The clock was told to go back; what was recorded would then lie in the future."""


class Clock(Protocol):
    """Tells the time as Unix seconds."""

    def now(self) -> int:
        """Give the time in whole Unix seconds, rounded down."""
        ...


class WallClock:
    """The real time."""

    def now(self) -> int:
        """Give the wall's time."""
        return int(time.time())


class MovableClock:
    """A clock that test controls move; its offset is in the database, for every process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def now(self) -> int:
        """Give the wall's time plus the offset that was last set."""
        # Asked ten times in an event's life: without a session it costs half.
        with self._database.engine.connect() as connection:
            offset_s = connection.scalar(select(ClockOffset.offset_s)) or 0
        return int(time.time()) + offset_s

    def move_to(self, to: int) -> int:
        """Set the time to `to`, from which it goes on; give the new time."""
        with self._database.write(alone_with=("clock",)) as session:
            row = session.get(ClockOffset, 1)
            if row is None:
                row = ClockOffset(id=1, offset_s=0)
                session.add(row)
            wall = int(time.time())
            if to < wall + row.offset_s:
                raise ClockBackwardsError
            row.offset_s = to - wall
        return to
