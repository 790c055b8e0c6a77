"""Transactions. A reader sees one moment; a writer has to itself what it decides on.

SQLAlchemy's default lets two writers on SQLite both read, then both write, and lose one update; so
transactions are begun here by hand (the way the pysqlite dialect documents) and writers with
`BEGIN IMMEDIATE`: one writer at a time. On PostgreSQL readers are REPEATABLE READ and writers READ
COMMITTED with locks: the customer's row (`SELECT … FOR UPDATE`), or where the row to decide on may
not be there yet, a name (`pg_advisory_xact_lock`). Names are taken before rows, in one order.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection, create_engine, event, func, make_url, select
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
_READER = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


class Database:
    """One database, by URL: transactions that read, and transactions that write."""

    def __init__(self, url: str, *, connections: int = 48) -> None:
        self._engine = _engine(url, connections)
        self.is_sqlite = self._engine.dialect.name == "sqlite"
        self.engine = self._engine.execution_options(**({} if self.is_sqlite else _READER))
        self.writers = self._engine.execution_options(**{_WRITER: True})

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a transaction that sees one moment and writes nothing."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(
        self, name: str | None = None, *, alone_with: Sequence[str] = ()
    ) -> Iterator[Session]:
        """Open a transaction that commits when the block ends and rolls back when it raises.

        No other transaction that is `alone_with` one of the same names runs meanwhile. A `name`
        gives the transaction failpoints: before and after its commit.
        """
        with Session(self.writers, expire_on_commit=False) as session, session.begin():
            if not self.is_sqlite:
                for each in alone_with:
                    session.execute(
                        select(func.pg_advisory_xact_lock(func.hashtextextended(each, 0)))
                    )
            yield session
            if name:
                session.flush()
                failpoints.hit(f"{name}.before_commit")
        if name:
            failpoints.hit(f"{name}.after_commit")

    def marker(self) -> str | None:
        """Give the environment that this database was marked with, if it was."""
        with self.read() as session:
            return session.scalar(select(Deployment.environment))

    def dispose(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def locked_customer(session: Session, customer_id: str) -> Customer | None:
    """Load a customer for writing: until the transaction ends nobody else writes what is theirs."""
    statement = select(Customer).where(Customer.id == customer_id).with_for_update()
    return session.scalar(statement.execution_options(populate_existing=True))


def _engine(url: str, connections: int) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        options = f"-c lock_timeout={_LOCK_WAIT_S}s -c timezone=UTC"
        return create_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args={"options": options, "application_name": "billing"},
        )
    engine = create_engine(
        url, pool_size=connections, max_overflow=0, connect_args={"timeout": _LOCK_WAIT_S}
    )
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: SqliteConnection, _: ConnectionPoolEntry) -> None:
    # The driver must begin nothing by itself; _begin_sqlite does.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    is_writer = connection.get_execution_options().get(_WRITER, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")
