"""Where requests that wait for Stripe wait: threads of their own, so that nobody else does."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from starlette.concurrency import run_in_threadpool

from simulators.billing.core import Answer, InFlight
from simulators.billing.problems import charge_unsettled, provider_unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")

_POLL_S = 0.05


class StripeLane:
    """A bounded executor: so many calls at once, so many in line, the rest are told 503."""

    def __init__(self, workers: int, queue: int) -> None:
        self._pool = ThreadPoolExecutor(workers, "stripe")
        self._places = workers + queue
        self._taken = 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in the lane."""
        if self._taken >= self._places:
            raise provider_unavailable()
        self._taken += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, lambda: work(*args, **kwargs))
        finally:
            self._taken -= 1

    async def carry(
        self,
        begin: Callable[[], Answer | InFlight | S],
        carry_out: Callable[[S], Answer | InFlight],
        patience_s: float,
    ) -> Answer:
        """Begin in the common pool, go on in the lane, wait for whoever is at the same thing."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_s
        while True:
            step = await run_in_threadpool(begin)
            if not isinstance(step, (Answer, InFlight)):
                step = await self.run(carry_out, step)
            if isinstance(step, Answer):
                return step
            if loop.time() >= deadline:
                raise charge_unsettled()
            await asyncio.sleep(_POLL_S)

    def close(self) -> None:
        """Take no more work; what runs ends by its own timeouts."""
        self._pool.shutdown(wait=False, cancel_futures=True)
