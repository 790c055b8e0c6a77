"""Revisions go up, down and up again, and end at the schema that the code sees."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError

from simulators.billing.storage import guards, migrate
from simulators.billing.storage.database import Database
from simulators.billing.storage.tables import Base
from tests.billing.databases import on_both_databases

if TYPE_CHECKING:
    from pathlib import Path

    from tests.billing.conftest import Bench
    from tests.billing.databases import Databases

pytestmark = on_both_databases

# Order of clauses is no part of a schema; names, columns, constraints and triggers are.
_CLAUSE = re.compile(r",\s+(?=CONSTRAINT|[a-z_\"]+ (?:TEXT|INTEGER|BLOB))")
_SQLITE = """
SELECT name, sql FROM sqlite_master
WHERE sql IS NOT NULL AND name NOT IN ('alembic_version', 'sqlite_sequence')
"""
_POSTGRES = """
SELECT table_name || '.' || column_name,
       concat_ws(' ', data_type, is_nullable, column_default, is_identity)
FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
UNION ALL
SELECT conname, conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
UNION ALL
SELECT indexname, indexdef FROM pg_indexes
WHERE schemaname = 'public' AND tablename <> 'alembic_version'
UNION ALL
SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT 'function ' || proname, pg_get_functiondef(oid) FROM pg_proc
WHERE pronamespace = 'public'::regnamespace
"""


def schema(database: Database) -> dict[str, list[str]]:
    """Give the raw DDL of all that the database holds, clause by clause."""
    query = text(_SQLITE if database.is_sqlite else _POSTGRES)
    with database.read() as session:
        found = session.execute(query).all()
    if not database.is_sqlite:
        return {name: [definition] for name, definition in found}
    return {name: sorted(_CLAUSE.split(" ".join(sql.split()))) for name, sql in found}


def normalised(ddl: dict[str, list[str]]) -> dict[str, list[str]]:
    """Drop the closing bracket from whichever clause came last."""
    return {
        name: sorted(clause.removesuffix(" STRICT").removesuffix(" )") for clause in clauses)
        for name, clauses in ddl.items()
    }


def test_the_migrated_schema_is_the_one_of_the_models(tmp_path: Path, databases: Databases) -> None:
    """Raw DDL of both agrees, CHECKs and triggers included."""
    migrated = Database(databases.empty(tmp_path))
    migrate.upgrade(migrated)
    modelled = Database(databases.empty(tmp_path))
    Base.metadata.create_all(modelled.writers)
    assert normalised(schema(migrated)) == normalised(schema(modelled))
    triggers = [name for name in schema(migrated) if name.endswith(("_no_update", "_no_delete"))]
    assert len([t for t in triggers if " " not in t]) == 2 * len(guards.APPEND_ONLY)
    migrated.dispose()
    modelled.dispose()


def test_revisions_go_down_and_up_with_rows_in_the_tables(bench: Bench) -> None:
    """Each revision can be taken back with data there, and applied again."""
    database = bench.core.database
    bench.customer(credits_left=3)
    before = schema(database)
    for revision in ("0003", "0002", "0001"):
        migrate.downgrade(database, revision)
        assert not migrate.is_at_head(database.engine)
        migrate.upgrade(database)
        assert schema(database) == before
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
    before = schema(database)
    with pytest.raises((OperationalError, ProgrammingError), match="outbox_emails"):
        migrate.upgrade(database)
    assert schema(database) == before
