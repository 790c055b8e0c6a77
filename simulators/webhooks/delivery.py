"""Delivers events to receivers: concurrently, signed anew each time, with retries and a log.

Each receiver has a queue and workers of its own, so one that hangs delays nobody else. A
failed attempt waits for its retry in virtual time: the deliverer never sleeps for it, it is
told by `release` that the time has come. Signatures carry wall time, as receivers check them
against their own clock.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field

import httpx

from harness import signing

LIVE_RETRIES_S = (300, 900, 3_600, 7_200, 18_000, 36_000, 43_200, 43_200, 43_200, 43_200)
"""Live mode: "up to three days with an exponential back off". The steps are unpublished."""

SANDBOX_RETRIES_S = (600, 3_600, 7_200)
"""Sandbox: "three times over the course of a few hours". The steps are unpublished."""

SCHEDULES = {"live": LIVE_RETRIES_S, "sandbox": SANDBOX_RETRIES_S, "none": ()}

_BODY_LIMIT_BYTES = 1_000


@dataclass(frozen=True)
class Receiver:
    """Where events go: the endpoint's id, its address, and the secrets valid for it now."""

    id: str
    url: str
    secrets: tuple[str, ...]


@dataclass
class Message:
    """One event on its way to one receiver."""

    event_id: str
    event_type: str
    receiver_id: str
    body: bytes = field(repr=False)
    due_at: int
    attempts: int = 0


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


@dataclass
class DeliverySettings:
    """How deliveries are made; `retries_s` are the waits between attempts in virtual time."""

    timeout_s: float = 20.0
    concurrency: int = 4
    retries_s: tuple[int, ...] = SANDBOX_RETRIES_S


class Deliverer:
    """Sends messages; give it `resolve` to look a receiver up anew for each attempt.

    `resolve` returns None when the receiver is disabled or gone, and then the message is
    dropped. `on_result` hears of each message that is done with: (message, delivered).
    """

    def __init__(
        self,
        resolve: Callable[[str], Receiver | None],
        *,
        settings: DeliverySettings | None = None,
        on_result: Callable[[Message, bool], None] = lambda _message, _delivered: None,
    ) -> None:
        self.settings = settings or DeliverySettings()
        self.log: list[Attempt] = []
        self._resolve = resolve
        self._on_result = on_result
        self._queues: dict[str, asyncio.Queue[Message]] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._outstanding = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._retries: list[tuple[int, int, Message]] = []
        self._sequence = itertools.count()
        self._client: httpx.AsyncClient | None = None

    @property
    def pending(self) -> int:
        """How many deliveries are due and not yet done with."""
        return self._outstanding

    @property
    def waiting_retries(self) -> int:
        """How many deliveries failed and wait for a later moment of virtual time."""
        return len(self._retries)

    def next_retry_at(self) -> int | None:
        """When, in virtual time, the next retry falls due; None when none waits."""
        return self._retries[0][0] if self._retries else None

    def send(self, message: Message) -> None:
        """Put a message on its way. Needs a running event loop; returns at once."""
        self._outstanding += 1
        self._idle.clear()
        if message.receiver_id not in self._queues:
            self._open_queue(message.receiver_id)
        self._queues[message.receiver_id].put_nowait(message)

    def release(self, now: int) -> int:
        """Send the retries that are due at virtual time `now`; return how many there were."""
        count = 0
        while self._retries and self._retries[0][0] <= now:
            self.send(heapq.heappop(self._retries)[2])
            count += 1
        return count

    async def settle(self, deadline_s: float) -> bool:
        """Wait until nothing that is due is outstanding; False when the deadline came first."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), deadline_s)
        return self._outstanding == 0

    async def close(self) -> None:
        """Stop at once; what is under way is abandoned."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def _open_queue(self, receiver_id: str) -> None:
        queue: asyncio.Queue[Message] = asyncio.Queue()
        self._queues[receiver_id] = queue
        for _ in range(self.settings.concurrency):
            self._workers.append(asyncio.create_task(self._work(queue)))

    async def _work(self, queue: asyncio.Queue[Message]) -> None:
        while True:
            message = await queue.get()
            try:
                await self._deliver(message)
            finally:
                self._outstanding -= 1
                if not self._outstanding:
                    self._idle.set()

    async def _deliver(self, message: Message) -> None:
        receiver = self._resolve(message.receiver_id)
        if receiver is None:
            self._on_result(message, False)  # noqa: FBT003 - the callback's plain contract
            return
        message.attempts += 1
        signed_at, started = int(time.time()), time.monotonic()
        status, error = await self._attempt(receiver, message, signed_at)
        delivered = 200 <= status < 300  # noqa: PLR2004 - "any 2xx"
        retry_at = None if delivered else self._retry_at(message)
        duration_ms = round((time.monotonic() - started) * 1000)
        self.log.append(
            Attempt(
                event=message.event_id,
                type=message.event_type,
                webhook_endpoint=receiver.id,
                url=receiver.url,
                attempt=message.attempts,
                at=message.due_at,
                signed_at=signed_at,
                status=status,
                error=error,
                delivered=delivered,
                duration_ms=duration_ms,
                next_retry_at=retry_at,
            )
        )
        if retry_at is None:
            self._on_result(message, delivered)
        else:
            message.due_at = retry_at
            heapq.heappush(self._retries, (retry_at, next(self._sequence), message))

    def _retry_at(self, message: Message) -> int | None:
        """Return when to try again, counted from when this attempt was due; None: given up."""
        if message.attempts > len(self.settings.retries_s):
            return None
        return message.due_at + self.settings.retries_s[message.attempts - 1]

    async def _attempt(
        self, receiver: Receiver, message: Message, signed_at: int
    ) -> tuple[int, str | None]:
        """Post once; return the status (nought without an answer) and what went wrong."""
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signing.header(message.body, receiver.secrets, signed_at),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                request = self._http().stream(
                    "POST", receiver.url, content=message.body, headers=headers
                )
                async with request as response:
                    await _read_some(response.aiter_bytes())
                return response.status_code, None
        except TimeoutError:
            return 0, "timed_out"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return 0, f"{type(error).__name__}: {error}".rstrip(": ")

    def _http(self) -> httpx.AsyncClient:
        """Return the client; a new connection for each delivery, so none is ever stale."""
        if self._client is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
            self._client = httpx.AsyncClient(trust_env=False, timeout=None, limits=limits)  # noqa: S113 - asyncio.timeout bounds the whole attempt
        return self._client


async def _read_some(chunks: AsyncIterator[bytes]) -> None:
    """Read an answer's first bytes; a body without end must not hold a worker."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > _BODY_LIMIT_BYTES:
            return
