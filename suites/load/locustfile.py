"""What Locust loads: users that are slots of one schedule, and the events that lead them.

The same code runs alone, with `--processes`, and as `--master` and `--worker`. `suites.load.launcher`
starts it; the plan's path and the secrets' descriptor come by environment.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
import gevent.event
from locust import User, events, runners, task

from suites.load.conducting import Conductor
from suites.load.crew import Crew
from suites.load.launcher import FOLDER_VARIABLE, PLAN_VARIABLE, SECRETS_VARIABLE
from suites.load.plan import Plan
from suites.load.webstats import Tally

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.rpc import Message

_LOCAL = "local"
_PR_SET_PDEATHSIG = 1
_TICK_S = 0.2
_END_LOOK_S = 0.02
_WRITE_EVERY_S = 1.0
_WRITE_ALONE_EVERY_S = 5.0  # alone, what writes the result also begins arrivals
_LEFT = frozenset({runners.STATE_MISSING, runners.STATE_STOPPED})
_log = logging.getLogger(__name__)

runners.WORKER_REPORT_INTERVAL = 1.0  # the master's picture is a second old at most
runners.MASTER_HEARTBEAT_TIMEOUT = 15  # a worker whose master died must not go on for a minute


class Process:
    """What this process has: a conductor where it leads, a crew where it works."""

    conductor: Conductor | None = None
    crew: Crew | None = None
    begun = gevent.event.Event()
    tally = Tally()


HERE = Process()


class Slot(User):
    """One connection's worth of arrivals."""

    @task
    def work(self) -> None:
        """Work until the schedule is at its end, then stay until Locust stops it."""
        HERE.begun.wait()
        crew = HERE.crew
        if crew is not None:
            crew.work()
        gevent.event.Event().wait()


@events.init.add_listener
def _initialise(environment: Environment, runner: runners.Runner, **_: Any) -> None:
    if not isinstance(runner, runners.WorkerRunner):
        _lead(environment, runner)
    if isinstance(runner, runners.WorkerRunner):
        _die_with_parent()
    if not isinstance(runner, runners.MasterRunner):
        _serve(environment, runner)


def _lead(environment: Environment, runner: runners.Runner) -> None:
    """Have this process lead the load."""
    alone = isinstance(runner, runners.LocalRunner)

    def send(kind: str, data: dict[str, Any], worker: str) -> None:
        if alone:
            runner.send_message(kind, data)
        else:
            runner.send_message(kind, data, client_id=worker)

    plan = Plan.read(Path(os.environ[PLAN_VARIABLE]))
    conductor = HERE.conductor = Conductor(plan, _secrets(), machine=_machine(), send=send)

    def spawned(**_: Any) -> None:
        if not conductor.begun:
            conductor.assemble([_LOCAL] if alone else _manned(runner))
            gevent.spawn(_conduct, environment, conductor, alone=alone)

    def ready(msg: Message, **_: Any) -> None:
        conductor.ready(msg.node_id)

    def done(msg: Message, **_: Any) -> None:
        conductor.take(msg.node_id, msg.data, done=True)

    def failed(msg: Message, **_: Any) -> None:
        conductor.fail(msg.node_id, msg.data["reason"])

    def report(client_id: str, data: dict[str, Any], **_: Any) -> None:
        if "load" in data:
            conductor.take(client_id, data.pop("load"), done=False)

    def quit_(**_: Any) -> None:
        if alone and HERE.crew is not None and conductor.begun:
            conductor.take(_LOCAL, HERE.crew.snapshot(whole=True), done=False)
        conductor.finish()

    environment.events.spawning_complete.add_listener(spawned)
    environment.events.worker_report.add_listener(report)
    environment.events.quit.add_listener(quit_)
    runner.register_message("load_ready", ready)
    runner.register_message("load_failed", failed)
    runner.register_message("load_done", done)


def _serve(environment: Environment, runner: runners.Runner) -> None:
    """Have this process do a worker's share."""

    def told(msg: Message, **_: Any) -> None:
        data = msg.data
        try:
            plan = _at_home(Plan.from_data(data["plan"]))
            HERE.crew = Crew(plan, data["index"], data["count"], data["secrets"], os.environ)
        except Exception as error:  # the master must hear of it, whatever it is
            _log.exception("this worker cannot get ready")
            runner.send_message("load_failed", {"reason": f"{type(error).__name__}: {error}"})
        else:
            runner.send_message("load_ready", {})

    def begin(msg: Message, **_: Any) -> None:
        crew = HERE.crew
        if crew is None:
            return
        same_clock = msg.data["machine"] == _machine()
        here = msg.data["monotonic"] if same_clock else time.monotonic() + msg.data["in_s"]
        crew.begin(here, runner.user_count)
        HERE.begun.set()
        gevent.spawn(_tell_end, runner, crew)

    def end(**_: Any) -> None:
        if HERE.crew is not None:
            HERE.crew.stop()

    def report(data: dict[str, Any], **_: Any) -> None:
        if HERE.crew is not None and HERE.begun.is_set():
            data["load"] = HERE.crew.snapshot()
            HERE.tally.enter(environment.stats, HERE.crew.recorder)

    runner.register_message("load_plan", told)
    runner.register_message("load_begin", begin)
    runner.register_message("load_end", end)
    environment.events.report_to_master.add_listener(report)


def _tell_end(runner: runners.Runner, crew: Crew) -> None:
    """Send the books once more, whole, when the share is at its end."""
    while not crew.done:
        gevent.sleep(_END_LOOK_S)
    HERE.tally.enter(runner.stats, crew.recorder)
    runner.send_message("load_done", crew.snapshot(whole=True))


def _conduct(environment: Environment, conductor: Conductor, *, alone: bool) -> None:
    """Follow the load to its end, and write what it came to so far."""
    runner = environment.runner
    every_s = _WRITE_ALONE_EVERY_S if alone else _WRITE_EVERY_S
    write_at = time.monotonic() + every_s
    try:
        while not conductor.look({_LOCAL} if alone else set(_manned(runner))):
            gevent.sleep(_TICK_S)
            if time.monotonic() < write_at:
                continue
            write_at = time.monotonic() + every_s
            if alone and HERE.crew is not None:
                conductor.take(_LOCAL, HERE.crew.snapshot(), done=False)
                HERE.tally.enter(environment.stats, HERE.crew.recorder)
            conductor.give_up_if_hopeless()
            conductor.write()
        conductor.finish()
        environment.process_exit_code = 0
    except Exception:
        _log.exception("the load cannot be led")
        environment.process_exit_code = 1
    if environment.web_ui is None:
        runner.quit()
    else:
        runner.stop()  # the page stays until the process is told to end


def _manned(runner: runners.Runner) -> list[str]:
    """Name the workers that have users and are not missed, in the order of their coming."""
    known = sorted(runner.clients.all, key=lambda node: runner.get_worker_index(node.id))
    return [node.id for node in known if node.user_count and node.state not in _LEFT]


def _die_with_parent() -> None:
    """Have the kernel end this process when the one that forked it dies (Linux; prctl(2))."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _machine() -> str:
    """Name the machine whose monotonic clock this process reads; its namespaces share it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return os.uname().nodename


def _at_home(plan: Plan) -> Plan:
    """Give a plan whose folder is on this machine."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return replace(plan, folder=folder) if folder else plan


def _secrets() -> dict[str, str]:
    descriptor = os.environ.get(SECRETS_VARIABLE)
    if descriptor is None:
        return {}
    with os.fdopen(int(descriptor), encoding="utf-8") as file:
        secrets: dict[str, str] = json.load(file)
    return secrets
