"""Signing and verifying a webhook, beside the official stripe package."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import stripe

from benchmarks.figures import Figure
from harness import signing

if TYPE_CHECKING:
    from collections.abc import Callable

TIMES = 20_000
SECRET = "whsec_" + "0" * 32


def measure() -> list[Figure]:
    """Measure verification of a body of 1.4 kB, the size of a usual event."""
    body = b'{"id": "evt_1", "object": "event", "data": "' + b"x" * 1400 + b'"}'
    now = int(time.time())
    header = signing.header(body, SECRET, now)
    text = body.decode()
    ours = _microseconds(lambda: signing.verify(body, header, SECRET))
    peer = _microseconds(
        lambda: stripe.WebhookSignature.verify_header(text, header, SECRET, tolerance=300)
    )
    return [Figure("verify a webhook", "µs", ours, peer, "stripe")]


def _microseconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(TIMES):
        act()
    return (time.perf_counter() - began) / TIMES * 1e6
