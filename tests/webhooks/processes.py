"""The commands as processes of their own, for what only a process shows."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from tests.webhooks.conftest import PRODUCTION_SIGNS, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def command(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run `python -m simulators.webhooks` until the block ends; it never outlives it."""
    kept = {name: value for name, value in os.environ.items() if name not in PRODUCTION_SIGNS}
    with subprocess.Popen(
        [sys.executable, "-m", "simulators.webhooks", *map(str, arguments)],
        env={**kept, "STRIPE_WEBHOOK_SECRET": SECRET, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(stream: IO[str] | None) -> str:
    """Wait for the first line; an empty one means that the process ended without."""
    assert stream is not None
    return stream.readline()
