"""Databases for the tests: a SQLite file, or a database of one PostgreSQL server per process."""

from __future__ import annotations

import itertools
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from harness.stack.postgres import PostgresServer
from simulators.billing.storage import migrate
from simulators.billing.storage.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

on_both_databases = pytest.mark.parametrize("databases", ["sqlite", "postgres"], indirect=True)

_TEMPLATE = "template_billing"
# The server outlives no test run and no power failure is tested, so it need not wait for the disk.
_SETTINGS = ("fsync=off", "full_page_writes=off", "max_connections=400", "shared_buffers=64MB")


class Databases:
    """Makes databases of one kind, each migrated and marked `test`."""

    def __init__(self, folder: Path, server: PostgresServer | None) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._template = folder / f"{_TEMPLATE}.db"
        if server is not None:
            server.execute(f"CREATE DATABASE {_TEMPLATE}")
            prepare(server.url(_TEMPLATE))
        else:
            # Closing the last connection leaves one file without a log beside it.
            prepare(f"sqlite:///{self._template}")

    @property
    def kind(self) -> str:
        """Give `sqlite` or `postgres`."""
        return "postgres" if self._server else "sqlite"

    def empty(self, folder: Path) -> str:
        """Make a database without any table; give its URL."""
        number = next(self._numbers)
        if self._server is None:
            return f"sqlite:///{folder / f'empty-{number}.db'}"
        self._server.execute(f"CREATE DATABASE empty_{number}")
        return self._server.url(f"empty_{number}")

    def fresh(self, folder: Path) -> str:
        """Make a migrated database; give its URL."""
        if self._server is None:
            shutil.copy(self._template, folder / "billing.db")
            return f"sqlite:///{folder / 'billing.db'}"
        name = f"billing_{next(self._numbers)}"
        self._server.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return self._server.url(name)


@contextmanager
def databases(kind: str, folder: Path) -> Iterator[Databases]:
    """Give databases of a kind; PostgreSQL is started for them and ended after them."""
    if kind == "sqlite":
        yield Databases(folder, None)
        return
    with PostgresServer(folder, *_SETTINGS) as server:
        yield Databases(folder, server)


def prepare(url: str, environment: str = "test") -> None:
    """Bring a database to the newest revision, and mark it."""
    database = Database(url)
    migrate.upgrade(database)
    migrate.mark(database, environment)
    database.dispose()
