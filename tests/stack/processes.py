"""Starts processes that tests kill, and finds what is left by a mark in the environment."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MARKER = "LEFTOVER_MARKER"
DRIVER = Path(__file__).with_name("driver.py")
STANDIN = Path(__file__).with_name("standin.py")
STANDIN_PROGRAM = (sys.executable, "-I", "-S", str(STANDIN))

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="leftover processes are looked for in /proc"
)


def marked(mark: str, *words: str) -> dict[int, str]:
    """Return the living processes with the mark whose command line has all the words."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARKER}={mark}".encode() in (process / "environ").read_bytes():
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if line and all(word in line for word in words):
                    found[int(process.name)] = line
    return found


def eventually(condition: Callable[[], object], deadline_s: float = 20) -> bool:
    """Wait until the condition holds; return whether it did before the deadline."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextlib.contextmanager
def driver(kind: str) -> Iterator[subprocess.Popen[str]]:
    """Run a stack in a process of its own, with a process group of its own as in a terminal."""
    with subprocess.Popen(
        [sys.executable, str(DRIVER), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        try:
            yield process
        finally:
            process.kill()
