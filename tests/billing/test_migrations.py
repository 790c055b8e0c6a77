"""Revisions go up, down and up again, and end at the schema that the code sees."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from simulators.billing.storage import guards, migrate
from simulators.billing.storage.database import Database
from simulators.billing.storage.tables import Base

if TYPE_CHECKING:
    from pathlib import Path

    from tests.billing.conftest import Bench

# Order of clauses is no part of a schema; names, columns, constraints and triggers are.
_CLAUSE = re.compile(r",\s+(?=CONSTRAINT|[a-z_\"]+ (?:TEXT|INTEGER|BLOB))")


def schema(database: Database) -> dict[str, list[str]]:
    """Give the raw DDL of every table, index and trigger, clause by clause."""
    query = text(
        "SELECT name, sql FROM sqlite_master"
        " WHERE sql IS NOT NULL AND name NOT IN ('alembic_version', 'sqlite_sequence')"
    )
    with database.read() as session:
        found = session.execute(query).all()
    return {name: sorted(_CLAUSE.split(" ".join(sql.split()))) for name, sql in found}


def normalised(ddl: dict[str, list[str]]) -> dict[str, list[str]]:
    """Drop the closing bracket from whichever clause came last."""
    return {
        name: sorted(clause.removesuffix(" STRICT").removesuffix(" )") for clause in clauses)
        for name, clauses in ddl.items()
    }


def test_the_migrated_schema_is_the_one_of_the_models(tmp_path: Path) -> None:
    """Raw DDL of both agrees, CHECKs and triggers included."""
    migrated = Database(f"sqlite:///{tmp_path / 'migrated.db'}")
    migrate.upgrade(migrated)
    modelled = Database(f"sqlite:///{tmp_path / 'modelled.db'}")
    Base.metadata.create_all(modelled.writers)
    assert normalised(schema(migrated)) == normalised(schema(modelled))
    triggers = [name for name in schema(migrated) if name.endswith(("_no_update", "_no_delete"))]
    assert len(triggers) == 2 * len(guards.APPEND_ONLY)
    migrated.dispose()
    modelled.dispose()


def test_revisions_go_down_and_up_with_rows_in_the_tables(bench: Bench) -> None:
    """Each revision can be taken back with data there, and applied again."""
    database = bench.core.database
    bench.customer(credits_left=3)
    before = schema(database)
    migrate.downgrade(database, "0001")
    assert not migrate.is_at_head(database.engine)
    migrate.upgrade(database)
    assert migrate.is_at_head(database.engine)
    migrate.downgrade(database, "base")
    assert schema(database) == {}
    migrate.upgrade(database)
    assert schema(database) == before


def test_a_failed_migration_changes_nothing(bench: Bench) -> None:
    """A revision runs in one transaction: what fails half-way leaves the schema as it was."""
    database = bench.core.database
    migrate.downgrade(database, "base")
    with database.write() as session:
        session.execute(text("CREATE TABLE outbox_emails (id TEXT)"))
    with pytest.raises(OperationalError, match="outbox_emails"):
        migrate.upgrade(database)
    assert set(schema(database)) == {"outbox_emails"}
