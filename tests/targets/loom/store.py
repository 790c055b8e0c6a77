"""What Loom remembers: workspaces, what they wove, what was paid, and work that is still to do."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCHEMA = """
CREATE TABLE IF NOT EXISTS workspaces (
    id TEXT PRIMARY KEY, email TEXT NOT NULL, name TEXT NOT NULL, customer TEXT NOT NULL UNIQUE,
    key_hash TEXT NOT NULL UNIQUE, attempt INTEGER NOT NULL DEFAULT 1, closed INTEGER NOT NULL
    DEFAULT 0);
CREATE UNIQUE INDEX IF NOT EXISTS one_open ON workspaces (email) WHERE NOT closed;
CREATE TABLE IF NOT EXISTS cards (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    workspace TEXT NOT NULL REFERENCES workspaces);
CREATE TABLE IF NOT EXISTS subscriptions (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    workspace TEXT NOT NULL REFERENCES workspaces, tier TEXT NOT NULL, seats INTEGER NOT NULL,
    status TEXT NOT NULL, period_end INTEGER NOT NULL, ends_at INTEGER);
CREATE TABLE IF NOT EXISTS bills (
    id TEXT PRIMARY KEY, workspace TEXT NOT NULL REFERENCES workspaces,
    amount INTEGER NOT NULL CHECK (amount > 0), placed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS yards (
    workspace TEXT NOT NULL REFERENCES workspaces, reference TEXT NOT NULL, yards INTEGER NOT NULL,
    amount INTEGER NOT NULL, at INTEGER NOT NULL, bill TEXT REFERENCES bills,
    PRIMARY KEY (workspace, reference));
CREATE TABLE IF NOT EXISTS invoices (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    workspace TEXT NOT NULL REFERENCES workspaces, amount INTEGER NOT NULL, status TEXT NOT NULL,
    at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS payments (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, workspace TEXT NOT NULL
    REFERENCES workspaces, amount INTEGER NOT NULL CHECK (amount <> 0), status TEXT NOT NULL,
    cause TEXT NOT NULL, at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS refunds (
    reference TEXT PRIMARY KEY, payment INTEGER NOT NULL REFERENCES payments,
    amount INTEGER NOT NULL CHECK (amount > 0), attempt INTEGER NOT NULL DEFAULT 1, refund TEXT);
CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS tasks (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, due REAL NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0);
"""


class Store:
    """One SQLite database behind one lock, and the clock by which Loom lives."""

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        # Held from asking Stripe to writing down its answer, so that no older one comes later.
        self.in_order = threading.RLock()
        self._ahead_s = 0.0
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(_SCHEMA)

    def now(self) -> float:
        """Tell the time, in seconds since the epoch."""
        return time.time() + self._ahead_s

    def move_to(self, moment: float) -> None:
        """Put the clock forward; it never goes back."""
        self._ahead_s = max(self._ahead_s, moment - time.time())

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing. Nobody calls Stripe inside."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def one(self, query: str, *values: object) -> sqlite3.Row | None:
        """Give the first row of a query, if there is one."""
        with self.transaction() as db:
            row: sqlite3.Row | None = db.execute(query, values).fetchone()
            return row

    def all(self, query: str, *values: object) -> list[sqlite3.Row]:
        """Give the rows of a query."""
        with self.transaction() as db:
            return db.execute(query, values).fetchall()

    def write(self, statement: str, *values: object) -> None:
        """Do one statement."""
        with self.transaction() as db:
            db.execute(statement, values)

    def assign(self, kind: str, subject: str) -> None:
        """Leave work for the worker."""
        task = "INSERT INTO tasks (kind, subject, due) VALUES (?, ?, ?)"
        self.write(task, kind, subject, self.now())

    def workspace_of(self, customer: object) -> sqlite3.Row | None:
        """Give the workspace of a customer at Stripe."""
        return self.one("SELECT * FROM workspaces WHERE customer = ?", str(customer))
