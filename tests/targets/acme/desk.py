"""Who is asking, and for what exactly: the version, credentials and form of a request."""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from tests.targets.plumbing import NOT_FOUND, Doubt, Refusal, digest, without_card

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from sqlite3 import Row

    from starlette.requests import Request
    from starlette.responses import Response

    from tests.targets.acme.books import Books
    from tests.targets.acme.cashier import Cashier
    from tests.targets.acme.clerk import Clerk
    from tests.targets.acme.contracts import Contracts

VERSION = "2026-01"
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Office:
    """Everything that a request may need."""

    books: Books
    cashier: Cashier
    contracts: Contracts
    clerk: Clerk
    operator_password: str
    webhook_secret: str


@dataclass(frozen=True)
class Visit:
    """A request that was let in: its account (none when one is opened), its fields and its path."""

    office: Office
    account: Row | None
    path: Mapping[str, str]
    fields: Mapping[str, str]

    @property
    def account_id(self) -> str:
        """The account's id."""
        assert self.account is not None
        return str(self.account["id"])

    def text(self, field: str, default: str | None = None) -> str:
        """Give a field of 1 to 200 printable characters."""
        value = self.fields.get(field, default)
        if value is None or not value.isprintable() or not 1 <= len(value) <= 200:
            raise Refusal(422, f"{field}_invalid")
        return without_card(value)

    def whole(self, field: str, least: int, most: int, default: int | None = None) -> int:
        """Give a field that is a whole number."""
        value = self.text(field, None if default is None else str(default))
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and least <= int(value) <= most):
            raise Refusal(422, f"{field}_invalid")
        return int(value)


def desk(
    handler: Callable[[Visit], JSONResponse], *, operator: bool = False
) -> Callable[[Request], Awaitable[Response]]:
    """Serve a handler to the account's holder, or to the operator."""

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(_answer, handler, request, body, operator=operator)

    return endpoint


def refuse(status: int, reason: str) -> JSONResponse:
    """Say no in Acme's words."""
    headers = {503: {"Retry-After": "1"}, 401: {"WWW-Authenticate": "Bearer"}}.get(status)
    return JSONResponse({"error": {"reason": reason}}, status, headers)


def _answer(
    handler: Callable[[Visit], JSONResponse], request: Request, body: bytes, *, operator: bool
) -> JSONResponse:
    if request.headers.get("X-Acme-Version") != VERSION:
        return refuse(400, "version_unsupported")
    try:
        office: Office = request.app.state.office
        who = _operator if operator else _holder
        account = who(office, request)
        fields = {**_fields(request, body), **request.query_params}
        return handler(Visit(office, account, request.path_params, fields))
    except Refusal as refusal:
        return refuse(refusal.status, refusal.code)
    except Doubt:
        return refuse(503, "payments_unavailable")


def _holder(office: Office, request: Request) -> Row:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    account = office.books.one("SELECT * FROM accounts WHERE token_hash = ?", digest(token))
    if scheme != "Bearer" or not account:
        raise Refusal(401, "not_signed_in")
    if account["id"] != request.path_params["account"]:
        raise NOT_FOUND
    return account


def _operator(office: Office, request: Request) -> Row | None:
    scheme, _, pair = request.headers.get("Authorization", "").partition(" ")
    try:
        given = base64.b64decode(pair, validate=True)
    except (binascii.Error, ValueError):
        given = b""
    expected = f"operator:{office.operator_password}".encode()
    if scheme != "Basic" or not secrets.compare_digest(given, expected):
        raise Refusal(401, "not_signed_in")
    wanted = request.path_params.get("account")
    account = office.books.one("SELECT * FROM accounts WHERE id = ?", wanted)
    if wanted and not account:
        raise NOT_FOUND
    return account


def _fields(request: Request, body: bytes) -> dict[str, str]:
    if not body:
        return {}
    if request.headers.get("Content-Type", "").partition(";")[0].strip() != _FORM:
        raise Refusal(415, "form_expected")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise Refusal(422, "form_unreadable") from None
    return dict(pairs)
