"""Reads what a target leaves behind, by a profile's `[evidence]`: logs, letters, its database.

Reading is all that happens here. What cannot be read makes a test *unknown*: it proves nothing.
"""

from __future__ import annotations

import glob
import json
import time
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.utils import getaddresses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import Unknown
from harness.marker import reading_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import Connection

_QUIET_S = 0.2
_POLL_S = 0.05
_DEADLINE_S = 2.0
_ROWS_MAX = 200_000
_CONNECT_S = 10
_TO = ("To", "Cc", "Bcc", "Delivered-To", "X-Envelope-To")


class LogWatch:
    """What is written to log files from now on; a pattern such as `/var/log/billing-*.log` is fine.

    Raises `Unknown` where no file is there to be watched. `monotonic` and `wait` are for tests.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._patterns = patterns
        self._monotonic = monotonic
        self._wait = wait
        self._begun = self._sizes()
        if not self._begun:
            raise Unknown(f"no log file is at {', '.join(patterns)}")

    def text(self) -> str:
        """Give what was written since, once nothing has been added for a moment.

        A line may be written after its answer was sent; under other tests' traffic the wait ends
        by a deadline.
        """
        ends_at = self._monotonic() + _DEADLINE_S
        sizes, quiet_since = self._sizes(), self._monotonic()
        while (now := self._monotonic()) < min(ends_at, quiet_since + _QUIET_S):
            self._wait(_POLL_S)
            if (grown := self._sizes()) != sizes:
                sizes, quiet_since = grown, now
        return "\n".join(self._since(Path(name)) for name in sorted(sizes))

    def _sizes(self) -> dict[str, int]:
        names = {name for pattern in self._patterns for name in glob.glob(pattern)}  # noqa: PTH207  # an absolute pattern
        try:
            return {name: Path(name).stat().st_size for name in names}
        except OSError as error:
            raise Unknown(f"a log file cannot be read: {error}") from None

    def _since(self, path: Path) -> str:
        begun = self._begun.get(str(path), 0)
        try:
            with path.open("rb") as file:
                # A file that has shrunk was begun anew.
                file.seek(begun if path.stat().st_size >= begun else 0)
                return file.read().decode("utf-8", "replace")
        except OSError as error:
            raise Unknown(f"a log file cannot be read: {error}") from None


@dataclass(frozen=True, slots=True)
class Letter:
    """An e-mail that was sent: to all whom it names or was handed in for, in lower case."""

    recipients: frozenset[str]
    subject: str
    text: str


def letters_to(patterns: Sequence[str], addresses: Iterable[str]) -> list[Letter]:
    """Read the letters to any of these addresses, oldest first, from files of one letter each.

    Raises `Unknown` where the folders cannot be read, or are not there.
    """
    wanted = frozenset(address.lower() for address in addresses)
    folders = {Path(pattern).parent for pattern in patterns}
    if not any(folder.is_dir() for folder in folders):
        raise Unknown(f"no letters are at {', '.join(patterns)}")
    names = sorted({name for pattern in patterns for name in glob.glob(pattern)})  # noqa: PTH207  # an absolute pattern
    try:
        raw = [Path(name).read_bytes() for name in names]
    except OSError as error:
        raise Unknown(f"a letter cannot be read: {error}") from None
    # Most are somebody else's: only those that name one of these are worth taking apart.
    near = [text for text in raw if any(address.encode() in text.lower() for address in wanted)]
    return [letter for letter in map(_letter, near) if letter.recipients & wanted]


def _letter(raw: bytes) -> Letter:
    message = message_from_bytes(raw, policy=policy.default)
    lines = [str(line) for name in _TO for line in message.get_all(name, ())]
    body = message.get_body(("plain", "html"))
    return Letter(
        frozenset(address.lower() for _, address in getaddresses(lines)),
        str(message.get("Subject", "")),
        body.get_content().replace("\r\n", "\n") if body else "",
    )


def stored_texts(database_url: str) -> Iterator[tuple[str, str]]:
    """Give every value of a database as text, each with its place as `table.column`.

    `database_url` is SQLAlchemy's, of SQLite or PostgreSQL, and is opened for reading only. Raises
    `Unknown` where it cannot be read, or holds more rows than can be looked through.
    """
    from sqlalchemy.exc import SQLAlchemyError

    engine = None
    try:
        engine = reading_engine(database_url, connect_s=_CONNECT_S)
        with engine.connect() as connection:
            yield from _values(connection)
    except (SQLAlchemyError, ImportError, OSError) as error:
        # The error's text can hold the address, and so a password.
        raise Unknown(f"the database cannot be read: {type(error).__name__}") from None
    finally:
        if engine is not None:
            engine.dispose()


def _values(connection: Connection) -> Iterator[tuple[str, str]]:
    from sqlalchemy import column, inspect, select, table

    inspector = inspect(connection)
    for name in inspector.get_table_names():
        columns = [found["name"] for found in inspector.get_columns(name)]
        asked = select(table(name, *map(column, columns))).limit(_ROWS_MAX + 1)
        for number, row in enumerate(connection.execute(asked)):
            if number == _ROWS_MAX:
                raise Unknown(f"the table {name} has more than {_ROWS_MAX} rows")
            for place, value in zip(columns, row, strict=True):
                if value is not None:
                    yield f"{name}.{place}", _as_text(value)


def _as_text(value: Any) -> str:
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("latin-1")
    return value if isinstance(value, str) else json.dumps(value, default=str)
