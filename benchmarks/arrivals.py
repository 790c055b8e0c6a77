"""Requests that arrive on a schedule, whatever became of the ones before.

A latency counts from the intended start, so a service that falls behind cannot hide it. The client
is one event loop: it has no threads that could wait for one another instead of for the service.
"""

from __future__ import annotations

import asyncio
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Act = Callable[[], Awaitable[object]]

PER_SECOND = 50
_LEAD_S = 0.1
_WARM_UP = 5


async def latencies_ms(
    acts: Sequence[Act], times: int, per_second: int = PER_SECOND
) -> list[list[float]]:
    """Act `times` times in turn, so many acts a second in all; give each act's latencies."""
    for act in acts:
        for _ in range(_WARM_UP):
            await act()
    loop = asyncio.get_running_loop()
    start = loop.time() + _LEAD_S

    async def at(number: int) -> float:
        intended = start + number / per_second
        await asyncio.sleep(intended - loop.time())
        await acts[number % len(acts)]()
        return (loop.time() - intended) * 1000

    taken = await asyncio.gather(*(at(number) for number in range(times)))
    return [list(taken[first :: len(acts)]) for first in range(len(acts))]


def p95(taken: Sequence[float]) -> float:
    """Give the 95th percentile."""
    return statistics.quantiles(taken, n=20, method="inclusive")[-1]
