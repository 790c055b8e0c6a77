"""Triggers: what no constraint can say. Also the one place that spells them for each database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import DDL, event

from simulators.billing.storage.repairs import CardAttempt  # noqa: F401  # completes the metadata
from simulators.billing.storage.tables import (
    Base,
    CreditTransaction,
    Debt,
    Deployment,
    Payment,
    PurgePermit,
)
from simulators.billing.storage.traffic import RateHit  # noqa: F401  # completes the metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Table

APPEND_ONLY = (CreditTransaction.__tablename__, Payment.__tablename__, Debt.__tablename__)


@dataclass(frozen=True, slots=True)
class Guard:
    """Refuses what happens to a row of a table when `condition` holds.

    `locks` is a query whose rows PostgreSQL locks first, so that two transactions cannot each miss
    what the other writes; SQLite has one writer.
    """

    name: str
    happens: str
    table: str
    condition: str
    message: str
    locks: str | None = None

    def sqlite(self) -> Iterator[str]:
        """Spell it for SQLite."""
        yield (
            f"CREATE TRIGGER {self.name} BEFORE {self.happens} ON {self.table} FOR EACH ROW"
            f" WHEN {self.condition} BEGIN SELECT RAISE(ABORT, '{self.message}'); END"
        )

    def postgresql(self) -> Iterator[str]:
        """Spell it for PostgreSQL, as a breach of integrity (SQLSTATE 23000)."""
        locks = f"PERFORM 1 FROM {self.locks} FOR UPDATE; " if self.locks else ""
        row = "OLD" if self.happens == "DELETE" else "NEW"
        yield (
            f"CREATE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {locks}"
            f"IF {self.condition} THEN RAISE EXCEPTION '{self.message}' USING ERRCODE = '23000';"
            f" END IF; RETURN {row}; END$$"
        )
        yield (
            f"CREATE TRIGGER {self.name} BEFORE {self.happens} ON {self.table}"
            f" FOR EACH ROW EXECUTE FUNCTION {self.name}()"
        )


def guards(table: str) -> Iterator[Guard]:
    """Give the guards of `table`."""
    if table in APPEND_ONLY:
        message = f"{table} is append-only"
        yield Guard(f"{table}_no_update", "UPDATE", table, "1 = 1", message)
        unpermitted = "NOT EXISTS (SELECT 1 FROM purge_permits WHERE customer_id = OLD.customer_id)"
        yield Guard(f"{table}_no_delete", "DELETE", table, unpermitted, message)
    if table == Payment.__tablename__:
        yield Guard(
            "payments_refund_within_charge",
            "INSERT",
            table,
            "NEW.kind = 'refund' AND (SELECT parent.amount_minor + NEW.amount_minor"
            " + COALESCE((SELECT SUM(other.amount_minor) FROM payments AS other"
            " WHERE other.parent_id = NEW.parent_id AND other.kind = 'refund'), 0)"
            " FROM payments AS parent WHERE parent.id = NEW.parent_id) < 0",
            "refunds exceed their charge",
            locks="payments WHERE id = NEW.parent_id",
        )
    if table == PurgePermit.__tablename__:
        yield Guard(
            "purge_permits_not_in_production",
            "INSERT",
            table,
            "NOT EXISTS (SELECT 1 FROM deployment WHERE environment <> 'production')",
            "purges are not permitted in production",
        )
    if table == Deployment.__tablename__:
        for verb in ("UPDATE", "DELETE"):
            yield Guard(
                f"deployment_production_{verb.lower()}",
                verb,
                table,
                "OLD.environment = 'production'",
                "production is for ever",
            )


def _untruncatable(table: str) -> Iterator[str]:
    """Refuse TRUNCATE, which PostgreSQL has and which no trigger for rows sees."""
    name = f"{table}_no_truncate"
    yield (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        f" RAISE EXCEPTION '{table} is append-only' USING ERRCODE = '23000'; END$$"
    )
    yield (
        f"CREATE TRIGGER {name} BEFORE TRUNCATE ON {table}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
    )


def _attach(table: Table) -> None:
    for guard in guards(table.name):
        _listen(table, guard.sqlite(), "sqlite")
        _listen(table, guard.postgresql(), "postgresql")
    if table.name in APPEND_ONLY:
        _listen(table, _untruncatable(table.name), "postgresql")


def _listen(table: Table, statements: Iterator[str], dialect: str) -> None:
    for statement in statements:
        # A DDL object takes % for a parameter, and has none here.
        ddl = DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]  # untyped in SQLAlchemy 2.1
        event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


for _each in Base.metadata.sorted_tables:
    _attach(_each)
