"""Replaces functions of the service while it runs with a defect, and puts them back."""

from __future__ import annotations

import contextlib
import re
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import text

# The service whole: a module that first came in while something is replaced would keep it.
import simulators.billing.serving  # noqa: F401  # for the modules that come with it

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from sqlite3 import Connection as SqliteConnection
    from types import TracebackType

    from fastapi import FastAPI

    from simulators.billing.storage.database import Database

# How long a database or cache on another machine takes to answer. Mistakes that look first and act
# afterwards wait as long in between: on one machine, over SQLite, hardly anything would come there.
ROUND_TRIP_S = 0.02
_SERVICE = "simulators.billing"
_DEFECTS = "simulators.billing.defects"


class Overlay:
    """A context manager; what was replaced inside is as it was outside.

    What a defect does to the database (`without_…`) stays: the database is the run's own. Several
    processes that start on one database may each do it.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._undo = contextlib.ExitStack()
        self._dependencies: dict[Callable[..., Any], Callable[..., Any]] = {}
        self._routes: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        """Begin; nothing is replaced yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put everything back."""
        self._undo.__exit__(kind, error, trace)

    def replace(self, owner: object, name: str, new: object) -> Any:
        """Replace an attribute of a class or module; give the genuine one, for `new` to call.

        `from … import` binds a function in each module that uses it: a module's function is
        replaced under every name that the service has for it. Raises `AttributeError` if the owner
        has no such attribute.
        """
        if isinstance(owner, type):
            if name not in vars(owner):
                raise AttributeError(f"{owner.__name__} has no {name} of its own")
            genuine = vars(owner)[name]
            self._set(owner, name, genuine, new)
            return genuine
        genuine = getattr(owner, name)
        self._set(owner, name, genuine, new)
        if isinstance(genuine, FunctionType):
            for module, bound in _names_of(genuine):
                self._set(module, bound, genuine, new)
        return genuine

    def replace_item(self, mapping: Mapping[Any, Any], key: object, new: object) -> Any:
        """Replace an item of one of the service's tables; give the genuine one."""
        if not isinstance(mapping, dict):
            raise TypeError(f"{type(mapping).__name__} is no dictionary")
        genuine = mapping[key]
        mapping[key] = new
        self._undo.callback(mapping.__setitem__, key, genuine)
        return genuine

    def replace_dependency(self, genuine: Callable[..., Any], new: Callable[..., Any]) -> None:
        """Replace what FastAPI resolves for routes (`Depends`); it holds its functions itself."""
        self._dependencies[genuine] = new

    def replace_route(self, method: str, path: str, endpoint: Any, **options: Any) -> None:
        """Have another endpoint answer a route, as one that takes another body has to."""
        route = {"path": path, "endpoint": endpoint, "methods": [method], "response_model": None}
        self._routes.append({**route, "include_in_schema": False, **options})

    @property
    def reroutes(self) -> bool:
        """Tell whether an application has to be told of what is replaced."""
        return bool(self._dependencies or self._routes)

    def install(self, app: FastAPI) -> None:
        """Have an application use the replaced dependencies and routes."""
        app.dependency_overrides |= self._dependencies
        for route in self._routes:
            app.add_api_route(**route)
            # The first route that fits answers.
            app.router.routes.insert(0, app.router.routes.pop())

    def without_trigger(self, table: str, name: str) -> None:
        """Take a trigger from the database, since the service with this mistake never had it."""
        on = "" if self.database.is_sqlite else f" ON {table}"
        self._execute(f"DROP TRIGGER IF EXISTS {name}{on}")

    def without_index(self, name: str) -> None:
        """Take a unique index from the database."""
        self._execute(f"DROP INDEX IF EXISTS {name}")

    def without_constraint(self, table: str, name: str) -> None:
        """Take a CHECK or UNIQUE from a table. Raises `LookupError` if it never had one."""
        if not self.database.is_sqlite:
            self._execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
            return
        pooled = self.database.engine.raw_connection()
        try:
            connection: Any = pooled.driver_connection
            _rebuild(connection, table, name)
        finally:
            pooled.close()

    def _execute(self, statement: str) -> None:
        with self.database.writers.begin() as connection:
            connection.execute(text(statement))

    def _set(self, owner: object, name: str, genuine: object, new: object) -> None:
        setattr(owner, name, new)
        self._undo.callback(setattr, owner, name, genuine)


def _names_of(function: FunctionType) -> list[tuple[object, str]]:
    """Find every name that modules of the service have for a function."""
    return [
        (module, name)
        for path, module in list(sys.modules.items())
        if path.startswith(_SERVICE) and not path.startswith(_DEFECTS)
        for name, value in list(vars(module).items())
        if value is function
    ]


def _rebuild(connection: SqliteConnection, table: str, constraint: str) -> None:
    """Build a table anew without a constraint: https://sqlite.org/lang_altertable.html#otheralter.

    A mark in its place tells the next process that it is gone.
    """
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = "SELECT type, sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL"
        parts = connection.execute(found, (table,)).fetchall()
        (definition,) = (sql for kind, sql in parts if kind == "table")
        mark = f"/* no {constraint} */"
        if mark not in definition:
            columns = _without(definition, constraint, mark).split("(", 1)[1]
            connection.execute(f"CREATE TABLE rebuilt ({columns}")
            connection.execute(f"INSERT INTO rebuilt SELECT * FROM {table}")  # noqa: S608  # our own name
            connection.execute("PRAGMA legacy_alter_table = ON")
            connection.execute(f"DROP TABLE {table}")
            connection.execute(f"ALTER TABLE rebuilt RENAME TO {table}")
            for kind, sql in parts:
                if kind != "table":
                    connection.execute(sql)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    finally:
        connection.execute("PRAGMA legacy_alter_table = OFF")
        connection.execute("PRAGMA foreign_keys = ON")


def _without(definition: str, constraint: str, mark: str) -> str:
    """Cut a named constraint out of CREATE TABLE, up to the bracket that closes it."""
    start = re.search(rf",\s*CONSTRAINT {constraint} (?:CHECK|UNIQUE) \(", definition)
    if start is None:
        raise LookupError(f"there is no constraint {constraint}")
    depth, end = 1, start.end()
    while depth:
        depth += {"(": 1, ")": -1}.get(definition[end], 0)
        end += 1
    return f"{definition[: start.start()]} {mark}{definition[end:]}"
