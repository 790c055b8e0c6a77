"""Replaces functions of the service while it runs with a defect, and puts them back."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from fastapi import FastAPI

    from simulators.billing.storage.database import Database

_SERVICE = "simulators.billing"
_DEFECTS = "simulators.billing.defects"


class Overlay:
    """A context manager; what was replaced inside is as it was outside.

    What a defect does to the database (`without_guard`) stays: the database is the run's own.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._undo = contextlib.ExitStack()
        self._dependencies: dict[Callable[..., Any], Callable[..., Any]] = {}

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

    def replace(self, owner: object, name: str, new: object) -> None:
        """Replace one attribute of a class or module. Raises `AttributeError` if it has none."""
        before = vars(owner)[name] if isinstance(owner, type) else getattr(owner, name)
        setattr(owner, name, new)
        self._undo.callback(setattr, owner, name, before)

    def replace_everywhere(self, old: Callable[..., Any], new: Callable[..., Any]) -> None:
        """Replace a function under every name that a module of the service has for it.

        `from … import` binds a function in each module that uses it. The service is imported whole
        before a defect is switched on, so all are found. Raises `LookupError` if none is.
        """
        places = [
            (module, name)
            for path, module in list(sys.modules.items())
            if path.startswith(_SERVICE) and not path.startswith(_DEFECTS)
            for name, value in list(vars(module).items())
            if value is old
        ]
        if not places:
            raise LookupError(f"no module of the service has {old!r}")
        for module, name in places:
            self.replace(module, name, new)

    def replace_dependency(self, old: Callable[..., Any], new: Callable[..., Any]) -> None:
        """Replace what FastAPI resolves for routes (`Depends`); it holds its functions itself."""
        self._dependencies[old] = new

    def without_guard(self, *statements: str) -> None:
        """Take a guard from the database, since the service with this mistake never had it."""
        with self.database.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def install(self, app: FastAPI) -> None:
        """Have an application use the replaced dependencies."""
        app.dependency_overrides |= self._dependencies
