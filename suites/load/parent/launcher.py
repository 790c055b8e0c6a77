"""Starts the load process: Locust in a process of its own, alone or over several."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import SettingsError, StackError
from harness.stack.ports import LOOPBACK, reserve
from harness.stack.process import Child, describe_status
from suites.load.measuring.result import RESULT_FILE, Result
from suites.load.plan import FOLDER_VARIABLE, PLAN_VARIABLE, SECRETS_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from suites.load.plan import Plan

LOG_FILE = "load.log"
GRACE_S = 8.0  # for the last books of all workers
_LOCUSTFILE = Path(__file__).parents[1] / "generator" / "locustfile.py"
_LOCUST = "suites.load.generator"
_OF_LOCUST = "LOCUST_"
_ROOT = Path(__file__).parents[3]
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Spread:
    """Over what a load is spread.

    `processes` workers are forked on this machine; 0 means one process that leads and works. With
    `master`, `expect_workers` started elsewhere (`work`) are awaited at `bind_host:bind_port` for
    `wait_s` at most; port 0 takes any free one. Whoever connects there is told the plan and the
    scenario's secrets, as Locust sends them in the clear: bind to a network that you trust.
    `web_port` serves Locust's page, on loopback: the load starts at once, and the process stays
    until it is told to stop.
    """

    processes: int = 0
    master: bool = False
    expect_workers: int = 1
    bind_host: str = LOOPBACK
    bind_port: int = 0
    web_port: int | None = None
    wait_s: float = 60.0

    @property
    def workers(self) -> int:
        """How many workers there are to be."""
        return self.expect_workers if self.master else max(self.processes, 1)

    def placed(self) -> Spread:
        """Give it with a port that is free, where any would do: workers elsewhere must know it."""
        return replace(self, bind_port=_free_port()) if self.master and not self.bind_port else self

    def arguments(self) -> list[str]:
        """Give Locust's own options for it."""
        page = (
            ["--headless"]
            if self.web_port is None
            else ["--autostart", "--web-host", LOOPBACK, "--web-port", str(self.web_port)]
        )
        if not self.master and not self.processes:
            return page
        port = str(self.bind_port or _free_port())
        bound = ["--master-bind-host", self.bind_host, "--master-bind-port", port]
        wait = ["--expect-workers-max-wait", str(int(self.wait_s))]
        if self.master:
            return [*page, *bound, *wait, "--master", "--expect-workers", str(self.expect_workers)]
        near = ["--master-host", LOOPBACK, "--master-port", port]
        return [*page, *bound, *near, *wait, "--processes", str(self.processes)]


class LoadProcess:
    """A load under way. Whatever ends this process ends it too."""

    def __init__(self, plan: Plan, child: Child) -> None:
        self.plan = plan
        self.pid = child.pid
        self._child = child
        self._file = Path(plan.folder) / RESULT_FILE

    def running(self) -> bool:
        """Whether it still runs."""
        return self._child.status() is None

    def so_far(self) -> Result | None:
        """Give the result so far, written anew every second or few; None before the first."""
        try:
            return Result.read(self._file)
        except FileNotFoundError:
            return None

    def wait(self, limit_s: float | None = None) -> bool:
        """Wait until it has ended; False where the limit came first."""
        ends_at = None if limit_s is None else time.monotonic() + limit_s
        while self.running():
            if ends_at is not None and time.monotonic() > ends_at:
                return False
            time.sleep(_POLL_S)
        return True

    def stop(self) -> None:
        """Ask it to end now: nothing more is begun, and what there is is written as partial.

        It is killed if it has not ended within `GRACE_S`. Returns at once.
        """
        self._child.let_go()

    def kill(self) -> None:
        """End it at once; what it wrote last stays, and is partial."""
        self._child.kill()

    def finish(self) -> Result:
        """Give the result of a load that has ended.

        Where it wrote none, raises `StackError` with the end of its log.
        """
        status = self._child.status()
        if status is not None:
            self._child.let_go()
        result = self.so_far()
        if result is None:
            ended = "still runs" if status is None else describe_status(status)
            tail = self._child.log_tail().strip()
            raise StackError(
                f"the load process wrote no result ({ended})"
                + (f". The end of its log:\n{tail}" if tail else ""),
                hint=f"Read {self._child.log}; is there space left on the disk?",
            )
        return result


def launch(
    plan: Plan,
    spread: Spread | None = None,
    *,
    secrets: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
) -> LoadProcess:
    """Write the plan into its folder and start the load process.

    `secrets` are those of the scenario (a webhook secret, customers' credentials), by name; they
    travel over an inherited, unlinked file, never by argv. `env` is the whole environment, this
    process's own unless given.
    """
    require_locust()
    spread = spread or Spread()
    folder = Path(plan.folder)
    (folder / RESULT_FILE).unlink(missing_ok=True)
    path = plan.write()
    users = str(max(plan.connections, spread.workers))
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        json.dump(dict(secrets or {}), file)
        file.flush()
        file.seek(0)
        told = {PLAN_VARIABLE: str(path), SECRETS_VARIABLE: str(file.fileno())}
        arguments = [*spread.arguments(), "--users", users, "--spawn-rate", users]
        child = Child(
            "load",
            _locust(arguments),
            env=_environment(env, told),
            log=folder / LOG_FILE,
            pass_fds=[file.fileno()],
            grace_s=GRACE_S,
        )
    return LoadProcess(plan, child)


def work(
    master_host: str, master_port: int, *, processes: int = 1, folder: Path | None = None
) -> int:
    """Be workers of a master elsewhere until it is done; give the exit status.

    Plan, data and secrets come from the master; what the profile looks up in the environment must
    stand in this one's. Histories are sent to the master at the end; they and traces stay in
    `folder`, where one is given.
    """
    require_locust()
    arguments = ["--master-host", master_host, "--master-port", str(master_port)]
    arguments += ["--processes", str(processes)] if processes > 1 else []
    with tempfile.TemporaryDirectory() as own:
        child = Child(
            "load worker",
            _locust(["--worker", *arguments]),
            env=_environment(None, {FOLDER_VARIABLE: str(folder or own)}),
            log=Path(own) / LOG_FILE,
            grace_s=GRACE_S,
        )
        with contextlib.closing(_Ender(child)):
            while (status := child.status()) is None:
                time.sleep(_POLL_S)
            if status:
                sys.stderr.write(child.log_tail() + "\n")
    return status


class _Ender:
    """Ends a child when its time is over, also by Ctrl-C."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def close(self) -> None:
        self._child.stop()


def require_locust() -> None:
    """Raise `SettingsError` where Locust or HdrHistogram is not installed."""
    missing = [name for name in ("locust", "hdrh") if importlib.util.find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"a load needs {' and '.join(missing)}, which is not installed",
            hint="Install the extra: pip install 'billing-harness[load]'.",
        )


def _locust(arguments: Sequence[str]) -> list[str]:
    quiet = ["--only-summary", "--loglevel", "WARNING", "--exit-code-on-error", "0"]
    return [sys.executable, "-m", _LOCUST, "-f", str(_LOCUSTFILE), *quiet, *arguments]


def _environment(env: Mapping[str, str] | None, told: Mapping[str, str]) -> dict[str, str]:
    """Give the load process's environment: our packages can be imported, Locust is told nothing.

    A master waits for workers on a busy machine to tell of their users, not for a second alone.
    """
    given = os.environ if env is None else env
    whole = {name: value for name, value in given.items() if not name.startswith(_OF_LOCUST)}
    whole["LOCUST_WAIT_FOR_WORKERS_REPORT_AFTER_RAMP_UP"] = "20"
    paths = [str(_ROOT), *filter(None, whole.get("PYTHONPATH", "").split(os.pathsep))]
    return {**whole, **told, "PYTHONPATH": os.pathsep.join(paths)}


def _free_port() -> int:
    with reserve(0, "Locust's master") as listener:
        port: int = listener.getsockname()[1]
    return port
