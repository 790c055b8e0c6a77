"""Brings a database to a revision of the schema, and tells whether it is at the newest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, select

from simulators.billing.storage.tables import Deployment

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from simulators.billing.storage.database import Database

_SCRIPTS = Path(__file__).resolve().parent.parent / "migrations"


class NotMigratedError(Exception):
    """The database is not at the revision that this code was written for."""


def upgrade(database: Database, revision: str = "head") -> None:
    """Apply every revision up to `revision`, all or none."""
    with database.writers.begin() as connection:
        command.upgrade(_config(connection), revision)


def downgrade(database: Database, revision: str) -> None:
    """Take back every revision after `revision`, all or none."""
    with database.writers.begin() as connection:
        command.downgrade(_config(connection), revision)


def mark(database: Database, environment: str) -> None:
    """Mark the database with its environment the first time; a marker that is there stays."""
    with database.write(alone_with=("deployment",)) as session:
        if session.scalar(select(Deployment.environment)) is None:
            session.execute(insert(Deployment).values(id=1, environment=environment))


def is_at_head(engine: Engine) -> bool:
    """Tell whether every migration that this code knows has been applied, and no other."""
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_heads()
    return set(current) == set(ScriptDirectory.from_config(_config(None)).get_heads())


def _config(connection: object) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
