"""Transactions. A reader sees one moment; a writer has to itself what it decides on.

SQLAlchemy's default lets two writers on SQLite both read, then both write, and lose one update; so
transactions are begun here by hand (the way the pysqlite dialect documents) and writers with
`BEGIN IMMEDIATE`: one writer at a time. On PostgreSQL readers are REPEATABLE READ and writers READ
COMMITTED with locks: the customer's row (`SELECT … FOR UPDATE`), or where the row to decide on may
not be there yet, a name (`pg_advisory_xact_lock`). Names are taken before rows, in one order.

SQLite itself lets nobody queue: who finds it locked sleeps, up to 100 ms at a time, and asks again.
Writers of one process therefore wait for each other at a lock that wakes the next at once.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from sqlalchemy import Connection, create_engine, event, func, make_url, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as DatabaseTimeoutError
from sqlalchemy.orm import Session

from simulators.billing import failpoints
from simulators.billing.storage.tables import Customer, Deployment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from sqlite3 import Connection as SqliteConnection

    from sqlalchemy import Engine
    from sqlalchemy.pool import ConnectionPoolEntry

_LOCK_WAIT_S = 15
_WRITER = "billing_writer"
_UNSYNCED = "billing_unsynced"
_READER = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
_FILE = "billing_file"
_PLACE = "billing_place"


class DatabaseGoneError(SQLAlchemyError):
    """The file of a SQLite database is not where it was opened: what is written would be lost."""


class Database:
    """One database, by URL: transactions that read, and transactions that write."""

    def __init__(self, url: str, *, connections: int = 48) -> None:
        self._engine = _engine(url, connections)
        self.is_sqlite = self._engine.dialect.name == "sqlite"
        self.engine = self._engine.execution_options(**({} if self.is_sqlite else _READER))
        self.writers = self._engine.execution_options(**{_WRITER: True})
        self._counters = self.writers.execution_options(**{_UNSYNCED: True})
        self._turn = _Turn() if self.is_sqlite else nullcontext()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a transaction that sees one moment and writes nothing."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(
        self,
        name: str | None = None,
        *,
        alone_with: Sequence[str] = (),
        is_synced: bool = True,
    ) -> Iterator[Session]:
        """Open a transaction that commits when the block ends and rolls back when it raises.

        No other transaction that is `alone_with` one of the same names runs meanwhile. A `name`
        gives the transaction failpoints: before and after its commit. One that is not `is_synced`
        does not wait for the disk: it outlives this process, but maybe not a power cut (ADR 0029).
        """
        engine = self.writers if is_synced else self._counters
        # The turn comes first: whoever waits for it holds no connection.
        with self._turn, Session(engine, expire_on_commit=False) as session, session.begin():
            if not self.is_sqlite:
                if not is_synced:
                    session.execute(text("SET LOCAL synchronous_commit = off"))
                for each in alone_with:
                    session.execute(
                        select(func.pg_advisory_xact_lock(func.hashtextextended(each, 0)))
                    )
            yield session
            session.info[_PLACE] = name
        if name:
            failpoints.hit(f"{name}.after_commit")

    def marker(self) -> str | None:
        """Give the environment that this database was marked with, if it was."""
        with self.read() as session:
            return session.scalar(select(Deployment.environment))

    def dispose(self) -> None:
        """Close every connection."""
        self._engine.dispose()


@event.listens_for(Session, "before_commit")
def _pass_place(session: Session) -> None:
    """Pass the failpoint of a transaction, at the very end: all that a commit sets off has run."""
    if name := session.info.pop(_PLACE, None):
        session.flush()
        failpoints.hit(f"{name}.before_commit")


class _Turn:
    """One writer of this process at a time, each waiting no longer than SQLite would."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=_LOCK_WAIT_S):
            raise DatabaseTimeoutError("no turn to write in time")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def locked_customer(session: Session, customer_id: str) -> Customer | None:
    """Load a customer for writing: until the transaction ends nobody else writes what is theirs."""
    statement = select(Customer).where(Customer.id == customer_id).with_for_update()
    return session.scalar(statement.execution_options(populate_existing=True))


def _engine(url: str, connections: int) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        # What a killed process was waiting for is given up soon, and not queued for in its name.
        options = f"-c lock_timeout={_LOCK_WAIT_S}s -c client_connection_check_interval=2s"
        return create_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            # A failed statement is logged, and its parameters may be personal.
            hide_parameters=True,
            pool_pre_ping=True,
            connect_args={"options": f"{options} -c timezone=UTC", "application_name": "billing"},
        )
    engine = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"timeout": _LOCK_WAIT_S},
    )
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: SqliteConnection, entry: ConnectionPoolEntry) -> None:
    # The driver must begin nothing by itself; _begin_sqlite does.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    (_, _, path) = connection.execute("PRAGMA database_list").fetchone()
    entry.info[_FILE] = path, _identity(path)


def _identity(path: str) -> tuple[int, int] | None:
    """Tell one file from another of the same name; None if there is none, or none is needed."""
    try:
        found = os.stat(path)  # noqa: PTH116  # for each write, and a Path costs more than the call
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not options.get(_WRITER, False):
        connection.exec_driver_sql("BEGIN")
        return
    path, opened = connection.info[_FILE]
    if _identity(path) != opened:
        raise DatabaseGoneError("the database's file was removed or replaced")
    # Said each time, since connections are shared and SQLite keeps what was said last.
    level = "NORMAL" if options.get(_UNSYNCED, False) else "FULL"
    connection.exec_driver_sql(f"PRAGMA synchronous = {level}")
    connection.exec_driver_sql("BEGIN IMMEDIATE")
