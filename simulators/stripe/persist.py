"""``--store FILE``: everything that has happened, in a SQLite file, before anyone hears of it.

`Persistence.save` writes what has changed since the last time as one SQLite transaction. The
simulator calls it after each thing that it does and before it waits for anything, so an answer,
a webhook and the state that they tell of are never apart, whenever the process is killed. An
idempotency key is written with the effect of its request, an undelivered webhook with its event.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulators.stripe.faults.book import Fault
from simulators.stripe.idempotency import Answer, Record
from simulators.stripe.ids import Ids
from simulators.stripe.journal import Entry
from simulators.stripe.store import Store
from simulators.webhooks.events import Obj
from simulators.webhooks.posting import Attempt, Message

if TYPE_CHECKING:
    from simulators.stripe.simulator import Simulator

_APPLICATION_ID = 0x53_49_4D_53
_FORMAT = 1
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID;
CREATE TABLE objects (
    place INTEGER PRIMARY KEY, kind TEXT, id TEXT, body TEXT, UNIQUE (kind, id)
);
CREATE TABLE agenda (
    place INTEGER PRIMARY KEY, clock TEXT, action TEXT, object TEXT, at INTEGER,
    UNIQUE (clock, action, object)
);
CREATE TABLE keys (account TEXT, key TEXT, body TEXT, PRIMARY KEY (account, key)) WITHOUT ROWID;
CREATE TABLE messages (number INTEGER PRIMARY KEY, body TEXT);
CREATE TABLE journal (place INTEGER PRIMARY KEY, body TEXT);
CREATE TABLE attempts (place INTEGER PRIMARY KEY, body TEXT);
CREATE TABLE fault_log (place INTEGER PRIMARY KEY, body TEXT);
"""


class CannotStore(OSError):
    """The file cannot hold an account; the message says why."""


class TrackedStore(Store):
    """A store that remembers what was touched, so that only this has to be written."""

    def __init__(self) -> None:
        super().__init__()
        self.touched: dict[tuple[str, str], bool] = {}
        """(kind, id) of what was touched, and whether it was deleted at some time."""
        self.planned: dict[tuple[str, str, str], None] = {}
        """(clock, action, object) of what was planned or done, in that order."""

    def insert(self, obj: Obj) -> Obj:
        """Add a new object."""
        self.touched.setdefault((obj["object"], obj["id"]), False)
        return super().insert(obj)

    def set(self, obj: Obj, **fields: object) -> Obj:
        """Change an object."""
        self.touched.setdefault((obj["object"], obj["id"]), False)
        return super().set(obj, **fields)

    def delete(self, obj: Obj) -> None:
        """Remove an object."""
        self.touched[obj["object"], obj["id"]] = True
        super().delete(obj)

    def schedule(self, action: str, object_id: str, at: int | None, clock: str = "") -> None:
        """Plan something."""
        self._plan(clock, action, object_id)
        super().schedule(action, object_id, at, clock)

    def pop_due(self, now: int, clock: str = "") -> tuple[str, str] | None:
        """Take what is due."""
        taken = super().pop_due(now, clock)
        if taken is not None:
            self._plan(clock, *taken)
        return taken

    def _plan(self, clock: str, action: str, object_id: str) -> None:
        self.planned.pop((clock, action, object_id), None)
        self.planned[clock, action, object_id] = None


class Persistence:
    """Keeps one simulator in one file."""

    def __init__(self, path: Path) -> None:
        self.store = TrackedStore()
        self._meta: dict[str, str] = {}
        self._written = {"journal": 0, "attempts": 0, "fault_log": 0}
        try:
            self._file = _open(path)
        except (OSError, sqlite3.Error) as error:
            raise CannotStore(f"cannot keep the account in {path}: {error}") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def load(self, simulator: "Simulator") -> None:
        """Put what the file holds into a new simulator."""
        self._meta = dict(self._file.execute("SELECT name, body FROM meta"))
        starts = json.loads(self._meta.get("starts", "0"))
        if starts:
            self._load_account(simulator)
            self._load_deliveries(simulator)
        # Ids go on from a stream of their own: the first one's place is not written down.
        seed = json.loads(self._meta.get("seed", "null")) or simulator.world.settings.seed
        simulator.world.ids = Ids(f"{seed}/{starts}") if starts else Ids(seed)
        with self._file:
            self._put("starts", starts + 1)
            self._put("seed", seed)

    def save(self, simulator: "Simulator") -> None:
        """Write what has changed since the last time, all or nothing."""
        with self._file:
            self._save_objects()
            self._save_agenda()
            self._save_keys(simulator)
            self._save_messages(simulator)
            self._append("journal", simulator.world.journal.records, asdict)
            self._append("attempts", simulator.deliverer.log, asdict)
            self._append("fault_log", simulator.faults.log, dict)
            self._put("clock", simulator.world.clock.as_json())
            faults = [vars(fault) for fault in simulator.faults.faults.values()]
            self._put("faults", {"made": simulator.faults.made, "faults": faults})

    def _put(self, name: str, value: object) -> None:
        text = json.dumps(value)
        if self._meta.get(name) != text:
            self._meta[name] = text
            self._file.execute("REPLACE INTO meta VALUES (?, ?)", (name, text))

    def _append(self, table: str, lines: list[Any], plain: Callable[[Any], object]) -> None:
        """Write those lines of a record that were not written yet."""
        rows = [(json.dumps(plain(line)),) for line in lines[self._written[table] :]]
        if rows:
            self._written[table] += len(rows)
            self._file.executemany(f"INSERT INTO {table} (body) VALUES (?)", rows)  # noqa: S608 - one of three names

    def _save_objects(self) -> None:
        for (kind, object_id), dropped in self.store.touched.items():
            obj = self.store.get(kind, object_id)
            if dropped or obj is None:
                self._file.execute(
                    "DELETE FROM objects WHERE (kind, id) = (?, ?)", (kind, object_id)
                )
            if obj is not None:
                self._file.execute(
                    "INSERT INTO objects (kind, id, body) VALUES (?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET body = excluded.body",
                    (kind, object_id, json.dumps(obj)),
                )
        self.store.touched.clear()

    def _save_agenda(self) -> None:
        for clock, action, object_id in self.store.planned:
            self._file.execute(
                "DELETE FROM agenda WHERE (clock, action, object) = (?, ?, ?)",
                (clock, action, object_id),
            )
            at = self.store.planned_at(action, object_id, clock)
            if at is not None:
                self._file.execute(
                    "INSERT INTO agenda (clock, action, object, at) VALUES (?, ?, ?, ?)",
                    (clock, action, object_id, at),
                )
        self.store.planned.clear()

    def _save_keys(self, simulator: "Simulator") -> None:
        for name in simulator.keys.changed:
            record = simulator.keys.records[name]
            answer = record.answer
            assert answer is not None  # noqa: S101 - only answered ones are marked
            told = {**vars(answer), "body": answer.body.decode(), "headers": dict(answer.headers)}
            body = json.dumps({**vars(record), "answer": told})
            self._file.execute("REPLACE INTO keys VALUES (?, ?, ?)", (*name, body))
        simulator.keys.changed.clear()

    def _save_messages(self, simulator: "Simulator") -> None:
        deliverer = simulator.deliverer
        for number in sorted(deliverer.changed):
            message = deliverer.undelivered.get(number)
            if message is None:
                self._file.execute("DELETE FROM messages WHERE number = ?", (number,))
            else:
                body = json.dumps({**vars(message), "body": message.body.decode()})
                self._file.execute("REPLACE INTO messages VALUES (?, ?)", (number, body))
        deliverer.changed.clear()

    def _load_account(self, simulator: "Simulator") -> None:
        world = simulator.world
        for obj in self._lines("objects"):
            self.store.insert(obj)
        plans = "SELECT action, object, at, clock FROM agenda ORDER BY place"
        for action, object_id, at, clock in self._file.execute(plans):
            self.store.schedule(action, object_id, at, clock)
        self.store.forget_undo()
        self.store.touched.clear()
        self.store.planned.clear()
        world.journal.records += [Entry(**line) for line in self._lines("journal")]
        self._written["journal"] = len(world.journal.records)
        world.clock.restore(json.loads(self._meta["clock"]))
        for account, key, body in self._file.execute("SELECT account, key, body FROM keys"):
            record = json.loads(body)
            answer = {**record.pop("answer")}
            answer["body"] = answer["body"].encode()
            simulator.keys.records[account, key] = Record(**record, answer=Answer(**answer))

    def _load_deliveries(self, simulator: "Simulator") -> None:
        messages = [
            Message(**{**line, "body": line["body"].encode()})
            for line in self._lines("messages", "number")
        ]
        simulator.deliverer.restore(messages, [Attempt(**line) for line in self._lines("attempts")])
        self._written["attempts"] = len(simulator.deliverer.log)
        faults = json.loads(self._meta["faults"])
        simulator.faults.made = faults["made"]
        simulator.faults.faults = {each["id"]: Fault(**each) for each in faults["faults"]}
        simulator.faults.log += self._lines("fault_log")
        self._written["fault_log"] = len(simulator.faults.log)

    def _lines(self, table: str, order: str = "place") -> Iterator[Any]:
        rows = self._file.execute(f"SELECT body FROM {table} ORDER BY {order}")  # noqa: S608 - names of our own
        return (json.loads(body) for (body,) in rows)


def _open(path: Path) -> sqlite3.Connection:
    """Open or make the file, for this process alone; whom it belongs to alone can read it."""
    path.touch(mode=0o600)
    file = sqlite3.connect(path, timeout=0, check_same_thread=False)
    file.execute("PRAGMA locking_mode = EXCLUSIVE")
    file.execute("PRAGMA journal_mode = WAL")
    # A killed process loses nothing; a machine that loses power may lose the last moments.
    file.execute("PRAGMA synchronous = NORMAL")
    file.execute("BEGIN EXCLUSIVE")
    file.commit()
    marks = [
        file.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    ]
    if marks == [0, 0] and not file.execute("SELECT 1 FROM sqlite_master").fetchone():
        file.executescript(
            f"BEGIN; {_TABLES} PRAGMA application_id = {_APPLICATION_ID};"
            f" PRAGMA user_version = {_FORMAT}; COMMIT;"
        )
    elif marks != [_APPLICATION_ID, _FORMAT]:
        file.close()
        raise sqlite3.DatabaseError("it is no file of this simulator's, or of another version")
    return file
