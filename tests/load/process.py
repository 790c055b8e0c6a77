"""Runs a load as a user's computer does: Locust in processes of its own, against a real server."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suites.load.parent.launcher import LoadProcess, Spread, launch
from suites.load.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from suites.load.measuring.result import Result
    from suites.load.schedule import Stage

DEADLINE_S = 120.0
ASKING = "tests.load.asking:Asking"
_SERVER = Path(__file__).with_name("freezing.py")


@dataclass(slots=True)
class FreezingServer:
    """A freezing server of its own process; `record` is filled when it has ended."""

    url: str
    requests: dict[int, tuple[float, float]] = field(default_factory=dict)
    repeated: list[int] = field(default_factory=list)
    freezes: list[tuple[float, float]] = field(default_factory=list)

    def take(self, record: dict[str, Any]) -> None:
        for name, read, answered in record["requests"]:
            if not name.isdigit():  # a worker looks for signs of production, too
                continue
            if int(name) in self.requests:
                self.repeated.append(int(name))
            self.requests[int(name)] = (read, answered)
        self.freezes = [(began, ended) for began, ended in record["freezes"]]


@contextlib.contextmanager
def freezing_server(
    folder: Path, *, every_s: float, freeze_s: float, host: str = "127.0.0.1"
) -> Iterator[FreezingServer]:
    """Start one; its record can be read when the context has ended."""
    record = folder / "record.json"
    arguments = [sys.executable, str(_SERVER), str(record), str(every_s), str(freeze_s), host]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        server = FreezingServer(f"http://{host}:{process.stdout.readline().strip()}")
        try:
            yield server
        finally:
            process.terminate()
            process.wait(30)
    server.take(json.loads(record.read_text(encoding="utf-8")))


def plan_of(folder: Path, url: str, *stages: Stage, **others: Any) -> Plan:
    """Plan a load of one address."""
    return Plan(others.pop("scenario", ASKING), stages, str(folder), {"url": url}, 1, **others)


def run(plan: Plan, spread: Spread | None = None) -> Result:
    """Run a load to its end."""
    load = launch(plan, spread)
    try:
        assert load.wait(DEADLINE_S), "the load did not end"
        return load.finish()
    finally:
        load.kill()


def until(load: LoadProcess, condition: Callable[[Result], bool]) -> Result:
    """Give the first result so far that meets a condition."""
    ends_at = time.monotonic() + DEADLINE_S
    while time.monotonic() < ends_at:
        result = load.so_far()
        if result is not None and condition(result):
            return result
        assert load.running(), "the load ended first"
        time.sleep(0.05)
    raise AssertionError("it did not come to that")
