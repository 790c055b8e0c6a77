"""The folder of one stack: its database and logs, and nobody else's."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import StackError
from harness.stack.mailbox import MAIL_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE_FILE = "billing.sqlite3"
POSTGRES_FOLDER = "postgres"
LOCK_FILE = "stack.lock"
_MEMORY = "/dev/shm"  # noqa: S108  # what is made there is made by mkdtemp: private to its user
_ROOM_BYTES = 2 << 30
_PREFIX = "billing-stack-"
_KEPT_S = 86_400


def scratch_folder() -> str | None:
    """Return where databases that are thrown away are kept: in memory, where there is room for it.

    A database waits for the disk at every commit, milliseconds each, to outlive a power cut that a
    stack does not outlive itself (ADR 0058). None means the system's folder for temporary files:
    where memory has no such place, or little room, or where TMPDIR says another.
    """
    if any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")):
        return None
    try:
        found = os.statvfs(_MEMORY)
    except OSError:
        return None
    is_roomy = found.f_bavail * found.f_frsize >= _ROOM_BYTES
    return _MEMORY if is_roomy and os.access(_MEMORY, os.W_OK) else None


def _new_folder() -> str:
    place = scratch_folder()
    if place is not None:
        _sweep(Path(place))
    return tempfile.mkdtemp(prefix=_PREFIX, dir=place)


def _sweep(place: Path) -> None:
    """Remove stacks that were killed, or kept for their logs, a day ago: they hold memory."""
    oldest = time.time() - _KEPT_S
    for folder in place.glob(f"{_PREFIX}*"):
        # What is another user's cannot be opened, and what runs is locked.
        with contextlib.suppress(OSError), (folder / LOCK_FILE).open("rb") as lock:
            if folder.stat().st_mtime < oldest:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def stack_folder(given: Path | None, *, keep: bool) -> Iterator[Path]:
    """Yield a folder that this stack alone uses.

    Where none is given it is a temporary one, removed afterwards unless `keep`, or unless a
    StackError says that its logs are worth reading. One that is given stays, but what an earlier
    stack left in it (its database, logs, letters) is cleared first: the simulator starts empty, and
    a ledger that remembers more than it would be false.
    """
    try:
        folder = Path(given or _new_folder()).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK_FILE).open("wb")
    except OSError as error:
        raise StackError(
            f"the stack's folder cannot be used: {error}",
            hint="Give a folder that you may write to, or none.",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StackError(
                f"another stack runs in {folder}", hint="Give each stack a folder of its own."
            ) from error
        for pattern in ("*.log", f"{DATABASE_FILE}*"):
            for leftover in folder.glob(pattern):
                leftover.unlink()
        for name in (POSTGRES_FOLDER, MAIL_FOLDER):
            shutil.rmtree(folder / name, ignore_errors=True)
        try:
            yield folder
        except StackError:
            keep = True
            raise
        finally:
            if given is None and not keep:
                shutil.rmtree(folder, ignore_errors=True)
