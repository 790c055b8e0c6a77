"""What Locust loads: users that are slots of one schedule, and the events that lead them.

The same code runs alone, with `--processes`, and as `--master` and `--worker`.
`suites.load.parent.launcher` starts it; the plan's path and the secrets' descriptor come by
environment.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent  # type: ignore[import-untyped]  # it declares no types
import gevent.event  # type: ignore[import-untyped]  # it declares no types
from locust import User, events, runners, task

from harness.errors import HarnessError
from suites.load.generator.conducting import Conductor
from suites.load.generator.crew import Crew
from suites.load.generator.webstats import Tally
from suites.load.plan import FOLDER_VARIABLE, PLAN_VARIABLE, SECRETS_VARIABLE, Plan

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.rpc import Message

_LOCAL = "local"
_NOT_READY = 2
_PR_SET_PDEATHSIG = 1
_TICK_S = 0.2
_END_LOOK_S = 0.02
_WRITE_EVERY_S = 1.0
_WRITE_ALONE_EVERY_S = 2.0  # alone, what writes the result also begins arrivals
_LEFT = frozenset({runners.STATE_MISSING, runners.STATE_STOPPED})
_log = logging.getLogger(__name__)

runners.WORKER_REPORT_INTERVAL = 1.0  # the leader's picture is a second old at most
runners.MASTER_HEARTBEAT_TIMEOUT = 15  # a worker whose master died must not go on for a minute


class Process:
    """What the slots of this process share: its crew, and whether it has begun."""

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


def initialise(environment: Environment, runner: runners.Runner, **_: Any) -> None:
    """Have this process lead, work, or both."""
    if not isinstance(runner, runners.WorkerRunner):
        Leading(environment, runner).listen()
    if isinstance(runner, runners.WorkerRunner):
        _die_with_parent()
    if not isinstance(runner, runners.MasterRunner):
        Serving(environment, runner).listen()


class Leading:
    """Hands what Locust tells to the conductor."""

    def __init__(self, environment: Environment, runner: Any) -> None:
        plan = Plan.read(Path(os.environ[PLAN_VARIABLE]))
        self._environment, self._runner = environment, runner
        self._alone = isinstance(runner, runners.LocalRunner)
        self._conductor = Conductor(
            plan, _secrets(), machine=_machine(), send=self._send, breathe=gevent.sleep
        )

    def listen(self) -> None:
        """Listen to events and messages."""
        conductor = self._conductor

        def done(msg: Message, **_: Any) -> None:
            conductor.take(msg.node_id, msg.data, done=True)

        def left(msg: Message, **_: Any) -> None:
            conductor.take(msg.node_id, msg.data, done=False)

        events: Any = self._environment.events
        events.spawning_complete.add_listener(self._spawned)
        events.worker_report.add_listener(self._reported)
        events.quitting.add_listener(lambda **_: conductor.interrupt())
        events.quit.add_listener(self._quit)
        register = self._runner.register_message
        register("load_ready", lambda msg, **_: conductor.ready(msg.node_id))
        register("load_failed", lambda msg, **_: conductor.fail(msg.node_id, msg.data["reason"]))
        register("load_history", lambda msg, **_: conductor.keep(msg.node_id, msg.data["text"]))
        register("load_done", done)
        register("load_left", left)

    def _send(self, kind: str, data: dict[str, Any], worker: str) -> None:
        self._runner.send_message(kind, data, client_id=worker)

    def _spawned(self, **_: Any) -> None:
        if not self._conductor.begun:
            self._conductor.assemble(self._present())
            gevent.spawn(self._conduct)

    def _reported(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        if "load" in data:
            self._conductor.take(client_id, data.pop("load"), done=False)

    def _quit(self, **_: Any) -> None:
        """Write what there is: also where the load was told to end in the middle."""
        self._take_own(whole=True)
        self._conductor.finish()

    def _conduct(self) -> None:
        """Follow the load to its end, and write what it came to so far."""
        try:
            self._follow()
            self._environment.process_exit_code = 0
        except Exception:  # noqa: BLE001 - whatever it is, the process must end and say so
            _log.exception("the load cannot be led")
            self._environment.process_exit_code = 1
        if self._environment.web_ui is None:
            self._runner.quit()
        else:
            self._runner.stop()  # the page stays until the process is told to end

    def _follow(self) -> None:
        every_s = _WRITE_ALONE_EVERY_S if self._alone else _WRITE_EVERY_S
        write_at = time.monotonic() + every_s
        while not self._conductor.look(set(self._present())):
            gevent.sleep(_TICK_S)
            if time.monotonic() >= write_at:
                write_at = time.monotonic() + every_s
                self._take_own(whole=False)
                self._conductor.give_up_if_hopeless()
                self._conductor.write()
        self._conductor.finish()

    def _take_own(self, *, whole: bool) -> None:
        """Take the books of this process's own crew, if it has one that has begun."""
        if HERE.crew is not None and HERE.begun.is_set():
            self._conductor.take(_LOCAL, HERE.crew.snapshot(whole=whole), done=False)
            HERE.tally.enter(self._environment.stats, HERE.crew.recorder)

    def _present(self) -> list[str]:
        """Name the workers that have users and are not missed, in the order of their coming."""
        if self._alone:
            return [_LOCAL]
        index = self._runner.get_worker_index
        known = sorted(self._runner.clients.all, key=lambda node: index(node.id))
        return [node.id for node in known if node.user_count and node.state not in _LEFT]


class Serving:
    """Does a worker's share, as the leader tells it."""

    def __init__(self, environment: Environment, runner: Any) -> None:
        self._environment, self._runner = environment, runner

    def listen(self) -> None:
        """Listen to the leader's messages, and add the books to Locust's reports."""
        self._runner.register_message("load_plan", self._told)
        self._runner.register_message("load_begin", self._begin)
        self._runner.register_message("load_end", self._end)
        events: Any = self._environment.events
        events.report_to_master.add_listener(self._report)
        events.quitting.add_listener(self._leave)

    def _told(self, msg: Message, **_: Any) -> None:
        data = msg.data
        try:
            plan = _at_home(Plan.from_data(data["plan"]))
            share = (data["index"], data["count"], data["scheduled"])
            secrets, far = data["secrets"], FOLDER_VARIABLE in os.environ
            HERE.crew = Crew(plan, *share, secrets=secrets, environment=os.environ, guarded=far)
        except Exception as error:  # noqa: BLE001 - the leader must hear of it, whatever it is
            known = isinstance(error, HarnessError)
            reason = str(error) if known else f"{type(error).__name__}: {error}"
            _log.error("this worker cannot get ready: %s", reason, exc_info=not known)
            self._environment.process_exit_code = _NOT_READY
            self._runner.send_message("load_failed", {"reason": reason})
        else:
            _settle_memory()
            self._runner.send_message("load_ready", {})

    def _begin(self, msg: Message, **_: Any) -> None:
        crew = HERE.crew
        if crew is None:
            return
        same_clock = msg.data["machine"] == _machine()
        here = msg.data["monotonic"] if same_clock else time.monotonic() + msg.data["in_s"]
        crew.begin(here, self._runner.user_count)
        HERE.begun.set()
        gevent.spawn(self._tell_end, crew)

    def _leave(self, **_: Any) -> None:
        """Leave the books behind where this process is told to end in the middle."""
        if HERE.crew is not None and HERE.begun.is_set() and not HERE.crew.done:
            HERE.crew.stop()
            self._send_history(HERE.crew)
            self._runner.send_message("load_left", HERE.crew.snapshot(whole=True))

    def _end(self, **_: Any) -> None:
        if HERE.crew is not None:
            HERE.crew.stop()

    def _report(self, data: dict[str, Any], **_: Any) -> None:
        if HERE.crew is not None and HERE.begun.is_set():
            data["load"] = HERE.crew.snapshot()
            HERE.tally.enter(self._environment.stats, HERE.crew.recorder)

    def _tell_end(self, crew: Crew) -> None:
        """Send the books once more, whole, when the share is at its end."""
        while not crew.done:
            gevent.sleep(_END_LOOK_S)
        HERE.tally.enter(self._environment.stats, crew.recorder)
        self._send_history(crew)
        self._runner.send_message("load_done", crew.snapshot(whole=True))

    def _send_history(self, crew: Crew) -> None:
        """Send what was recorded to a leader elsewhere, who judges the money by it."""
        if FOLDER_VARIABLE in os.environ:
            for piece in crew.history():
                self._runner.send_message("load_history", {"text": piece})


def _settle_memory() -> None:
    """Have what was made until now never be looked through again for garbage.

    Modules and a plan's customers are some hundred thousand objects: each full collection would
    hold up all arrivals of that moment.
    """
    gc.collect()
    gc.freeze()


def _die_with_parent() -> None:
    """Have the kernel end this process when the one that forked it dies (Linux; prctl(2))."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _machine() -> str:
    """Name the machine whose monotonic clock this process reads; its namespaces share it."""
    try:
        kernel = Path("/", "proc", "sys", "kernel")
        return (kernel / "random" / "boot_id").read_text(encoding="ascii").strip()
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


events.init.add_listener(initialise)  # type: ignore[no-untyped-call]  # Locust declares no types
