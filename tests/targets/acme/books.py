"""What Acme remembers: accounts, the wallet's entries, payments, and work that is still to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.targets import plumbing

if TYPE_CHECKING:
    import sqlite3

_SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
    id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    stripe_customer TEXT NOT NULL UNIQUE, token_hash TEXT NOT NULL UNIQUE,
    tariff TEXT NOT NULL DEFAULT 'free' CHECK (tariff IN ('free', 'metered')),
    contract_attempt INTEGER NOT NULL DEFAULT 1, rolled_over_at INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS cards (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL REFERENCES accounts);
CREATE TABLE IF NOT EXISTS contracts (
    id TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts, seats INTEGER NOT NULL,
    state TEXT NOT NULL, ends_at INTEGER);
CREATE TABLE IF NOT EXISTS entries (
    account TEXT NOT NULL REFERENCES accounts, number INTEGER NOT NULL,
    units INTEGER NOT NULL CHECK (units <> 0), balance INTEGER NOT NULL CHECK (balance >= 0),
    source TEXT NOT NULL, cause TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (account, number), UNIQUE (account, source, cause));
CREATE TRIGGER IF NOT EXISTS entries_follow BEFORE INSERT ON entries
    WHEN (new.number - 1, new.balance - new.units) IS NOT (
        SELECT coalesce(max(number), 0), coalesce(sum(units), 0)
        FROM entries WHERE account = new.account)
    BEGIN SELECT raise(ABORT, 'an entry must follow from the last'); END;
CREATE TRIGGER IF NOT EXISTS entries_stay BEFORE UPDATE ON entries
    BEGIN SELECT raise(ABORT, 'entries never change'); END;
CREATE TRIGGER IF NOT EXISTS entries_remain BEFORE DELETE ON entries
    BEGIN SELECT raise(ABORT, 'entries never go'); END;
CREATE TABLE IF NOT EXISTS payments (
    charge TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0), cause TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS parcels (
    id TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts, reference TEXT NOT NULL,
    pieces INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'pending', reason TEXT,
    charged_minor INTEGER NOT NULL DEFAULT 0, attempt INTEGER NOT NULL DEFAULT 1,
    asked_minor INTEGER, asked_card TEXT, held INTEGER NOT NULL DEFAULT 0,
    UNIQUE (account, reference));
"""


def now() -> str:
    """Tell the time as entries carry it."""
    return datetime.now(UTC).isoformat()


class Books(plumbing.Store):
    """Acme's database."""

    def __init__(self, path: str) -> None:
        super().__init__(path, _SCHEMA)


def balance(db: sqlite3.Connection, account: str) -> int:
    """Give the units in an account's wallet."""
    row = db.execute("SELECT sum(units) FROM entries WHERE account = ?", (account,)).fetchone()
    return int(row[0] or 0)


def at_hand(db: sqlite3.Connection, account: str) -> int:
    """Give the units that no parcel holds while it is being charged for the rest."""
    held = "SELECT coalesce(sum(held), 0) FROM parcels WHERE account = ?"
    return balance(db, account) - int(db.execute(held, (account,)).fetchone()[0])


def post(db: sqlite3.Connection, account: str, units: int, source: str, cause: str) -> bool:
    """Write an entry into the wallet, unless this cause has its entry already."""
    same = "SELECT 1 FROM entries WHERE account = ? AND source = ? AND cause = ?"
    if not units or db.execute(same, (account, source, cause)).fetchone():
        return False
    db.execute(
        "INSERT INTO entries SELECT ?1, count(*) + 1, ?2, coalesce(sum(units), 0) + ?2, ?3, ?4, ?5"
        " FROM entries WHERE account = ?1",
        (account, units, source, cause, now()),
    )
    return True


def pay(db: sqlite3.Connection, account: str, charge: str, amount_minor: int, cause: str) -> None:
    """Write down money taken, once for each charge."""
    values = (charge, account, amount_minor, cause, now())
    db.execute("INSERT OR IGNORE INTO payments VALUES (?, ?, ?, ?, ?)", values)


def tariff(db: sqlite3.Connection, account: str) -> str:
    """Give the tariff that holds now: business while a contract is paid for, else the account's."""
    running = "SELECT 1 FROM contracts WHERE account = ? AND state IN ('running', 'overdue')"
    if db.execute(running, (account,)).fetchone():
        return "business"
    row = db.execute("SELECT tariff FROM accounts WHERE id = ?", (account,)).fetchone()
    return str(row[0])


def assign(db: sqlite3.Connection, kind: str, subject: str, due: float) -> None:
    """Leave work for the clerk, to be done from `due` on (seconds since the epoch)."""
    db.execute("INSERT INTO tasks (kind, subject, due) VALUES (?, ?, ?)", (kind, subject, due))
