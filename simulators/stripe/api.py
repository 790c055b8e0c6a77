"""Stripe's API over HTTP: who may call, what is called, and the answer's form."""

import base64
import binascii
import hashlib
import json
import logging
import re
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from simulators.stripe import resources
from simulators.stripe.errors import (
    KEYLESS,
    ApiError,
    BadParameters,
    InvalidRequest,
    unrecognized_url,
)
from simulators.stripe.forms import Raw, decode_form
from simulators.stripe.idempotency import Answer, IdempotencyKeys
from simulators.stripe.routes import Call, Route, Router
from simulators.stripe.versions import NEWEST, SUPPORTED, refusal
from simulators.stripe.world import World
from simulators.webhooks.events import Cause, Obj

_BODY_MAX_BYTES = 1_000_000
_HIDE_FROM = 12
_KEY = re.compile(r"(sk|rk)_test_[A-Za-z0-9_]+")
_FORM = "application/x-www-form-urlencoded"

_log = logging.getLogger(__name__)


@dataclass
class Exchange:
    """One request on its way through, and what its answer's headers will say."""

    request: Request
    request_id: str
    version: str = NEWEST
    account: str = ""
    key: str | None = None
    raw: bytes = b""

    @property
    def log_url(self) -> str:
        """Where Stripe's dashboard would show the request."""
        return f"https://dashboard.stripe.com/test/logs/{self.request_id}"


class Api:
    """Answers requests to ``/v1`` from a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._router = Router(resources.ROUTES)
        self._keys = IdempotencyKeys()

    async def __call__(self, request: Request) -> Response:
        """Read the request; then, without ever waiting, execute it and answer."""
        exchange = Exchange(request, self._world.ids.new("req", 14))
        try:
            exchange.account = _authenticate(request.headers.get("authorization"))
            exchange.version = _version(request.headers.get("stripe-version"), self._world.version)
            exchange.key = self._idempotency_key(request)
            exchange.raw = await _read_body(request)
            return self._answer(exchange)
        except ApiError as error:
            return _respond(exchange, error.status, _encode(error.body(exchange.log_url)))

    @staticmethod
    def _idempotency_key(request: Request) -> str | None:
        return request.headers.get("idempotency-key") if request.method == "POST" else None

    def _answer(self, exchange: Exchange) -> Response:
        """Execute once, or give the stored answer again."""
        path, method = exchange.request.url.path, exchange.request.method
        found = self._router.find(method, path)
        if found is None:
            raise unrecognized_url(method, path)
        raw = decode_form(_form_text(exchange))
        if exchange.key is None:
            answer, _ = self._execute(exchange, *found, raw)
            return _respond(exchange, answer.status, answer.body)
        stored = self._keys.begin(
            exchange.account,
            exchange.key,
            method=method,
            path=path,
            fingerprint=_fingerprint(raw),
            now=self._world.now,
        )
        if stored is not None:
            return _respond(exchange, stored.status, stored.body, replay_of=stored.request_id)
        answer, executed = self._execute(exchange, *found, raw)
        self._keys.finish(exchange.account, exchange.key, answer if executed else None)
        return _respond(exchange, answer.status, answer.body)

    def _execute(
        self, exchange: Exchange, route: Route, path: dict[str, str], raw: dict[str, Raw]
    ) -> tuple[Answer, bool]:
        """Return the answer, and whether execution had begun when it was decided."""
        executed = True
        try:
            params = route.params.read(raw)
            call = Call(path, params, exchange.request.url.path)
            cause = Cause(exchange.request_id, exchange.key)
            with self._world.transaction(cause, modifies=route.method != "GET"):
                result = route.handler(self._world, call)
                expand = tuple(params.get("expand", []))
                shown = self._world.show(result, expand, exchange.version)
            status, body = 200, _encode(shown)
        except ApiError as error:
            status, body, executed = (
                error.status,
                _encode(error.body(exchange.log_url)),
                error.executed,
            )
        except Exception:  # noqa: BLE001 - a bug of ours is answered as a 500, and logged
            _log.exception("%s %s failed", route.method, route.path)
            unknown = ApiError("An unknown error occurred", status=500)
            status, body = unknown.status, _encode(unknown.body(exchange.log_url))
        return Answer(status, body, exchange.request_id), executed


def _authenticate(header: str | None) -> str:
    """Return the API key, given as Bearer or as the user name of Basic."""
    scheme, _, value = (header or "").partition(" ")
    value = value.strip()
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            value = ""
    elif scheme.lower() != "bearer":
        value = ""
    if not value:
        raise InvalidRequest(KEYLESS, status=401)
    if not _KEY.fullmatch(value):
        hidden = (
            f"{value[:8]}{'*' * 8}{value[-4:]}" if len(value) > _HIDE_FROM else "*" * len(value)
        )
        raise InvalidRequest(f"Invalid API Key provided: {hidden}", status=401)
    return value


def _version(header: str | None, default: str) -> str:
    if header is None:
        return default
    if header not in SUPPORTED:
        raise InvalidRequest(refusal(header))
    return header


async def _read_body(request: Request) -> bytes:
    """Read the body up to a limit; what comes after it is not even read."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > _BODY_MAX_BYTES:
            raise InvalidRequest("Request body is too large.", status=413)
        chunks.append(chunk)
    return b"".join(chunks)


def _form_text(exchange: Exchange) -> str:
    """Return body and query as one form; a query counts on every method, as at Stripe."""
    content_type = exchange.request.headers.get("content-type", _FORM).partition(";")[0].strip()
    if exchange.raw and content_type.lower() != _FORM:
        raise BadParameters(
            "Invalid request (check that your POST content type is "
            "application/x-www-form-urlencoded). If you have any questions, we can help at "
            "https://support.stripe.com/."
        )
    try:
        body = exchange.raw.decode("ascii")
    except UnicodeDecodeError:
        try:
            body = exchange.raw.decode()
        except UnicodeDecodeError:
            raise BadParameters("Invalid request: the body is not UTF-8.") from None
    return "&".join(part for part in (exchange.request.url.query, body) if part)


def _fingerprint(raw: dict[str, Raw]) -> str:
    text = json.dumps(raw, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _encode(body: Obj) -> bytes:
    return json.dumps(body, indent=2).encode()


def _respond(
    exchange: Exchange, status: int, body: bytes, *, replay_of: str | None = None
) -> Response:
    headers = {"Request-Id": exchange.request_id, "Stripe-Version": exchange.version}
    if exchange.key is not None:
        # Header values are Latin-1 on the wire; a key that came in that way goes out so.
        headers["Idempotency-Key"] = exchange.key
        headers["Original-Request"] = replay_of or exchange.request_id
    if replay_of is not None:
        headers["Idempotent-Replayed"] = "true"
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            headers["Stripe-Should-Retry"] = "false"
    return Response(body, status, headers, media_type="application/json")
