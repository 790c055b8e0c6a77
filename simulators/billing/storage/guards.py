"""Triggers: what no constraint can say. Also the one place that spells them for each database."""

from __future__ import annotations

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


def sqlite_triggers(table: str) -> Iterator[str]:
    """Give the triggers of `table` for SQLite."""
    if table in APPEND_ONLY:
        yield _sqlite(f"{table}_no_update", f"UPDATE ON {table}", "1", f"{table} is append-only")
        yield _sqlite(
            f"{table}_no_delete",
            f"DELETE ON {table}",
            "NOT EXISTS (SELECT 1 FROM purge_permits WHERE customer_id = OLD.customer_id)",
            f"{table} is append-only",
        )
    if table == Payment.__tablename__:
        yield _sqlite(
            "payments_refund_within_charge",
            "INSERT ON payments",
            "NEW.kind = 'refund' AND (SELECT parent.amount_minor + NEW.amount_minor"
            " + COALESCE((SELECT SUM(other.amount_minor) FROM payments AS other"
            " WHERE other.parent_id = NEW.parent_id AND other.kind = 'refund'), 0)"
            " FROM payments AS parent WHERE parent.id = NEW.parent_id) < 0",
            "refunds exceed their charge",
        )
    if table == PurgePermit.__tablename__:
        yield _sqlite(
            "purge_permits_not_in_production",
            "INSERT ON purge_permits",
            "NOT EXISTS (SELECT 1 FROM deployment WHERE environment <> 'production')",
            "purges are not permitted in production",
        )
    if table == Deployment.__tablename__:
        for verb in ("UPDATE", "DELETE"):
            yield _sqlite(
                f"deployment_production_{verb.lower()}",
                f"{verb} ON deployment",
                "OLD.environment = 'production'",
                "production is for ever",
            )


def _sqlite(name: str, on: str, when: str, message: str) -> str:
    return (
        f"CREATE TRIGGER {name} BEFORE {on} FOR EACH ROW WHEN {when} "
        f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
    )


def _attach(table: Table) -> None:
    for statement in sqlite_triggers(table.name):
        ddl = DDL(statement)  # type: ignore[no-untyped-call]  # untyped in SQLAlchemy 2.1
        event.listen(table, "after_create", ddl.execute_if(dialect="sqlite"))


for _each in Base.metadata.sorted_tables:
    _attach(_each)
