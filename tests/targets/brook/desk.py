"""Who is asking, and for what: keys, bodies, pages, and answers that repeat under one key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from cryptography.fernet import Fernet
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from tests.targets.plumbing import NOT_FOUND, Doubt, Refusal, Worker, digest, without_card

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from sqlite3 import Row

    from starlette.requests import Request
    from starlette.responses import Response

    from tests.targets.brook.books import Books
    from tests.targets.brook.counter import Counter
    from tests.targets.brook.till import Till

PAGE_SIZE = 3
_NOBODY = Refusal(401, "who-are-you", "A key is needed that is known here.")
_PROBLEMS = "https://brook.example/problems"


@dataclass(frozen=True)
class Brook:
    """Everything that a request may need."""

    books: Books
    counter: Counter
    till: Till
    worker: Worker
    operator_key: str
    webhook_secret: str


@dataclass(frozen=True)
class Visit:
    """A request that was let in: whose key it has (None: the operator's), and what it says."""

    brook: Brook
    own: Row | None
    path: Mapping[str, str]
    fields: Mapping[str, Any]
    key: str

    def customer(self) -> Row:
        """Give the customer that it is about; another's looks as if it were not there."""
        named = self.fields.get("customer") or self.path.get("customer")
        if self.own is not None:
            if named not in {None, self.own["id"]}:
                raise NOT_FOUND
            return self.own
        found = self.brook.books.customer("id", self.text("customer", named))
        if not found:
            raise NOT_FOUND
        return found

    def text(self, field: str, given: object = None) -> str:
        """Give a field of 1 to 200 printable characters."""
        value = self.fields.get(field) if given is None else given
        if not isinstance(value, str) or not value.isprintable() or not 1 <= len(value) <= 200:
            raise _invalid(field)
        # Of an id, which only finds something, chance may make one that reads like a card number.
        return value if field == "customer" else without_card(value)

    def whole(self, field: str, least: int, most: int, default: int | None = None) -> int:
        """Give a field that is a whole number."""
        value = self.fields.get(field, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _invalid(field)
        return value

    def yes(self, field: str) -> bool:
        """Give a field that is true or false."""
        value = self.fields.get(field, False)
        if not isinstance(value, bool):
            raise _invalid(field)
        return value

    def minor(self, field: str) -> int | None:
        """Give an amount in minor units; it is written in whole dollars and cents."""
        value = self.fields.get(field)
        if value is None:
            return None
        cents = Decimal(value) * 100 if isinstance(value, int | Decimal) else Decimal("NaN")
        if isinstance(value, bool) or not cents.is_finite() or cents != int(cents):
            raise _invalid(field)
        return int(cents)


def _invalid(field: str) -> Refusal:
    return Refusal(422, "invalid", f"The field {field} is not valid.")


def desk(
    handler: Callable[[Visit], Response], *, role: str = "customer"
) -> Callable[[Request], Awaitable[Response]]:
    """Serve a handler to a customer, to the operator, or to either (`reader`)."""

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(_answer, handler, request, body, role)

    return endpoint


def problem(refusal: Refusal) -> JSONResponse:
    """Say no as a problem document (RFC 9457)."""
    told = {
        "type": f"{_PROBLEMS}/{refusal.code.replace('_', '-')}",
        "title": refusal.code.replace("_", " ").replace("-", " "),
        "status": refusal.status,
        "detail": refusal.detail,
    }
    headers = {"WWW-Authenticate": "Token"} if refusal.status == 401 else None
    return JSONResponse(told, refusal.status, headers, media_type="application/problem+json")


def page(visit: Visit, table: str, show: Callable[[Row], dict[str, Any]]) -> JSONResponse:
    """Give a page of what is a customer's, the oldest first; `Link` leads to the next."""
    customer = visit.customer()["id"]
    after = visit.fields.get("after", "0")
    if not (str(after).isascii() and str(after).isdigit() and len(str(after)) < 18):
        raise _invalid("after")
    rows = visit.brook.books.all(
        f"SELECT * FROM {table} WHERE customer = ? AND number > ? ORDER BY number LIMIT ?",  # noqa: S608 - a literal of Brook's
        *(customer, int(after), PAGE_SIZE + 1),
    )
    path = f"/{table}?{urlencode({'customer': customer})}"
    links = [f'<{path}>; rel="first"']
    if len(rows) > PAGE_SIZE:
        links.append(f'<{path}&after={rows[PAGE_SIZE - 1]["number"]}>; rel="next"')
    shown = [show(row) for row in rows[:PAGE_SIZE]]
    return JSONResponse(shown, headers={"Link": ", ".join(links)})


def _answer(
    handler: Callable[[Visit], Response], request: Request, body: bytes, role: str
) -> Response:
    brook: Brook = request.app.state.brook
    try:
        own = _known(brook, request, role)
        fields = {**request.query_params, **_fields(request, body)}
        key = _key_of(brook, request.headers.get("Idempotency-Key", ""))
        visit = Visit(brook, own, request.path_params, fields, key)
        if key and request.method == "POST":
            return _once(visit, handler, f"{request.method} {request.url} {body!r}")
        return handler(visit)
    except Refusal as refusal:
        return problem(refusal)
    except Doubt:
        return problem(Refusal(503, "try-again", "Ask again: it may have happened."))


def _key_of(brook: Brook, said: str) -> str:
    """Give what is kept of an idempotency key: a client may have put anything there."""
    keyed = hmac.new(brook.operator_key.encode(), said.encode(), "sha256").hexdigest()
    return keyed if said else ""


def _known(brook: Brook, request: Request, role: str) -> Row | None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Token" or not key:
        raise _NOBODY
    if role != "customer" and secrets.compare_digest(key.encode(), brook.operator_key.encode()):
        return None
    own = brook.books.customer("key_hash", digest(key))
    if not own or own["closed"] or role == "operator":
        raise _NOBODY
    return own


def _fields(request: Request, body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    if request.headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
        raise Refusal(415, "json-expected", "The body has to be JSON.")
    try:
        fields = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise Refusal(422, "invalid", "The body is not JSON.") from None
    if not isinstance(fields, dict):
        raise Refusal(422, "invalid", "The body is no object.")
    return fields


def _once(visit: Visit, handler: Callable[[Visit], Response], request: str) -> Response:
    """Answer a request under a key once; told again, its answer is repeated."""
    this = (visit.own["id"] if visit.own else "operator", visit.key)
    books, asked = visit.brook.books, digest(request)
    with books.transaction() as db:
        find = "SELECT * FROM replies WHERE scope = ? AND key = ?"
        known: Row | None = db.execute(find, this).fetchone()
        if not known:
            begin = "INSERT INTO replies (scope, key, request) VALUES (?, ?, ?)"
            db.execute(begin, (*this, asked))
    if known:
        return _repeated(visit.brook, known, asked)
    try:
        reply = handler(visit)
    except Refusal as refusal:
        reply = problem(refusal)
    except BaseException:
        books.write("DELETE FROM replies WHERE scope = ? AND key = ?", *this)
        raise
    keep = "UPDATE replies SET status = ?, body = ? WHERE scope = ? AND key = ?"
    sealed = _seal(visit.brook).encrypt(bytes(reply.body)).decode()
    books.write(keep, reply.status_code, sealed, *this)
    return reply


def _seal(brook: Brook) -> Fernet:
    """Give what seals kept answers: the key of who signed up stands in one."""
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(brook.operator_key.encode()).digest()))


def _repeated(brook: Brook, known: Row, asked: str) -> Response:
    if known["request"] != asked:
        raise Refusal(422, "key-in-use", "The key is of another request.")
    if known["status"] is None:
        raise Refusal(409, "key-under-way", "The request is under way.")
    kind = "application/problem+json" if known["status"] >= 400 else "application/json"
    told = json.loads(_seal(brook).decrypt(known["body"]))
    return JSONResponse(told, known["status"], media_type=kind)
