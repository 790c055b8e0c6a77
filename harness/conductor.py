"""Conducts a run: brings the target up, gathers what tests tell, judges once more at the end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.aim import Aim
from harness.checks.sometimes import sometimes
from harness.errors import HarnessError, HistoryError, ReportError, SettingsError
from harness.flaky import AGAIN_MAX, tried_again
from harness.ground import Plan
from harness.history import read_histories
from harness.measuring import measured
from harness.naming import new_run_id, new_seed
from harness.operations import OPERATIONS
from harness.partition import WHOLE, digest, provenance, read_durations
from harness.pytest_plugin import CUSTOMERS, PLAN, TOLD
from harness.replay.reproduce import reproductions
from harness.report.results import Coverage, RunResults, TestResult
from harness.report.write import prepare_folder, write_report, write_whole
from harness.running import StartOptions, died, first_customer
from harness.seeding import seed_customers
from harness.session import Customer
from harness.share import SHARE, Share
from harness.stands import stands
from harness.target.load import find_target
from harness.timeline import TURNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from harness.checks.verdict import CheckVerdict
    from harness.ground import Ground
    from harness.history import Record
    from harness.replay.reproduce import Reproduction
    from harness.settings import RunSettings
    from harness.stands import Stands
    from harness.target.load import TargetSource

_RANK = {"passed": 0, "skipped": 1, "unknown": 2, "failed": 3}
_SOUND = _RANK["skipped"]


class Conductor:
    """A context manager around a run, and a pytest plugin within it.

    Entering starts the target and makes a first customer; leaving stops everything and keeps the
    history of what had run, however the run ended. `conclude` judges it and writes the report.
    """

    def __init__(self, settings: RunSettings) -> None:
        self.settings = settings
        seed = new_seed() if settings.seed is None else settings.seed
        report, only_reads = str(settings.report), settings.only_reads
        self.plan = Plan(settings.target, seed, new_run_id(), report, only_reads=only_reads)
        self.aim = Aim(settings.first, settings.stop_at)
        self.interrupted = False
        self.trouble: list[str] = []
        self.partition = settings.share or WHOLE
        self._durations = read_durations(settings.durations)
        self._selection: dict[str, None] = {}  # of the whole, of which a partition is a share
        self._tests: dict[str, dict[str, Any]] = {}
        self._first: dict[str, dict[str, Any]] | None = None  # while bad tests are run again
        self._again: dict[str, dict[str, Any]] = {}
        self._seeded: dict[str, list[str]] | None = None
        self._collected: dict[str, None] = {}
        self._began = time.time()
        self._undo = contextlib.ExitStack()
        self._stands: Stands
        self._ground: Ground  # the first of them

    def __enter__(self) -> Self:
        """Start the target and find that it can be worked with."""
        with contextlib.ExitStack() as undo:
            source = find_target(self.plan.spec)
            undo.enter_context(_alone_in(self.settings.report))
            prepare_folder(self.settings.report)
            environment = undo.enter_context(self._measured(source))
            undo.callback(self._merge)
            undo.callback((self.settings.report / TURNS).unlink, missing_ok=True)
            how, workers = self._how(environment), self.settings.workers
            self._stands = undo.enter_context(stands(source, self.plan, how, workers))
            self.plan, self._ground = self._stands.plans[0], self._stands.grounds[0]
            if not self.plan.only_reads:
                first_customer(self._ground)
            if self.settings.seeded:
                seeding = self._ground.session("seeding")
                self._seeded = seed_customers(seeding)
                self._stands.take_over(seeding.customers, None)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop what was started."""
        self._undo.__exit__(kind, error, trace)

    def _how(self, environment: Mapping[str, str]) -> StartOptions:
        wish = self.settings
        return StartOptions(
            wish.database, wish.defects, wish.target_command, environment, wish.production_host
        )

    def _measured(self, source: TargetSource) -> contextlib.AbstractContextManager[dict[str, str]]:
        """Give the environment in which the target is measured, an empty one where it is not."""
        if not self.settings.coverage:
            return contextlib.nullcontext({})
        if not source.file.profile.target.stack:
            raise SettingsError(
                "--coverage measures the reference service, and no other target",
                hint="Measure your own where it runs; give `ci merge --coverage-file` the result.",
            )
        index, total = self.partition.index, self.partition.total
        return measured(self.settings.report, f"partition-{index}-of-{total}")

    # pytest's hooks

    def pytest_configure(self, config: pytest.Config) -> None:
        """Hand the plan to the tests of this process."""
        config.stash[PLAN] = self.plan
        config.pluginmanager.register(self.aim)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Hand a worker its plan, in memory."""
        node.workerinput["harness_plan"] = self._stands.seat(node.gateway.id).to_data()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object | None) -> None:
        """Note that a worker died: with it went what its test was at."""
        self._stands.unseat(node.gateway.id)
        told = getattr(node, "workeroutput", {})
        self._selection |= dict.fromkeys(told.get("harness_selection", ()))
        if not hasattr(node, "workeroutput") and not self.interrupted:
            self.trouble.append(f"the worker {node.gateway.id} died: {error or 'no word'}")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note which tests there are."""
        if self._first is not None:
            return
        self._collected |= dict.fromkeys(item.nodeid for item in session.items)
        share = session.config.pluginmanager.get_plugin(SHARE)
        if isinstance(share, Share):
            self._selection |= dict.fromkeys(share.selection)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Note it from a worker: each collects them all."""
        self._collected |= dict.fromkeys(ids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst that a test's phases tell, and take over the customers that it made."""
        made: list[dict[str, Any]] = getattr(report, CUSTOMERS, [])
        node = getattr(report, "node", None)  # of a worker
        customers = [Customer(**customer) for customer in made]
        self._stands.take_over(customers, node.gateway.id if node else None)
        told = getattr(report, TOLD, None) or _crashed(report)
        if told is None:
            return
        known = self._tests.setdefault(report.nodeid, {**told, "duration_s": 0.0})
        duration_s = known["duration_s"] + report.duration
        if _RANK[told["result"]] > _RANK[known["result"]]:
            known |= told
        known["duration_s"] = duration_s

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a suite that could not be read: what it would have found is not known."""
        if report.failed:
            self.trouble.append(f"{report.nodeid} could not be collected: {report.longreprtext}")

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Note that a person stopped the run; pytest stops itself by an interrupt, too."""
        self.interrupted = not isinstance(excinfo.value, pytest.Session.Interrupted)

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Note that pytest itself broke off: what it had not come to is not known."""
        self.trouble.append(f"pytest broke off: {excinfo.exconly()}")

    # a second try

    def bad(self) -> list[str]:
        """Name the tests to be run again, alone: the bad ones, unless they are too many."""
        bad = [test for test, told in self._tests.items() if _RANK[told["result"]] > _SOUND]
        over = self.interrupted or self.aim.found or self._stands.silent
        return bad if len(bad) <= AGAIN_MAX and not over else []

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """Take what is told within for second tries; their names are new, their choices are not."""
        self._first, self._tests = self._tests, {}
        first, self.plan = self.plan, replace(self.plan, attempt="again", run_id=new_run_id())
        try:
            yield
        finally:
            self._again, self._tests, self._first = self._tests, self._first, None
            self.plan = first

    # the end

    def conclude(self) -> RunResults:
        """Judge the merged history, write the report, and give the results."""
        history = self._merge()
        checks = tuple(self._judge(history))
        self.trouble += self._broken_off()
        results = RunResults(
            target=self._ground.target.profile.target.name,
            seed=self.plan.seed,
            run_id=self.plan.run_id,
            started_at=self._began,
            duration_s=time.time() - self._began,
            tests=tuple(self._settled(test, told) for test, told in self._in_order()),
            checks=checks,
            coverage=_coverage(self._ground.target.operations, history, self._tests),
            customers=sum(map(len, self._stands.customers)),
            performed=len(history),
            sometimes=sometimes(history),
            trouble=tuple(self.trouble),
            interrupted=self.interrupted,
            files={"history": "history.jsonl", "junit": "junit.xml", "json": "report.json"},
            partition=self._facts(),
        )
        results = replace(results, reproductions=self._reproductions(results, history))
        write_report(results, Path(self.plan.folder), self._ground.redactor)
        return results

    def _reproductions(
        self, results: RunResults, history: list[Record]
    ) -> tuple[Reproduction, ...]:
        """Find the shortest ways to what was found, unless the target is gone or nobody waits."""
        if not (self.settings.shrink and results.findings) or self.interrupted:
            return ()
        try:
            return tuple(reproductions(results.findings, history, self._ground))
        except KeyboardInterrupt:
            return ()

    def _settled(self, test: str, told: dict[str, Any]) -> TestResult:
        first, again = _result(test, told), self._again.get(test)
        return tried_again(first, again["result"]) if again else first

    def _facts(self) -> dict[str, Any]:
        """Say which share of which tests this is: what proves later that all shares are whole."""
        selection = list(self._selection or self._collected)
        return {
            "index": self.partition.index,
            "total": self.partition.total,
            "selection": selection,
            "selection_digest": digest(selection),
            "own": list(self._collected),
            "durations_digest": self._durations.digest,
            "coverage": self.settings.coverage,
            "seeded": self._seeded,
            **provenance(),
        }

    def _in_order(self) -> list[tuple[str, dict[str, Any]]]:
        """Give what tests told in the order of the suites, whatever order they ran in."""
        places = {test: place for place, test in enumerate(self._collected)}
        last = len(places)
        return sorted(
            self._tests.items(),
            key=lambda pair: (pair[1].get("place", last), places.get(pair[0], last)),
        )

    def _broken_off(self) -> Iterator[str]:
        """Say what ended before its time; nothing that never ran is ever green."""
        dead = died(self._stands.up)
        if dead:
            yield f"the stack did not last: {dead}"
        if self._stands.silent:
            yield "the target has stopped answering"
        left = [test for test in self._collected if test not in self._tests]
        if self.aim.blind:
            yield self.aim.blind
        elif self.aim.found:
            count = f"{len(left)} of {len(self._collected)} tests"
            yield f"{self.aim.found} found what is looked for: {count} did not run"
        elif left and not self.interrupted:
            yield f"{len(left)} of {len(self._collected)} tests never ran, the first: {left[0]}"

    def _judge(self, history: list[Record]) -> list[CheckVerdict]:
        """Judge everything once more: what went wrong between tests shows only here.

        Interrupted here, the run still gets its report, unless it was interrupted before.
        """
        try:
            return self._stands.judge(history)
        except HarnessError as error:
            self.trouble.append(f"the books could not be judged: {error.message}")
        except KeyboardInterrupt:
            if self.interrupted:
                raise
            self.interrupted = True
        return []

    def _merge(self) -> list[Record]:
        """Make one history of the workers' own, in the order of time."""
        folder = Path(self.plan.folder)
        parts = sorted(folder.glob("history-*.jsonl"))
        if not parts:
            return []
        try:
            records = read_histories(parts)
        except HistoryError as error:
            self.trouble.append(error.message)
            return []
        write_whole(folder / "history.jsonl", "".join(_lines_in_order(parts)))
        for part in parts:
            part.unlink()
        return records


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the report's folder for one run: two would mix their histories. Raises `ReportError`."""
    with contextlib.ExitStack() as undo:
        # Where it cannot be made or opened, `prepare_folder` says so.
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            undo.callback(os.close, held)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ReportError(
                    f"another run writes its report to {folder}",
                    hint="Give each run a folder of its own: --report DIR",
                ) from None
        yield


def _lines_in_order(parts: Iterable[Path]) -> list[str]:
    lines = [line for part in parts for line in part.read_text("utf-8").splitlines() if line]
    whole = [line for line in lines if line.endswith("}")]

    def moment(line: str) -> float:
        fields = json.loads(line)
        return float(fields.get("ended_at") or fields.get("began_at") or 0)

    return [f"{line}\n" for line in sorted(whole, key=moment)]


def _crashed(report: pytest.TestReport) -> dict[str, Any] | None:
    """Tell of a test that could not tell of itself: its worker died in the middle."""
    if not report.failed:
        return None
    return {
        "title": report.nodeid,
        "suite": report.nodeid.split("/")[1] if "/" in report.nodeid else "?",
        "requirements": [],
        "result": "unknown",
        "reason": report.longreprtext.strip().splitlines()[-1] if report.longrepr else "crashed",
        "findings": [],
        "exchanges": [],
    }


def _result(test: str, told: dict[str, Any]) -> TestResult:
    return TestResult(
        id=test,
        suite=told["suite"],
        title=told["title"],
        requirements=tuple(told["requirements"]),
        result=told["result"],
        duration_s=told["duration_s"],
        reason=told["reason"],
        findings=tuple(told["findings"]),
        exchanges=tuple(told["exchanges"]),
    )


def _coverage(
    mapped: frozenset[str], history: list[Record], tests: dict[str, dict[str, Any]]
) -> Coverage:
    seen = {record.operation for record in history if record.outcome.kind in {"ok", "refused"}}
    tried = {
        r for told in tests.values() if told["result"] != "skipped" for r in told["requirements"]
    }
    every = {r for told in tests.values() for r in told["requirements"]}
    return Coverage(
        mapped=tuple(name for name in OPERATIONS if name in mapped),
        tried=tuple(name for name in OPERATIONS if name in seen),
        requirements_tried=tuple(sorted(tried)),
        requirements_skipped=tuple(sorted(every - tried)),
    )
