"""What small billing services share: a database, a worker, and Stripe's answers told apart.

Acme, Brook and Loom stand on it. What they sell, for how much and by which rules is their own.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import sqlite3
import threading
import time
import unicodedata
from contextlib import contextmanager
from typing import TYPE_CHECKING

import stripe
import uvicorn
from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_TIMEOUT_S = 5.0
_LOOKS_EVERY_S = 0.5
_LONGEST_PAUSE_S = 60.0
_SOON_S = 2.0
_log = logging.getLogger("target.worker")
_requests = logging.getLogger("target.requests")
_LENGTHS = {b"content-length", b"transfer-encoding"}
_SAID = {
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS tasks (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, due REAL NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0);
"""


# The official verifier also stumbles over bodies and headers that are not text, and non-events.
UNREADABLE = (
    *(stripe.SignatureVerificationError, ValueError, TypeError),
    *(LookupError, AttributeError, RecursionError),
)


class Refusal(Exception):
    """The service says no: an HTTP status, a stable code, and a sentence for whoever reads it."""

    def __init__(self, status: int, code: str, detail: str = "") -> None:
        super().__init__(detail or code)
        self.status = status
        self.code = code
        self.detail = detail


class Doubt(Exception):
    """It may have happened; `over` when the request is no longer under way at Stripe."""

    def __init__(self, *, over: bool) -> None:
        super().__init__("it may have happened")
        self.over = over


NOT_FOUND = Refusal(404, "not_found", "There is nothing of that id.")


def email_of(text: str) -> str:
    """Give an e-mail address as it is compared: in small letters, and composed in one way."""
    return unicodedata.normalize("NFKC", text).casefold()


def digest(key: str) -> str:
    """Turn a key of 256 random bits into what is kept of it."""
    return hashlib.sha256(key.encode()).hexdigest()


def without_card(text: str) -> str:
    """Give a text back, or refuse it for a card number in it, by its check digit (Luhn)."""
    runs = re.findall(r"\d(?:[ -]?\d){12,18}", text)
    if any(_passes([int(d) for d in run if d.isdigit()]) for run in runs):
        raise Refusal(422, "card_number_refused", "A card number is nothing to be kept here.")
    return text


def _passes(digits: list[int]) -> bool:
    doubled = (digit * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def stripe_client(api_base: str, api_key: str, retries: int) -> stripe.StripeClient:
    """Give a client that tries so often again, under the same key, where Stripe was not reached."""
    return stripe.StripeClient(
        api_key,
        base_addresses={"api": api_base},
        http_client=stripe.RequestsClient(timeout=_TIMEOUT_S),
        max_network_retries=retries,
    )


@contextmanager
def stripe_said() -> Iterator[None]:
    """Turn Stripe's errors into `Refusal`, it did not happen, or `Doubt`, it may have."""
    try:
        yield
    except stripe.CardError as error:
        raise Refusal(402, error.code or "card_declined", "The card did not pay.") from error
    except stripe.InvalidRequestError as error:
        raise Refusal(422, error.code or "not_possible", "That is not possible.") from error
    except stripe.StripeError as error:
        raise Doubt(over=(error.http_status or 0) >= 500) from error


class Porch:
    """Wraps an application: what holds for every answer, and for every request before it is read.

    Each answer carries an id, under which the log has the request's line.

    `refusal` answers a request that says in two ways where it ends: whoever forwards it may
    disagree on where the next begins (RFC 9112, 6.3).
    """

    def __init__(self, app: ASGIApp, refusal: Callable[[], Response]) -> None:
        self._app = app
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        asked = secrets.token_hex(8)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message["headers"]))
                headers.update({**_SAID, "X-Request-Id": asked})
                # Neither path nor query: whoever asks may put a key of theirs there.
                _requests.info("%s %s %s", asked, scope["method"], message["status"])
                message = {**message, "headers": headers.raw}
            await send(message)

        if {name for name, _ in scope["headers"]} >= _LENGTHS:
            refused = self._refusal()
            refused.headers["Connection"] = "close"
            await refused(scope, receive, sending)
            return
        await self._app(scope, receive, sending)


def serve(app: ASGIApp, port: int) -> None:
    """Serve on a loopback port until told to end; requests and troubles go to the log, by UTC."""
    handler = logging.StreamHandler()
    formatter = logging.Formatter("%(asctime)sZ %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler])
    logging.getLogger("target").setLevel(logging.INFO)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )


class Store:
    """One SQLite database behind one lock, and the clock by which a service lives."""

    def __init__(self, path: str, schema: str) -> None:
        self._lock = threading.Lock()
        # Held from asking Stripe to writing down its answer, so that no older one comes later.
        self.in_order = threading.RLock()
        self._ahead_s = 0.0
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(_SCHEMA + schema)

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

    def keep_event(self, event: str, kind: str | None, subject: str) -> None:
        """Keep an event of Stripe's, and the work that it makes, once."""
        with self.transaction() as db:
            kept = db.execute("INSERT OR IGNORE INTO events VALUES (?)", (event,)).rowcount
            if kept and kind:
                task = "INSERT INTO tasks (kind, subject, due) VALUES (?, ?, ?)"
                db.execute(task, (kind, subject, self.now()))


class Worker(threading.Thread):
    """Takes one task after the other from the store, where a crash leaves them."""

    def __init__(self, store: Store, does: Mapping[str, Callable[[str], object]]) -> None:
        super().__init__(name="worker", daemon=True)
        self._store = store
        self._does = does
        self._bell = threading.Event()
        self._leaving = False

    def ring(self) -> None:
        """Say that there is work."""
        self._bell.set()

    def leave(self) -> None:
        """Stop after the task at hand."""
        self._leaving = True
        self.ring()
        self.join(timeout=1.0)

    def drain(self, deadline_s: float) -> int:
        """Wait until nothing is due now or soon, or the deadline; give how much is still to do."""
        ends_at = time.monotonic() + deadline_s
        while left := self._due():
            if time.monotonic() > ends_at:
                break
            self.ring()
            time.sleep(0.01)
        return left

    def _due(self) -> int:
        count = "SELECT count(*) FROM tasks WHERE due <= ?"
        row = self._store.one(count, self._store.now() + _SOON_S)
        return int(row[0]) if row else 0

    def run(self) -> None:
        """Work until told to leave."""
        while not self._leaving:
            task = self._store.one("SELECT * FROM tasks ORDER BY due, number LIMIT 1")
            pause_s = task["due"] - self._store.now() if task else _LOOKS_EVERY_S
            if task and pause_s <= 0:
                self._do(task)
            else:
                self._bell.wait(min(pause_s, _LOOKS_EVERY_S))
                self._bell.clear()

    def _do(self, task: sqlite3.Row) -> None:
        try:
            self._does[task["kind"]](task["subject"])
        except Refusal as refusal:
            # Stripe does not know what it was about, or it was refused for good.
            _log.warning("%s given up: %s", task["kind"], refusal.code)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the task is kept
            later = self._store.now() + min(0.2 * 2 ** task["tries"], _LONGEST_PAUSE_S)
            _log.warning("%s later: %r", task["kind"], error)
            again = "UPDATE tasks SET tries = tries + 1, due = ? WHERE number = ?"
            self._store.write(again, later, task["number"])
            return
        self._store.write("DELETE FROM tasks WHERE number = ?", task["number"])
