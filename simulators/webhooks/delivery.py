"""Delivers events to receivers: concurrently, signed anew each time, with retries and a log.

Each receiver has a queue and workers of its own, so one that hangs delays nobody else. A
failed attempt waits for its retry in virtual time: the deliverer never sleeps for it, it is
told by `release` that the time has come. Signatures carry wall time, as receivers check them
against their own clock.
"""

import asyncio
import heapq
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from simulators.webhooks.posting import Answer, Attempt, Message, Poster, Receiver

__all__ = [
    "LIVE_RETRIES_S",
    "SANDBOX_RETRIES_S",
    "SCHEDULES",
    "Attempt",
    "Deliverer",
    "DeliverySettings",
    "Gathering",
    "Message",
    "Receiver",
]

LIVE_RETRIES_S = (300, 900, 3_600, 7_200, 18_000, 36_000, 43_200, 43_200, 43_200, 43_200)
"""Live mode: "up to three days with an exponential back off". The steps are unpublished."""

SANDBOX_RETRIES_S = (600, 3_600, 7_200)
"""Sandbox: "three times over the course of a few hours". The steps are unpublished."""

SCHEDULES = {"live": LIVE_RETRIES_S, "sandbox": SANDBOX_RETRIES_S, "none": ()}

_log = logging.getLogger(__name__)


@dataclass
class DeliverySettings:
    """How deliveries are made; `retries_s` are the waits between attempts in virtual time."""

    timeout_s: float = 20.0
    concurrency: int = 4
    retries_s: tuple[int, ...] = SANDBOX_RETRIES_S


@dataclass
class Gathering:
    """Messages of one receiver that leave together: once there are `size`, or after `within_s`.

    `arrange` puts them in order. They leave one after the other, or `at_once` on as many
    connections.
    """

    size: int
    within_s: float
    arrange: Callable[[list[Message]], list[Message]]
    at_once: bool
    messages: list[Message] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None


@dataclass(frozen=True)
class _Parcel:
    messages: list[Message]
    at_once: bool = False


class Deliverer:
    """Sends messages; give it `resolve` to look a receiver up anew for each attempt.

    `resolve` returns None when the receiver is disabled or gone, and then the message is
    dropped. `on_result` hears of each message that is done with: (message, delivered).
    `on_change` hears when an attempt has ended; `changed` then holds what is to be saved.
    """

    def __init__(
        self,
        resolve: Callable[[str], Receiver | None],
        *,
        settings: DeliverySettings | None = None,
        on_result: Callable[[Message, bool], None] = lambda _message, _delivered: None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings or DeliverySettings()
        self.log: list[Attempt] = []
        self.undelivered: dict[int, Message] = {}
        self.changed: set[int] = set()
        self._resolve, self._on_result, self._on_change = resolve, on_result, on_change
        self._poster = Poster(self.settings.timeout_s)
        self._queues: dict[str, asyncio.Queue[_Parcel]] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._gatherings: dict[tuple[str, str], Gathering] = {}
        self._first_attempts: dict[int, asyncio.Future[None]] = {}
        self._outstanding = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._waiting: list[tuple[int, int, Message]] = []
        self._numbers = 0

    @property
    def pending(self) -> int:
        """How many deliveries are due and not yet done with."""
        return self._outstanding

    @property
    def waiting_retries(self) -> int:
        """How many deliveries wait for a later moment of virtual time."""
        return len(self._waiting)

    @property
    def held(self) -> list[Message]:
        """The messages that are kept back, oldest first."""
        return [message for message in self.undelivered.values() if message.held_by is not None]

    def next_retry_at(self) -> int | None:
        """When, in virtual time, the next retry falls due; None when none waits."""
        return self._waiting[0][0] if self._waiting else None

    def send(self, message: Message) -> None:
        """Put a message on its way. Needs a running event loop; returns at once."""
        self._enter(message)
        self._put([message])

    def send_later(self, message: Message, at: int) -> None:
        """Put a message on its way at a moment of virtual time."""
        message.due_at = at
        self._remember(message)
        heapq.heappush(self._waiting, (at, message.number, message))

    def hold(self, message: Message, by: str) -> None:
        """Keep a message back until `let_go`."""
        message.held_by = by
        self._remember(message)

    def let_go(self, by: str | None = None) -> int:
        """Send what is held, by one name or by any, in its order; return how many there were."""
        going = [message for message in self.held if by in {None, message.held_by}]
        for message in going:
            message.held_by = None
            self.send(message)
        return len(going)

    def gather(self, message: Message, name: str, gathering: Gathering) -> None:
        """Let a message wait for others of `name` to the same receiver, to leave with them."""
        self._enter(message)
        key = (name, message.receiver_id)
        group = self._gatherings.setdefault(key, gathering)
        group.messages.append(message)
        if len(group.messages) >= group.size:
            self._leave(key)
        elif group.timer is None:
            loop = asyncio.get_running_loop()
            group.timer = loop.call_later(group.within_s, self._leave, key)

    def drop(self, message: Message, reason: str) -> None:
        """Lose a message: it is on the log, and never arrives."""
        self._note(message, message.receiver_id, "", Answer(0, 0, reason, 0), None)

    def release(self, now: int) -> int:
        """Send the retries that are due at virtual time `now`; return how many there were."""
        count = 0
        while self._waiting and self._waiting[0][0] <= now:
            self.send(heapq.heappop(self._waiting)[2])
            count += 1
        return count

    def restore(self, messages: Iterable[Message], log: Iterable[Attempt]) -> None:
        """Take up what an earlier process had not delivered; `release` sends it."""
        self.log.extend(log)
        for message in messages:
            self._numbers = max(self._numbers, message.number + 1)
            self.undelivered[message.number] = message
            if message.held_by is None:
                heapq.heappush(self._waiting, (message.due_at, message.number, message))

    async def attempted(self, messages: list[Message], deadline_s: float) -> bool:
        """Wait until each has been attempted once; False when the deadline came first."""
        loop = asyncio.get_running_loop()
        waiting = [
            self._first_attempts.setdefault(message.number, loop.create_future())
            for message in messages
            if message.number in self.undelivered and not message.attempts
        ]
        if not waiting:
            return True
        _, late = await asyncio.wait(waiting, timeout=deadline_s)
        return not late

    async def settle(self, deadline_s: float) -> bool:
        """Wait until nothing that is due is outstanding; False when the deadline came first."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), deadline_s)
        return self._outstanding == 0

    async def close(self) -> None:
        """Stop at once; what is under way is abandoned."""
        for group in self._gatherings.values():
            if group.timer is not None:
                group.timer.cancel()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._poster.close()

    def _remember(self, message: Message) -> None:
        if message.number < 0:
            message.number, self._numbers = self._numbers, self._numbers + 1
        self.undelivered[message.number] = message
        self.changed.add(message.number)

    def _enter(self, message: Message) -> None:
        """Count a message among those that are due."""
        self._remember(message)
        self._outstanding += 1
        self._idle.clear()

    def _leave(self, key: tuple[str, str]) -> None:
        group = self._gatherings.pop(key)
        if group.timer is not None:
            group.timer.cancel()
        self._put(group.arrange(group.messages), at_once=group.at_once)

    def _put(self, messages: list[Message], *, at_once: bool = False) -> None:
        receiver_id = messages[0].receiver_id
        if receiver_id not in self._queues:
            queue: asyncio.Queue[_Parcel] = asyncio.Queue()
            self._queues[receiver_id] = queue
            for _ in range(self.settings.concurrency):
                self._workers.append(asyncio.create_task(self._work(queue)))
        self._queues[receiver_id].put_nowait(_Parcel(messages, at_once))

    async def _work(self, queue: asyncio.Queue[_Parcel]) -> None:
        while True:
            parcel = await queue.get()
            try:
                if parcel.at_once:
                    await asyncio.gather(*(self._deliver(message) for message in parcel.messages))
                else:
                    for message in parcel.messages:
                        await self._deliver(message)
            except Exception:  # noqa: BLE001 - a bug of ours must not end a receiver's deliveries
                _log.exception("a delivery failed")

    async def _deliver(self, message: Message) -> None:
        try:
            receiver = self._resolve(message.receiver_id)
            if receiver is None:
                self._done(message, delivered=False)
            else:
                message.attempts += 1
                answer = await self._poster.post(receiver, message)
                retry_at = None if answer.delivered else self._retry_at(message)
                self._note(message, receiver.id, receiver.url, answer, retry_at)
        finally:
            self._outstanding -= 1
            if not self._outstanding:
                self._idle.set()

    def _note(
        self, message: Message, receiver_id: str, url: str, answer: Answer, retry_at: int | None
    ) -> None:
        """Write an attempt into the log, and plan the next one or be done with the message."""
        self.log.append(
            Attempt(
                event=message.event_id,
                type=message.event_type,
                webhook_endpoint=receiver_id,
                url=url,
                attempt=message.attempts,
                at=message.due_at,
                signed_at=answer.signed_at,
                status=answer.status,
                error=answer.error,
                delivered=answer.delivered,
                duration_ms=answer.duration_ms,
                next_retry_at=retry_at,
            )
        )
        if retry_at is None:
            self._done(message, delivered=answer.delivered)
            return
        self._tell_waiting(message)
        self.send_later(message, retry_at)
        self._on_change()

    def _done(self, message: Message, *, delivered: bool) -> None:
        self.undelivered.pop(message.number, None)
        self.changed.add(message.number)
        self._tell_waiting(message)
        self._on_result(message, delivered)
        self._on_change()

    def _tell_waiting(self, message: Message) -> None:
        waiting = self._first_attempts.pop(message.number, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _retry_at(self, message: Message) -> int | None:
        """Return when to try again, counted from when this attempt was due; None: given up."""
        if not message.retried or message.attempts > len(self.settings.retries_s):
            return None
        return message.due_at + self.settings.retries_s[message.attempts - 1]
