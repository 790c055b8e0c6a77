"""What was done to a staging, written down as it happens, for its operator alone.

It holds what nothing else can tell: the credentials of the ten (a target shows them once), and, on
a target that lists nobody, whom there is to remove. Each step is on the disk before the next is
begun, so whatever was cut off is known to whoever comes after. Like a kubeconfig it holds secrets:
it is readable by its owner only, and in the owner's state folder (ADR 0081).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import StagingError

if TYPE_CHECKING:
    from collections.abc import Iterator

_VERSION = 1


@dataclass(slots=True)
class Entry:
    """One customer of ours. `customer` is None while nobody knows whether it was made.

    `key` is the idempotency key of its creation, by which the same request can be told again;
    `extra_keys` are ids of further keys that `staging keys create` made.
    """

    state: str
    email: str
    key: str
    customer: str | None = None
    credential: str | None = field(default=None, repr=False)
    provider_customer: str | None = None
    subscription: str | None = None
    test_clock: str | None = None
    extra_keys: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Record:
    """The record of one staging. `under_way` names the command that is at work, or was cut off."""

    path: Path
    entries: list[Entry] = field(default_factory=list)
    under_way: str | None = None

    def of(self, state: str) -> Entry | None:
        """Give the entry of a state, the newest if an earlier one was left behind."""
        return next((each for each in reversed(self.entries) if each.state == state), None)

    def forget(self, entry: Entry) -> None:
        """Strike somebody out who is gone."""
        self.entries.remove(entry)
        self.save()

    def save(self) -> None:
        """Write it down, whole. Raises `StagingError`."""
        data = {
            "version": _VERSION,
            "under_way": self.under_way,
            "customers": [asdict(each) for each in self.entries],
        }
        try:
            descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
                json.dump(data, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)  # noqa: PTH105 - its atomicity is the point
        except OSError as error:
            raise _unusable(self.path, error) from None

    @contextlib.contextmanager
    def alone(self, command: str | None = None) -> Iterator[None]:
        """Hold it for one command at a time; a `command` that does not come to its end stays noted.

        What is noted of an earlier one goes with the next that comes to its end.
        """
        lock = self.path.with_suffix(".lock")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            held = lock.open("ab")
        except OSError as error:
            raise _unusable(self.path, error) from None
        with held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise StagingError(
                    "another command is at work on this staging",
                    hint="Wait until it has ended, and run this again.",
                ) from None
            fresh = read_record(self.path)
            self.entries, self.under_way = fresh.entries, command or fresh.under_way
            self.save()
            yield
            if command is not None:
                self.under_way = None
                self.save()


def read_record(path: Path) -> Record:
    """Read a record; one that is not there yet is empty. Raises `StagingError` if it is damaged."""
    try:
        data: dict[str, Any] = json.loads(path.read_text("utf-8"))
        known = {each.name for each in fields(Entry)}
        entries = [
            Entry(**{name: value for name, value in each.items() if name in known})
            for each in data["customers"]
        ]
        return Record(path, entries, data["under_way"])
    except FileNotFoundError:
        return Record(path)
    except OSError as error:
        raise _unusable(path, error) from None
    except (ValueError, KeyError, TypeError) as error:
        raise StagingError(
            f"the record {path} is damaged: {error}",
            hint="Move it away: what it held is then found where the target can list customers.",
        ) from None


def state_folder() -> Path:
    """Give the folder of what this user's commands remember (XDG Base Directory)."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "billing-harness"


def record_path(name: str, base_url: str) -> Path:
    """Give the usual place of a target's record: one for each name and address."""
    digest = hashlib.sha256(base_url.rstrip("/").encode()).hexdigest()[:8]
    return state_folder() / "staging" / f"{re.sub(r'[^A-Za-z0-9-]+', '-', name)}-{digest}.json"


def _unusable(path: Path, error: OSError) -> StagingError:
    return StagingError(
        f"the record of this staging cannot be kept at {path}: {error.strerror}",
        hint="Give a file in a folder of yours by --record FILE, or set XDG_STATE_HOME.",
    )
