"""Reads what a database says of the environment that it belongs to; nothing is ever written."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

# The reference's own table, and the one that Ruby on Rails keeps in every database since 5.0
# (https://guides.rubyonrails.org/active_record_migrations.html).
_KNOWN = (
    "SELECT environment FROM deployment",
    "SELECT value FROM ar_internal_metadata WHERE key = 'environment'",
)
_CONNECT_S = 3


def database_words(url: str, query: str | None) -> Iterator[tuple[str, str]]:
    """Give each place of a database that names its environment, and the name.

    `query` asks for it where neither of the known tables does. A database that cannot be reached
    says nothing, and so does a table that is not there: it is one sign among several.
    """
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    engine = None
    try:
        engine = reading_engine(url, connect_s=_CONNECT_S)
        for asked in (query,) if query else _KNOWN:
            try:
                with engine.connect() as connection:
                    found = connection.execute(text(asked)).scalar()
            except SQLAlchemyError:
                continue
            if found is not None:
                yield asked, str(found)
    except (SQLAlchemyError, ImportError, OSError):
        return
    finally:
        if engine is not None:
            engine.dispose()


def reading_engine(url: str, *, connect_s: int) -> Engine:
    """Give an engine that can only read, of SQLite or PostgreSQL; each use connects anew."""
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.pool import NullPool

    parts = make_url(url)
    if parts.get_backend_name() == "sqlite":
        parts = parts.set(database=f"file:{parts.database}").update_query_dict(
            {"mode": "ro", "uri": "true"}
        )
        return create_engine(parts, poolclass=NullPool, connect_args={"timeout": connect_s})
    options = {"postgresql_readonly": True} if parts.get_backend_name() == "postgresql" else {}
    connect = {"connect_timeout": connect_s} if options else {}
    return create_engine(parts, poolclass=NullPool, execution_options=options, connect_args=connect)
