"""One load, from its plan to its document: prepare, load, review, judge the money, write.

This is the parent; it never imports Locust. Whatever happens on the way (a target that vanishes, a
full disk, Ctrl-C), there is a document at the end, marked partial where it is.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from harness.errors import HarnessError, NotMapped, StackError, TargetUnreachable, Unknown
from harness.partition import provenance
from harness.running import died, reach
from suites.load.ground import Unwatched, Watcher, patiently
from suites.load.measuring.result import Result
from suites.load.parent.launcher import launch
from suites.load.parent.live import live_metrics
from suites.load.parent.money import judge_money
from suites.load.parent.wish import SECRET_VARIABLE, SENDS, check_rate, check_secret
from suites.load.plan import Plan
from suites.load.report.writing import document, write_results
from suites.load.scenarios import find_scenario
from suites.load.scenarios.crowd import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from harness.running import Running
    from suites.load.ground import LoadGround
    from suites.load.parent.launcher import LoadProcess, Spread
    from suites.load.parent.wish import Wish

_POLL_S = 0.2
_LOOK_EVERY_S = 3.0
_SILENT_INTERVALS = 3
_END_S = 20.0  # a load that was told to end has this long
_DURING_S = 5.0
_EVERYWHERE = frozenset({"0.0.0.0", "::", "*"})  # noqa: S104 - compared with, not bound to
_RAISED = "the scenario raised"
EXIT_INTERRUPTED = 130


class Teller(Watcher, Protocol):
    """Tells whoever watches, also what the load comes to."""

    def follow(self, result: Result, plan: Plan) -> None:
        """Show how far the load has come; called a few times a second."""
        ...


class Silent(Unwatched):
    """Tells nobody."""

    def follow(self, result: Result, plan: Plan) -> None:
        """Show nothing."""


@dataclass
class Load:
    """One load on a ground. `interrupts` counts how often somebody pressed Ctrl-C."""

    wish: Wish
    ground: LoadGround | None
    up: Running
    tell: Teller
    run_id: str
    seed: int
    interrupts: int = 0
    closed: bool = False

    def __post_init__(self) -> None:
        self.scenario: Any = find_scenario(self.wish.scenario)
        self.plan: Plan | None = None
        self._begun = False

    def run(self) -> dict[str, Any]:
        """Prepare, load, review, judge; give the document, which is written already."""
        result = Result(self.wish.scenario, seed=self.seed, run_id=self.run_id)
        try:
            plan, secrets = self._prepared()
            self._begun = True
            result = self._loaded(plan, secrets)
            self._reviewed(result)
        except KeyboardInterrupt:
            self.interrupts += 1
            result.partial = True
        except (Unknown, AssertionError) as error:
            result.unknown_reasons.append(f"{self._where()}: {error}")
        return self._concluded(result)

    def _where(self) -> str:
        return "what came of the load is not known" if self._begun else "it could not be prepared"

    def _prepared(self) -> tuple[Plan, dict[str, str]]:
        wish, ground, scenario = self.wish, self.ground, self.scenario
        if ground is not None:
            missing = scenario.needs - ground.target.operations
            if missing:
                raise NotMapped(
                    f"{scenario.name} needs {', '.join(sorted(missing))}, which the target has not",
                    hint="Map it in the profile, or choose another scenario.",
                )
            _call(scenario, "meet", ground)
        secrets = self._webhook_secret()
        plan = self.plan = self._planned()
        check_rate(wish, plan)
        self.tell.say(first_line(plan, wish))
        if ground is None:
            return plan, secrets
        data = scenario.prepare(ground)
        settle(ground, wish.settle_s)
        secrets |= {c.id: c.credential for c in ground.customers if c.credential}
        plan = self.plan = replace(plan, data={**plan.data, **data})
        return plan, secrets

    def _webhook_secret(self) -> dict[str, str]:
        """Give what events are signed with, by its name in the load process."""
        if SENDS not in self.scenario.needs:
            return {}
        known = self.ground.webhook_secret if self.ground else None
        hint = f"Set {SECRET_VARIABLE}, or the variable that the profile's webhooks name."
        return {"webhook": check_secret(self.wish, known, hint)}

    def _planned(self) -> Plan:
        wish, scenario = self.wish, self.scenario
        stages = scenario.shape(wish.options)
        resized = getattr(scenario, "resized", None)
        if resized:
            stages = resized(stages, wish.scale)
        spec = {"spec": self.ground.plan.spec} if self.ground else {"url": wish.url}
        own = scenario.thresholds() if wish.judged else ()
        return Plan(
            scenario=wish.scenario,
            stages=stages,
            folder=str(wish.place),
            target=spec,
            seed=self.seed,
            run_id=self.run_id,
            model=wish.model,
            poisson=wish.poisson,
            connections=wish.connections or _connections(scenario, wish),
            timeout_s=wish.timeout_s,
            lateness_s_max=wish.lateness_s_max,
            lateness_ms_max=wish.generator_lateness_ms,
            think_s=_think_s(scenario, wish),
            thresholds=(*own, *wish.thresholds),
            abort_on=wish.thresholds,
            data={"events": list(wish.events)} if wish.events else {},
            options=dict(wish.extra),
            trace=wish.trace,
        )

    def _loaded(self, plan: Plan, secrets: Mapping[str, str]) -> Result:
        env = {**os.environ, **(self.ground.plan.variables if self.ground else {})}
        spread = self.wish.spread.placed()
        if spread.master:
            self.tell.say(awaiting(spread))
        process = launch(plan, spread, secrets=secrets, env=env)
        gone: list[str] = []
        with contextlib.ExitStack() as undo:
            undo.callback(process.stop)
            address = undo.enter_context(
                live_metrics(self.wish.metrics_port, partial(_so_far, process))
            )
            if address:
                self.tell.say(f"live metrics: {address}")
            beside = undo.enter_context(self._beside())
            while process.running():
                try:
                    self._followed(process, gone)
                except KeyboardInterrupt:
                    self._stop(process)
        try:
            result = process.finish()
        except StackError as error:
            result = Result(plan.scenario, seed=plan.seed, run_id=plan.run_id)
            result.unknown_reasons.append(error.message)
        result.unknown_reasons += [*gone, *beside]
        return result

    def _stop(self, process: LoadProcess) -> None:
        if (so_far := process.so_far()) and not so_far.partial and not self.closed:
            self.closed = True  # the load was over: what is closed is Locust's page
            process.stop()
            return
        self.interrupts += 1
        if self.interrupts == 1:
            self.tell.say("ending the load; its money is looked at then (Ctrl-C again: at once)")
            process.stop()
        else:
            process.kill()

    def _followed(self, process: LoadProcess, gone: list[str]) -> None:
        """Follow the load to its end; end it early where the target is no longer there."""
        look_at = time.monotonic() + _LOOK_EVERY_S
        ends_at: float | None = None
        while process.running():
            so_far = process.so_far()
            if so_far and self.plan:
                self.tell.follow(so_far, self.plan)
            now = time.monotonic()
            if (gone or self.interrupts) and ends_at is None:
                ends_at = now + _END_S
                process.stop()
            if ends_at is not None and now > ends_at:
                process.kill()
            if now > look_at and not gone:
                look_at = now + _LOOK_EVERY_S
                gone += self._vanished(so_far)
            process.wait(_POLL_S)  # bounded: the load process has a deadline of its own

    def _vanished(self, so_far: Result | None) -> list[str]:
        """Say where the target went: its process, or whatever answered at its address."""
        if dead := died(self.up):
            return [f"the target vanished: {dead.splitlines()[0]}"]
        last = [i for i in so_far.series if i["sent"]][-_SILENT_INTERVALS:] if so_far else []
        quiet = len(last) == _SILENT_INTERVALS and not any(i["completed"] for i in last)
        return self._unreachable() if quiet else []

    def _unreachable(self) -> list[str]:
        if self.ground is None:
            return []
        try:
            reach(self.ground.target.profile)
        except TargetUnreachable as error:
            return [f"the target vanished: {error.message}"]
        return []

    @contextlib.contextmanager
    def _beside(self) -> Iterator[list[str]]:
        """Have the scenario do what it does beside the load, in a thread; collect its trouble."""
        during = getattr(self.scenario, "during", None)
        trouble: list[str] = []
        if during is None or self.ground is None:
            yield trouble
            return
        stop = threading.Event()

        def act() -> None:
            try:
                during(self.ground, stop)
            except (HarnessError, Unknown, AssertionError) as error:
                trouble.append(f"what happens beside the load failed: {error}")

        thread = threading.Thread(target=act, daemon=True)
        thread.start()
        try:
            yield trouble
        finally:
            if thread.is_alive():
                with patiently(self.tell, "the load is over; waiting for what happens beside it …"):
                    while thread.is_alive() and not self.interrupts:
                        thread.join(_POLL_S)
            stop.set()
            thread.join(_DURING_S)

    def _reviewed(self, result: Result) -> None:
        """Say what the scenario finds, then judge the money."""
        ground, wish = self.ground, self.wish
        gone = [why for why in result.unknown_reasons if "vanished" in why] or self._unreachable()
        if gone:
            _mark_vanished(result, gone)
        raised = [why for why in result.error_reasons if _RAISED in why]
        if raised:
            result.unknown_reasons.append(f"not everything was recorded: {raised[0]}")
            result.partial = True
        if not gone:
            result.findings += self.scenario.review(ground, result)
        why_not = _unjudged(wish, ground, gone, raised) or self._elsewhere(result)
        if why_not or ground is None:
            result.money = {"verdict": "skipped" if not wish.money else "unknown", "findings": []}
            result.money["reasons"] = [why_not or "there is no profile to read books by"]
            if ground is None:
                result.money["verdict"] = "skipped"
            return
        with patiently(self.tell, "settling, and judging the money …"):
            told = judge_money(ground, wish.place, ground.customers, deadline_s=wish.settle_s)
        result.money = told
        limited = told.get("limited", 0)
        if limited and not getattr(self.scenario, "wants_limits", False):
            why = f"the target limited the load: {limited} answers were HTTP 429"
            result.unknown_reasons.append(why)

    def _elsewhere(self, result: Result) -> str | None:
        """Say which workers' histories are not here: then their requests cannot be matched."""
        there = len(list(self.wish.place.glob("history-load-*.jsonl")))
        missing = len(result.workers) - there
        if missing <= 0:
            return None
        return (
            f"{missing} of {len(result.workers)} workers left no history in {self.wish.place}, so"
            " their requests cannot be matched; run the load again"
        )

    def _concluded(self, result: Result) -> dict[str, Any]:
        if self.interrupts:
            result.partial = True
            result.unknown_reasons.append("the load was interrupted")
        measures: Callable[[Result], dict[str, float]] | None
        measures = getattr(self.scenario, "measures", None)
        data = document(
            result,
            self.plan,
            target=self.ground.target.profile.target.name if self.ground else self.wish.url,
            limits=self.ground.target.profile.limits if self.ground else {},
            measures=measures(result) if measures else {},
            interrupted=bool(self.interrupts),
            provenance=provenance(),
        )
        if self.interrupts:
            data["exit_status"] = EXIT_INTERRUPTED
        if self.ground is not None:
            data = self.ground.redactor.data(data)
        for lost in write_results(self.wish.place, data):
            self.tell.say(f"not written: {lost}")
        return data


def first_line(plan: Plan, wish: Wish) -> str:
    """Say before anything is sent what will be sent, to whom, for how long."""
    whom = wish.url or wish.target
    what = f"{plan.rate_max:g} arrivals/s at most" if plan.model == "open" else "users in a loop"
    if plan.model == "closed":
        what = f"{plan.rate_max:g} users at most"
    count = plan.scheduled()
    arrivals = f", {count:,} arrivals" if count is not None else ""
    over = f"over {plan.connections} connections and {_workers(wish.spread.workers)}"
    return (
        f"{plan.scenario} on {whom}: {what} for {plan.duration_s:g} s{arrivals}, {over},"
        f" seed {plan.seed}, run {plan.run_id}"
    )


def awaiting(spread: Spread) -> str:
    """Say whom a load waits for, and the command that they are started by.

    Who listens at every address is reached by this machine's name.
    """
    host = socket.gethostname() if spread.bind_host in _EVERYWHERE else spread.bind_host
    where = f"--master-host {host} --master-port {spread.bind_port}"
    return (
        f"waiting {spread.wait_s:g} s for {_workers(spread.expect_workers)}; on each other"
        f" machine: billing-harness load worker {where}"
    )


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _call(scenario: Any, name: str, *arguments: Any) -> None:
    method = getattr(scenario, name, None)
    if method:
        method(*arguments)


def _connections(scenario: Any, wish: Wish) -> int:
    own = int(getattr(scenario, "connections", 20))
    return max(own, wish.users or 0) if wish.model == "closed" and own > 1 else own


def _think_s(scenario: Any, wish: Wish) -> float:
    own = float(getattr(scenario, "think_s", 0.0))
    return own if wish.think_s is None else wish.think_s


def _so_far(process: LoadProcess) -> dict[str, Any] | None:
    so_far = process.so_far()
    return so_far.to_data() if so_far else None


def _mark_vanished(result: Result, gone: list[str]) -> None:
    """Have figures of a target that went away prove nothing."""
    result.partial = True
    result.unknown_reasons += [why for why in gone if why not in result.unknown_reasons]
    for told in result.thresholds:
        told["passed"] = None


def _unjudged(
    wish: Wish, ground: LoadGround | None, gone: list[str], raised: list[str]
) -> str | None:
    """Say why the money is not judged, where that is so."""
    if not wish.money:
        return "nobody asked for it (--no-money)"
    if ground is None:
        return "there is no profile to read books by"
    if gone:
        return gone[0]
    return f"not everything was recorded: {raised[0]}" if raised else None
