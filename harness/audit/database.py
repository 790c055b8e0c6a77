"""Books read by SQL, in one read-only transaction that sees one moment."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from harness.audit.facts import Booked, Unreadable, Window
from harness.audit.tables import COLUMNS
from harness.checks.evidence import CustomerState, Entry, Payment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL, Row

    from harness.audit.tables import Queries

_ROWS = 1000
_NAMES = 500
_EVER = Window(0, 1 << 53)
# https://www.sqlite.org/fileformat.html, 1.3.3: the write and read versions, 2 for WAL.
_HEADER_BYTES, _VERSIONS, _WRITE_AHEAD = 100, slice(18, 20), b"\x02\x02"


class SqlBooks:
    """Books in SQLite or PostgreSQL; nothing can be written through it."""

    name = "SQL"

    def __init__(self, connection: Connection, queries: Queries) -> None:
        self._connection = connection
        self._queries = queries

    def payments(self, window: Window) -> Iterator[Booked]:
        """Give the payments of a window, newest first."""
        where = "q.at >= :since AND q.at < :until ORDER BY q.at DESC"
        return map(_booked, self._rows("payments", where, window))

    def named(self, provider_ids: Iterable[str]) -> list[Booked]:
        """Give the payments with one of these ids of the provider's."""
        rows = self._among("payments", "q.provider_id IN :names", provider_ids)
        return [_booked(row) for row in rows]

    def customers(self, provider_customers: Iterable[str]) -> Mapping[str, str]:
        """Give the target's customers by the provider's ids."""
        rows = self._among("customers", "q.provider_customer IN :names", provider_customers)
        return {row.provider_customer: str(row.customer) for row in rows}

    def caused(self, customer: str, causes: Iterable[str]) -> list[Booked]:
        """Give a customer's charges that were made for one of these causes."""
        if "cause" not in self._queries.payments:
            return []
        where = "q.amount_minor > 0 AND q.cause IN :names"
        rows = map(_booked, self._among("payments", where, causes))
        return [row for row in rows if row.customer == customer]

    def repeated(self, window: Window) -> Iterator[list[Booked]]:
        """Give charges for one cause of one customer, the last of several in the window."""
        if "cause" not in self._queries.payments:
            return
        twice = (
            "SELECT q.customer, q.cause FROM ({}) AS q WHERE q.amount_minor > 0 AND q.cause IS NOT"
            " NULL GROUP BY q.customer, q.cause"
            " HAVING COUNT(*) > 1 AND MAX(q.at) >= :since AND MAX(q.at) < :until"
        )
        for row in self._run(twice.format(self._queries.payments), "payments", window):
            yield self.caused(str(row.customer), [row.cause])

    def states(self) -> Iterator[CustomerState]:
        """Give each customer's ledger, with the balance that is shown."""
        if self._queries.ledger is None:
            return
        rows = self._rows("ledger", "1 = 1 ORDER BY q.customer, q.place", _EVER)
        states = (
            _state(str(customer), list(own))
            for customer, own in itertools.groupby(rows, key=lambda row: row.customer)
        )
        for some in _batched(states, _NAMES):
            shown = self._balances([state.customer for state in some])
            for state in some:
                yield _shown(state, shown) if shown is not None else state

    def _balances(self, customers: list[str]) -> Mapping[str, int] | None:
        if self._queries.balances is None:
            return None
        wanted = set(customers)
        rows = self._among("balances", "CAST(q.customer AS TEXT) IN :names", wanted)
        return {str(row.customer): row.units for row in rows}

    def _among(self, what: str, where: str, names: Iterable[str]) -> Iterator[Row[Any]]:
        for some in _batched(sorted({name for name in names if name}), _NAMES):
            yield from self._rows(what, where, _EVER, some)

    def _rows(
        self, what: str, where: str, window: Window, names: list[str] | None = None
    ) -> Iterator[Row[Any]]:
        query: str = getattr(self._queries, what)
        return self._run(f"SELECT q.* FROM ({query}) AS q WHERE {where}", what, window, names)  # noqa: S608 - the profile's own SQL, read-only

    def _run(
        self, sql: str, what: str, window: Window, names: list[str] | None = None
    ) -> Iterator[Row[Any]]:
        statement = text(sql)
        given: dict[str, Any] = {"since": window.since, "until": window.until}
        if names is not None:
            statement = statement.bindparams(bindparam("names", expanding=True))
            given["names"] = names
        used = {name: value for name, value in given.items() if f":{name}" in sql}
        try:
            rows = self._connection.execution_options(yield_per=_ROWS).execute(statement, used)
            lacking = sorted(set(COLUMNS[what]) - set(rows.keys())) if "q.*" in sql else []
            if lacking:
                raise Unreadable(f"[audit] {what} gives no column {', '.join(lacking)}")
            yield from rows
        except SQLAlchemyError as error:
            raise Unreadable(f"{what} cannot be read: {_reason(error)}") from None


@contextlib.contextmanager
def open_books(database_url: str, queries: Queries, deadline_s: float) -> Iterator[SqlBooks]:
    """Open a database for reading only, and prove that it is. Raises `Unreadable`."""
    engine: Engine | None = None
    try:
        engine = _engine(make_url(database_url), deadline_s)
        with engine.connect() as connection:
            _assert_reading(connection)
            yield SqlBooks(connection, queries)
        if engine.url.query.get("immutable") and _log_of(_file_of(engine.url)).exists():
            raise Unreadable("a service began to write while its database was read: audit again")
    except (SQLAlchemyError, ImportError, OSError) as error:
        raise Unreadable(f"the database cannot be read: {_reason(error)}") from None
    finally:
        if engine is not None:
            engine.dispose()


def _engine(url: URL, deadline_s: float) -> Engine:
    kind = url.get_backend_name()
    if kind == "sqlite":
        file = url.database or ""
        query = {"mode": "ro", "uri": "true"} | ({"immutable": "1"} if _is_asleep(file) else {})
        reading = url.set(database=f"file:{file}").update_query_dict(query)
        engine = create_engine(reading, poolclass=NullPool)
        event.listen(engine, "connect", _one_moment)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        return engine
    if kind != "postgresql":
        raise Unreadable(
            f"a database of the kind {kind} is not known here, only SQLite and PostgreSQL"
        )
    limit = f"-c default_transaction_read_only=on -c statement_timeout={int(deadline_s * 1000)}"
    return create_engine(
        url.update_query_dict({"options": limit}),
        poolclass=NullPool,
        isolation_level="REPEATABLE READ",
        execution_options={"postgresql_readonly": True},
    )


def _is_asleep(file: str) -> bool:
    """Whether a SQLite database has a write-ahead log by its header, and nobody has opened it.

    Opened in the usual way it would get a log and an index beside it that a reader cannot remove.
    """
    try:
        with Path(file).open("rb") as opened:
            header = opened.read(_HEADER_BYTES)
    except OSError as error:
        raise Unreadable(f"the database {file} cannot be read: {error.strerror}") from None
    return header[_VERSIONS] == _WRITE_AHEAD and not _log_of(file).exists()


def _file_of(url: URL) -> str:
    return (url.database or "").removeprefix("file:")


def _log_of(file: str) -> Path:
    return Path(f"{file}-wal")


def _one_moment(connection: Any, _: object) -> None:
    """Have transactions begun by hand: the driver's own would begin none to read."""
    connection.isolation_level = None


def _assert_reading(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        said = connection.exec_driver_sql("SHOW transaction_read_only").scalar()
        if said != "on":
            raise Unreadable("the database did not make the session read-only")


def _booked(row: Row[Any]) -> Booked:
    """Read a row of payments; what a query need not give is None."""
    columns = row._mapping  # noqa: SLF001 - SQLAlchemy's documented name
    payment = Payment(
        amount_minor=int(row.amount_minor),
        currency=str(row.currency).lower(),
        provider_id=row.provider_id,
        state=columns.get("state"),
        cause=columns.get("cause"),
    )
    whose = columns.get("provider_customer")
    return Booked(str(row.customer), whose, int(row.at), payment)


def _state(customer: str, rows: list[Row[Any]]) -> CustomerState:
    """Give a customer's ledger; the balance shown is what the last entry left."""
    ledger = tuple(
        Entry(
            int(row.units),
            row.balance_after,
            row._mapping.get("source"),  # noqa: SLF001 - SQLAlchemy's documented name
            row._mapping.get("cause"),  # noqa: SLF001 - SQLAlchemy's documented name
        )
        for row in rows
    )
    return CustomerState(customer, None, units=ledger[-1].balance_after, ledger=ledger)


def _shown(state: CustomerState, shown: Mapping[str, int]) -> CustomerState:
    return CustomerState(
        state.customer, None, units=shown.get(state.customer, 0), ledger=state.ledger
    )


def _batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    left = iter(items)
    while some := list(itertools.islice(left, size)):
        yield some


def _reason(error: Exception) -> str:
    """Say why without the address, which can hold a password."""
    lines = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()
    said = lines[0] if lines else type(error).__name__
    return said if "://" not in said and "password=" not in said else type(error).__name__
