"""One attempt to deliver: a signed POST that ends in a status, or in a reason for none."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from functools import cache

import httpx

from harness import signing

_BODY_LIMIT_BYTES = 1_000


@dataclass(frozen=True)
class Receiver:
    """Where events go: the endpoint's id, its address, and the secrets valid for it now."""

    id: str
    url: str
    secrets: tuple[str, ...]


@dataclass
class Message:
    """One event on its way to one receiver.

    `due_at` is virtual time. `held_by` names what keeps it back. One that is not `retried` is
    given up after its first attempt, as what is sent by hand is.
    """

    event_id: str
    event_type: str
    receiver_id: str
    body: bytes = field(repr=False)
    due_at: int
    attempts: int = 0
    held_by: str | None = None
    retried: bool = True
    number: int = -1
    """Its place among all messages; given by the deliverer."""


@dataclass(frozen=True)
class Attempt:
    """One line of the delivery log. `status` is nought when no answer came; `error` says why.

    `at` is virtual time, `signed_at` the wall time that was signed; both in seconds.
    """

    event: str
    type: str
    webhook_endpoint: str
    url: str
    attempt: int
    at: int
    signed_at: int
    status: int
    error: str | None
    delivered: bool
    duration_ms: int
    next_retry_at: int | None

    def as_json(self) -> dict[str, object]:
        """Return the line as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Answer:
    """What became of a POST."""

    signed_at: int
    status: int
    error: str | None
    duration_ms: int

    @property
    def delivered(self) -> bool:
        """Tell whether the receiver acknowledged: any 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004 - "any 2xx"


class Poster:
    """Posts messages, each on a connection of its own, so that none is ever stale."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._client: httpx.AsyncClient | None = None

    async def post(self, receiver: Receiver, message: Message) -> Answer:
        """Sign with the wall time of now, and post once."""
        signed_at, started = int(time.time()), time.monotonic()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signing.header(message.body, receiver.secrets, signed_at),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        status, error = await self._exchange(receiver.url, message.body, headers)
        return Answer(signed_at, status, error, round((time.monotonic() - started) * 1000))

    async def close(self) -> None:
        """Close what is open."""
        if self._client is not None:
            await self._client.aclose()

    async def _exchange(
        self, url: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, str | None]:
        """Return the status (nought without an answer) and what went wrong."""
        try:
            async with asyncio.timeout(self._timeout_s):
                request = self._http().stream("POST", url, content=body, headers=headers)
                async with request as response:
                    await _read_some(response.aiter_raw())
                return response.status_code, None
        except TimeoutError:
            return 0, "timed_out"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return 0, f"{type(error).__name__}: {error}".rstrip(": ")

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
            self._client = httpx.AsyncClient(
                verify=_trusted(),
                trust_env=False,
                timeout=None,  # noqa: S113 - asyncio.timeout bounds the whole attempt
                limits=limits,
            )
        return self._client


@cache
def _trusted() -> ssl.SSLContext:
    """Return whose certificates are believed; loading them takes long, so once for all."""
    return httpx.create_ssl_context(trust_env=False)


async def _read_some(chunks: AsyncIterator[bytes]) -> None:
    """Read an answer's first bytes; a body without end must not hold a worker."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > _BODY_LIMIT_BYTES:
            return
