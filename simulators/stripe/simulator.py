"""A world joined with delivery, and time that moves both."""

import asyncio
import logging
import time
from collections.abc import Callable

from simulators.stripe.billing import test_clocks
from simulators.stripe.billing.due import run_next, step
from simulators.stripe.endpoint_secrets import valid_secrets
from simulators.stripe.faults.book import FaultBook
from simulators.stripe.faults.deliveries import Dispatcher
from simulators.stripe.idempotency import IdempotencyKeys
from simulators.stripe.persist import Persistence
from simulators.stripe.settings import Settings
from simulators.stripe.world import World
from simulators.webhooks.delivery import Deliverer, Message, Receiver
from simulators.webhooks.events import Obj

_TICK_S = 0.2

_log = logging.getLogger(__name__)


class Simulator:
    """What runs: state, deliveries, and the clock that drives them."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        wall: Callable[[], float] = time.time,
        persistence: Persistence | None = None,
    ) -> None:
        self._persistence = persistence
        self.world = World(settings, wall=wall, store=persistence.store if persistence else None)
        self.keys = IdempotencyKeys()
        self.faults = FaultBook(self.world.settings.seed)
        self.deliverer = Deliverer(
            self._receiver,
            settings=self.world.settings.delivery,
            on_result=self._delivered,
            on_change=self.save,
        )
        self.dispatcher = Dispatcher(self.world, self.deliverer, self.faults)
        self.world.publish = self.dispatcher.publish
        self.world.more_versions = self.faults.versions
        self._advancing = asyncio.Lock()
        self._moving: dict[str, asyncio.Task[None]] = {}

        if persistence is not None:
            persistence.load(self)

    def save(self) -> None:
        """Write down what has changed, where the state is kept in a file."""
        if self._persistence is not None:
            self._persistence.save(self)

    def _receiver(self, endpoint_id: str) -> Receiver | None:
        """Look an endpoint up; one that is disabled or deleted gets nothing more."""
        endpoint = self.world.store.get("webhook_endpoint", endpoint_id)
        if endpoint is None or endpoint["status"] != "enabled":
            return None
        secrets = valid_secrets(endpoint, self.world.account_now)
        return Receiver(endpoint["id"], endpoint["url"], secrets)

    def _delivered(self, message: Message, delivered: bool) -> None:  # noqa: FBT001 - a callback
        """Count a delivery that succeeded: ``pending_webhooks`` is what is left."""
        event = self.world.store.get("event", message.event_id)
        if event is not None and delivered:
            awaited = [name for name in event["_awaited"] if name != message.receiver_id]
            with self.world.store.transaction():
                self.world.store.set(event, _awaited=awaited, pending_webhooks=len(awaited))

    def catch_up(self) -> None:
        """Do what has fallen due while the clock ran by itself."""
        if self._advancing.locked():
            return
        while run_next(self.world, self.world.now):
            pass
        self.deliverer.release(self.world.now)
        self.save()

    async def advance(self, to: int, settle_s: float) -> None:
        """Move time to `to`, stopping at each moment at which something falls due.

        At each stop deliveries are given time to arrive, `settle_s` seconds in all, so that a
        receiver can act within a draft's hour. API calls are answered meanwhile, at that
        moment's time.
        """
        async with self._advancing:
            clock, running = self.world.clock, self.world.clock.running
            clock.stop()
            patience = time.monotonic() + settle_s
            try:
                while (moment := self._next_stop()) is not None and moment <= to:
                    clock.move_to(max(moment, clock.now))
                    while run_next(self.world, clock.now):
                        pass
                    self.deliverer.release(clock.now)
                    self.save()
                    await self.deliverer.settle(max(0.0, patience - time.monotonic()))
                clock.move_to(max(to, clock.now))
            finally:
                if running:
                    clock.run()

    def _next_stop(self) -> int | None:
        moments = (self.world.store.next_due(), self.deliverer.next_retry_at())
        return min((moment for moment in moments if moment is not None), default=None)

    def move_test_clocks(self) -> None:
        """Let each test clock that was told to advance go on by itself until it has arrived."""
        for clock in test_clocks.advancing(self.world):
            if clock["id"] not in self._moving:
                self._moving[clock["id"]] = asyncio.create_task(self._move(clock))

    async def _move(self, clock: Obj) -> None:
        try:
            while step(self.world, clock):
                self.save()
                await asyncio.sleep(0)  # others have their turn between two moments
        finally:
            del self._moving[clock["id"]]
            self.save()

    async def settle(self, deadline_s: float) -> bool:
        """Wait until no test clock advances and no delivery that is due now is outstanding."""
        deadline = time.monotonic() + deadline_s
        while True:
            self.catch_up()
            self.move_test_clocks()
            if self._moving:
                await asyncio.wait(self._moving.values(), timeout=deadline - time.monotonic())
            if not await self.deliverer.settle(deadline - time.monotonic()):
                return False
            next_retry = self.deliverer.next_retry_at()
            if next_retry is None or next_retry > self.world.now:
                return True

    async def keep_time(self) -> None:
        """Do what falls due by itself, for as long as the server runs."""
        while True:
            try:
                self.catch_up()
                self.move_test_clocks()
            except Exception:  # noqa: BLE001 - time must go on; the log tells
                _log.exception("what fell due could not be done")
            await asyncio.sleep(_TICK_S)
