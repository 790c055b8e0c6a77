"""What Brook remembers: customers, the drops they have and had, and the money that moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.targets import plumbing

if TYPE_CHECKING:
    import sqlite3

_SCHEMA = """
CREATE TABLE IF NOT EXISTS customers (
    id TEXT PRIMARY KEY, email TEXT NOT NULL, stripe_id TEXT NOT NULL UNIQUE,
    key_hash TEXT NOT NULL UNIQUE, returned INTEGER NOT NULL, plan TEXT NOT NULL DEFAULT 'puddle',
    attempt INTEGER NOT NULL DEFAULT 1, debt INTEGER NOT NULL DEFAULT 0 CHECK (debt >= 0),
    refilled_at INTEGER NOT NULL DEFAULT 0, closed INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX IF NOT EXISTS one_open ON customers (email) WHERE NOT closed;
CREATE TABLE IF NOT EXISTS sources (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, customer TEXT NOT NULL
    REFERENCES customers);
CREATE TABLE IF NOT EXISTS subscriptions (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, customer TEXT NOT NULL
    REFERENCES customers, seats INTEGER NOT NULL, state TEXT NOT NULL,
    runs_until INTEGER NOT NULL, ends_at INTEGER);
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY, customer TEXT NOT NULL REFERENCES customers,
    drops INTEGER NOT NULL CHECK (drops <> 0), left INTEGER NOT NULL CHECK (left >= 0),
    source TEXT NOT NULL, cause TEXT NOT NULL, at INTEGER NOT NULL,
    UNIQUE (customer, source, cause));
CREATE TRIGGER IF NOT EXISTS entries_follow BEFORE INSERT ON entries
    WHEN new.left - new.drops IS NOT (
        SELECT coalesce(sum(drops), 0) FROM entries WHERE customer = new.customer)
    BEGIN SELECT raise(ABORT, 'an entry must follow from those before'); END;
CREATE TRIGGER IF NOT EXISTS entries_stay BEFORE UPDATE ON entries
    BEGIN SELECT raise(ABORT, 'entries never change'); END;
CREATE TRIGGER IF NOT EXISTS entries_remain BEFORE DELETE ON entries
    BEGIN SELECT raise(ABORT, 'entries never go'); END;
CREATE TABLE IF NOT EXISTS payments (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, customer TEXT NOT NULL
    REFERENCES customers, amount INTEGER NOT NULL CHECK (amount <> 0), state TEXT NOT NULL,
    cause TEXT NOT NULL, at INTEGER NOT NULL, brought INTEGER NOT NULL DEFAULT 0,
    taken INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS usages (
    customer TEXT NOT NULL REFERENCES customers, id TEXT NOT NULL, drops INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'open', attempt INTEGER NOT NULL DEFAULT 1,
    asked INTEGER NOT NULL DEFAULT 0, source TEXT, held INTEGER NOT NULL DEFAULT 0,
    charged INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (customer, id));
CREATE TABLE IF NOT EXISTS replies (
    scope TEXT NOT NULL, key TEXT NOT NULL, request TEXT NOT NULL, status INTEGER, body TEXT,
    PRIMARY KEY (scope, key));
CREATE TABLE IF NOT EXISTS tries (key TEXT PRIMARY KEY, count INTEGER NOT NULL);
"""


class Plan(NamedTuple):
    """What a plan costs a month, the drops that it brings, and the price of a drop beyond them."""

    month_minor: int
    drops: int
    drop_minor: int


CURRENCY = "usd"
PLANS = {"puddle": Plan(0, 0, 850), "spring": Plan(0, 0, 850), "river": Plan(17950, 12, 525)}
SIGN_UP_DROPS = 4
FIRST_SOURCE_DROPS = 2
NEARLY_DRY = 1


class Books(plumbing.Store):
    """Brook's database."""

    def __init__(self, path: str) -> None:
        super().__init__(path, _SCHEMA)

    def customer(self, key: str, value: object) -> sqlite3.Row | None:
        """Find a customer by its id, its id at Stripe, or its key's digest."""
        find = f"SELECT * FROM customers WHERE {key} = ?"  # noqa: S608 - a column's name
        return self.one(find, str(value))


def drops_of(db: sqlite3.Connection, customer: str) -> int:
    """Give the drops that a customer has."""
    row = db.execute("SELECT sum(drops) FROM entries WHERE customer = ?", (customer,)).fetchone()
    return int(row[0] or 0)


def at_hand(db: sqlite3.Connection, customer: str) -> int:
    """Give the drops that no usage holds while it is being charged for the rest."""
    held = "SELECT coalesce(sum(held), 0) FROM usages WHERE customer = ?"
    return drops_of(db, customer) - int(db.execute(held, (customer,)).fetchone()[0])


def plan_of(db: sqlite3.Connection, customer: str) -> str:
    """Give the plan that holds now: river while a subscription is alive, else the customer's."""
    alive = "SELECT 1 FROM subscriptions WHERE customer = ? AND state <> 'dried_up'"
    if db.execute(alive, (customer,)).fetchone():
        return "river"
    found = "SELECT plan FROM customers WHERE id = ?"
    return str(db.execute(found, (customer,)).fetchone()[0])


def post(
    db: sqlite3.Connection, customer: str, drops: int, source: str, cause: str, *, at: float
) -> bool:
    """Write an entry, unless this cause has its entry already."""
    same = "SELECT 1 FROM entries WHERE customer = ? AND source = ? AND cause = ?"
    if not drops or db.execute(same, (customer, source, cause)).fetchone():
        return False
    left = drops_of(db, customer) + drops
    columns = "(customer, drops, left, source, cause, at)"
    values = (customer, drops, left, source, cause, int(at))
    db.execute(f"INSERT INTO entries {columns} VALUES (?, ?, ?, ?, ?, ?)", values)  # noqa: S608 - no input in it
    return True


def take_back(db: sqlite3.Connection, customer: str, drops: int, cause: str, at: float) -> None:
    """Take drops that money had brought; those that are gone are owed, and come off the next."""
    there = min(drops, max(0, at_hand(db, customer)))
    post(db, customer, -there, "correction", cause, at=at)
    debt = "UPDATE customers SET debt = debt + ? WHERE id = ?"
    db.execute(debt, (drops - there, customer))


def settle_debt(db: sqlite3.Connection, customer: str, cause: str, at: float) -> None:
    """Take what is owed off the drops that just came."""
    owed = db.execute("SELECT debt FROM customers WHERE id = ?", (customer,)).fetchone()[0]
    taken = min(int(owed), max(0, at_hand(db, customer)))
    post(db, customer, -taken, "correction", cause, at=at)
    db.execute("UPDATE customers SET debt = debt - ? WHERE id = ?", (taken, customer))
