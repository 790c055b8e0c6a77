"""Starts the load process: Locust in a process of its own, alone or over several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from suites.load.plan import Plan
    from suites.load.result import Result


@dataclass(frozen=True, slots=True)
class Spread:
    """Over what a load is spread: this process count, or workers that come from elsewhere.

    `processes` workers are forked on this machine; 0 means one process that is its own master.
    With `master`, so many workers started elsewhere (`work`) are awaited at `bind_host:bind_port`
    for `wait_s` seconds at most. `web_port` serves Locust's web page (on loopback).
    """

    processes: int = 0
    master: bool = False
    expect_workers: int = 1
    bind_host: str = "127.0.0.1"
    bind_port: int = 0
    web_port: int | None = None
    wait_s: float = 60.0


class LoadProcess:
    """A load under way. Whatever ends this process ends it too."""

    def __init__(
        self, plan: Plan, spread: Spread, *, secrets: Mapping[str, str], env: Mapping[str, str]
    ) -> None:
        raise NotImplementedError

    def running(self) -> bool:
        """Whether it still runs."""
        raise NotImplementedError

    def so_far(self) -> Result | None:
        """Give the result so far, written anew about every second; None before the first."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ask it to end now: nothing more is begun, and what there is is written as partial."""
        raise NotImplementedError

    def kill(self) -> None:
        """End it at once; what it wrote last stays, and is partial."""
        raise NotImplementedError

    def finish(self) -> Result:
        """Give the result of a load that has ended (or was killed)."""
        raise NotImplementedError


def launch(
    plan: Plan,
    spread: Spread | None = None,
    *,
    secrets: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
) -> LoadProcess:
    """Write the plan into its folder and start the load process.

    `secrets` are those of the scenario (a webhook secret, customers' credentials), by name; they
    travel over an inherited, unlinked file, never by argv. `env` is the whole environment.
    """
    raise NotImplementedError


def work(master_host: str, master_port: int, *, processes: int = 1) -> int:
    """Be a worker of a master elsewhere until it is done; give the exit status."""
    raise NotImplementedError
