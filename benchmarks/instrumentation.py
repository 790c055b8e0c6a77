"""What telemetry adds to a request of the reference service: it may be 5 %.

Two real services run side by side, one of them without any instrumentation, and are asked in turns,
one request at a time and each first as often as the other; of each the median counts.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from benchmarks.billing_client import Client
from benchmarks.billing_service import UNLIMITED
from benchmarks.figures import Figure
from harness.stack import Stack, StackOptions

if TYPE_CHECKING:
    from benchmarks.arrivals import Act

TURNS = 600
WARM_UP = 30
ALLOWED = 0.05
ASKED = ("usage summary", "track_fix with a credit", "webhook acknowledgement")
WITHOUT = (sys.executable, "-P", "-m", "benchmarks.uninstrumented")


def measure() -> list[Figure]:
    """Measure each kind of request on both; the ratio is without over with, the best being 1."""
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    async with AsyncExitStack() as undo:
        ours = await _client(undo, StackOptions(billing_env=UNLIMITED))
        plain = StackOptions(billing_env=UNLIMITED, billing_program=WITHOUT)
        peer = await _client(undo, plain)
        return [await _figure(what, ours.acts()[what], peer.acts()[what]) for what in ASKED]


async def _client(undo: AsyncExitStack, options: StackOptions) -> Client:
    stack = undo.enter_context(Stack(options))
    client = await undo.enter_async_context(Client(stack.addresses))
    await client.prepare()
    return client


async def _figure(what: str, ours: Act, peer: Act) -> Figure:
    for _ in range(WARM_UP):
        await ours()
        await peer()
    taken: dict[Act, list[float]] = {ours: [], peer: []}
    for turn in range(TURNS):
        for act in (ours, peer) if turn % 2 else (peer, ours):
            began = time.perf_counter()
            await act()
            taken[act].append((time.perf_counter() - began) * 1000)
    with_ms, without_ms = (statistics.median(taken[act]) for act in (ours, peer))
    added = with_ms / without_ms - 1
    told = f"{what}: telemetry adds {added:+.1%} of {ALLOWED:.0%} allowed"
    return Figure(told, "ms median", with_ms, without_ms, "without")
