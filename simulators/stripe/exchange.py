"""One request as it comes in over HTTP: who asks, in which version, and what the form says."""

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from simulators.stripe.errors import KEYLESS, BadParameters, InvalidRequest
from simulators.stripe.forms import Raw
from simulators.stripe.idempotency import Answer
from simulators.stripe.versions import NEWEST, SUPPORTED, refusal

_BODY_MAX_BYTES = 1_000_000
_HIDE_FROM = 12
_KEY = re.compile(r"(sk|rk)_test_[A-Za-z0-9_]+")
_FORM = "application/x-www-form-urlencoded"


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
    def method(self) -> str:
        """The request's method."""
        return self.request.method

    @property
    def path(self) -> str:
        """The request's path."""
        return self.request.url.path

    @property
    def log_url(self) -> str:
        """Where Stripe's dashboard would show the request."""
        return f"https://dashboard.stripe.com/test/logs/{self.request_id}"

    async def read(self, default_version: str) -> None:
        """Read key, version, idempotency key and body, in that order; refuse what is wrong."""
        headers = self.request.headers
        key = authenticate(headers.get("authorization"))
        # Whoever needs to tell keys apart, the state's file among them, need not know them.
        self.account = hashlib.sha256(key.encode()).hexdigest()[:16]
        self.version = version_of(headers.get("stripe-version"), default_version)
        self.key = headers.get("idempotency-key") if self.method == "POST" else None
        self.raw = await read_body(self.request)

    def respond(self, answer: Answer) -> Response:
        """Return the response; an answer that another request got first is a replay."""
        headers = {"Request-Id": self.request_id, "Stripe-Version": self.version}
        if self.key is not None:
            # Header values are Latin-1 on the wire; a key that came in that way goes out so.
            headers["Idempotency-Key"] = self.key
            headers["Original-Request"] = answer.request_id
        if answer.request_id != self.request_id:
            headers["Idempotent-Replayed"] = "true"
            if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                headers["Stripe-Should-Retry"] = "false"
        headers.update(answer.headers)
        return Response(answer.body, answer.status, headers, media_type="application/json")


def authenticate(header: str | None) -> str:
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


def version_of(header: str | None, default: str) -> str:
    """Return the version that is asked for; refuse one that is not supported."""
    if header is None:
        return default
    if header not in SUPPORTED:
        raise InvalidRequest(refusal(header))
    return header


async def read_body(request: Request) -> bytes:
    """Read the body up to a limit; what comes after it is not even read."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > _BODY_MAX_BYTES:
            raise InvalidRequest("Request body is too large.", status=413)
        chunks.append(chunk)
    return b"".join(chunks)


def form_text(exchange: Exchange) -> str:
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


def fingerprint(raw: dict[str, Raw]) -> str:
    """Return what tells parameters apart; their order does not count."""
    text = json.dumps(raw, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
