"""What Loom remembers: workspaces, what they wove, what was invoiced and what was paid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.targets import plumbing

if TYPE_CHECKING:
    from sqlite3 import Row

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
"""


class Store(plumbing.Store):
    """Loom's database."""

    def __init__(self, path: str) -> None:
        super().__init__(path, _SCHEMA)

    def workspace_of(self, customer: object) -> Row | None:
        """Give the workspace of a customer at Stripe."""
        return self.one("SELECT * FROM workspaces WHERE customer = ?", str(customer))
