"""The door: every request gets an id and a log line, and no big body or card number gets in.

Plain ASGI, so that a refused body never reaches a parser, a record or a log.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from starlette.datastructures import MutableHeaders

from simulators.billing.http import card_data
from simulators.billing.http.card_data import has_card_number
from simulators.billing.http.errors import document
from simulators.billing.http.telling import tell_request
from simulators.billing.identifiers import new_id
from simulators.billing.storage.database import DatabaseGoneError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger("billing.http")

BODY_MAX = 64 * 1024
WEBHOOK_BODY_MAX = 1024 * 1024
WEBHOOK_PATH = "/api/webhooks/stripe"
_RETRY_AFTER_S = "2"
# A database that is away, full or overrun; whatever else it raises is a mistake of ours.
_OUTAGES = (DatabaseGoneError, InterfaceError, NoConnectionError, OperationalError)

# OWASP REST Security Cheat Sheet, "Security Headers": no answer of an API is to be kept, framed,
# guessed at or run by a browser. A route may say otherwise of itself.
_POLICY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_SECURE_POLICY = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}

_LENGTHS = {b"content-length", b"transfer-encoding"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


class Door:
    """Wraps the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        seen = _Seen(send, request_id, is_secure=scope.get("scheme") == "https")
        started = time.perf_counter()
        try:
            await self._admit(scope, receive, seen)
        except _OUTAGES as error:
            if seen.status is not None:
                raise
            log.error("storage_unavailable", request_id=request_id, error=type(error).__name__)  # noqa: TRY400  # a traceback of each request tells no more
            await _without_storage(scope, receive, seen)
        finally:
            route = scope.get("route")
            duration_s = time.perf_counter() - started
            tell_request(scope, seen.status, duration_s)
            log.info(
                "request",
                request_id=request_id,
                method=scope["method"],
                # The template, not the path: a path can hold anything.
                route=getattr(route, "path", None),
                status=seen.status,
                code=state.get("code"),
                customer_id=state.get("customer_id"),
                duration_ms=round(duration_s * 1000, 1),
            )

    async def _admit(self, scope: Scope, receive: Receive, send: _Seen) -> None:
        if "\0" in scope["path"]:
            # No id has one, and PostgreSQL takes none in a query.
            refusal = document(404, "not_found", "There is nothing here by that name.")
            await refusal(scope, receive, send)
            return
        if {name for name, _ in scope["headers"]} >= _LENGTHS:
            await _ambiguous(scope, receive, send)
            return
        is_webhook = scope["path"] == WEBHOOK_PATH
        deadline_s = scope["app"].state.core.settings.body_deadline_s
        try:
            async with asyncio.timeout(deadline_s):
                body = await _body(receive, WEBHOOK_BODY_MAX if is_webhook else BODY_MAX)
        except TimeoutError:
            await _cut_off(scope, receive, send)
            return
        if body is None:
            refusal = document(413, "body_too_large", "The body is too large.")
            await refusal(scope, receive, send)
            return
        try:
            has_card = not is_webhook and (_has_card(body) or _has_card_header(scope))
        except _RepeatedNameError:
            refusal = document(400, "malformed_json", "A name stands twice in one object.")
            await refusal(scope, receive, send)
            return
        if has_card:
            scope["state"]["code"] = "raw_card_data_rejected"
            refusal = document(
                422,
                "raw_card_data_rejected",
                "Card numbers and codes are not taken here; send a token of Stripe's.",
                request_id=send.request_id,
            )
            await refusal(scope, receive, send)
            return
        await self._app(scope, _replayed(body, receive), send)


async def _without_storage(scope: Scope, receive: Receive, send: _Seen) -> None:
    """Say that nothing can be stored now; asked again, what was stored after all is found."""
    scope["state"]["code"] = "storage_unavailable"
    refusal = document(
        503,
        "storage_unavailable",
        "Nothing can be stored at the moment. Ask again.",
        request_id=send.request_id,
        headers={"Retry-After": _RETRY_AFTER_S},
    )
    await refusal(scope, receive, send)


async def _cut_off(scope: Scope, receive: Receive, send: _Seen) -> None:
    """Refuse a body that did not come whole and in time; the connection ends with the answer."""
    scope["state"]["code"] = "request_timeout"
    refusal = document(
        408,
        "request_timeout",
        "The body did not arrive whole and in time.",
        request_id=send.request_id,
        headers={"Connection": "close"},
    )
    await refusal(scope, receive, send)


async def _ambiguous(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a request that ends in two places; what follows it is not read (RFC 9112, 6.1)."""
    refusal = document(
        400,
        "bad_request",
        "A request has a length, or it comes in chunks.",
        headers={"Connection": "close"},
    )
    await refusal(scope, receive, send)


class _Seen:
    """Passes a response on, with the request's id and the policy, and remembers its status."""

    def __init__(self, send: Send, request_id: str, *, is_secure: bool) -> None:
        self._send = send
        # Over plain HTTP it would say nothing (RFC 6797, 7.2).
        self._policy = {**_POLICY, **(_SECURE_POLICY if is_secure else {})}
        self.request_id = request_id
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=list(message["headers"]))
            headers["X-Request-Id"] = self.request_id
            for name, value in self._policy.items():
                headers.setdefault(name, value)
            message = {**message, "headers": headers.raw}
        await self._send(message)


def _request_id(scope: Scope) -> str:
    told = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    is_one = _REQUEST_ID.fullmatch(told) and not has_card_number(told)
    return told if is_one else new_id("req")


async def _body(receive: Receive, limit: int) -> bytes | None:
    """Read the whole body; None if it is larger than the limit.

    Raises TimeoutError if the sender has gone away: half a body can look like a whole one.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise TimeoutError
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _replayed(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


class _RepeatedNameError(Exception):
    """An object has a name twice: what one reader checks, another need not see."""


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _RepeatedNameError
    return found


def _has_card(body: bytes) -> bool:
    if not body:
        return False
    try:
        parsed = json.loads(body, object_pairs_hook=_unrepeated)
    except (ValueError, RecursionError):
        return has_card_number(body.decode("latin-1"))
    return any(_leaves(parsed))


def _leaves(root: object) -> Iterator[bool]:
    """Tell of each place in a JSON document whether it holds card data."""
    stack: list[Any] = [root]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            yield from (str(name).lower() in card_data.FIELDS for name in value)
            stack.extend(value)
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
        elif isinstance(value, (str, int)):
            yield has_card_number(str(value))


def _has_card_header(scope: Scope) -> bool:
    key = dict(scope["headers"]).get(b"idempotency-key", b"").decode("latin-1")
    return has_card_number(key)
