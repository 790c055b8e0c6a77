"""The pytest side of the harness: options, markers, fixtures, and the judgement after each test.

Loaded by name (`-p harness.pytest_plugin`, or a conftest's `pytest_plugins`), never by entry point,
so that coverage sees its import. `billing-harness run` adds a `harness.conductor.Conductor`, which
hands every process a plan; plain `pytest suites/…` starts the target in each process that needs it
and judges each test, but writes no report. (PYTEST_DONT_REWRITE: the command line has it imported.)
"""

from __future__ import annotations

import contextlib
import inspect
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import HarnessError, Unknown
from harness.ground import Ground, Plan
from harness.history import exchange_data
from harness.naming import new_run_id, new_seed
from harness.order import PLACE, arrange
from harness.partition import parse_partition, read_durations
from harness.provider import SimulatorProvider
from harness.replay.noted import NotedProvider
from harness.report.results import finding_data
from harness.running import running
from harness.selection import kept
from harness.session import Session
from harness.share import SHARE, Share
from harness.target.load import find_target
from harness.timeline import Timeline, end_subscriptions, turn

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from harness.checks.verdict import CheckVerdict
    from harness.history import Exchange, Record
    from harness.target.profile import Catalog, Profile

PLAN = pytest.StashKey[Plan]()
FINDINGS = pytest.StashKey[list[dict[str, Any]]]()
# Attributes of a report, not its `user_properties`: those, other plugins write into files.
TOLD = "harness_told"
_ALONE = frozenset({"alone", "clock"})
CUSTOMERS = "harness_customers"
EXCHANGES_MAX = 12
BODY_CHARS_MAX = 4000


class BooksDoNotBalance(AssertionError):
    """The test's customers were judged, and a check found a breach."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of a run without the command line."""
    group = parser.getgroup("billing-harness")
    group.addoption(
        "--target", default="reference", help="a target: a name, a profile's file, module:Class"
    )
    group.addoption("--harness-group", action="append", default=[], help="run this group of tests")
    group.addoption("--harness-smoke", action="store_true", help="run the smoke tests only")
    group.addoption(
        "--harness-production", action="store_true", help="run what is safe for production only"
    )
    group.addoption("--harness-seed", type=int, default=None, help="repeat the choices of a run")
    group.addoption("--harness-partition", default=None, help="run this share of the tests: 2/4")
    group.addoption("--harness-durations", default=None, help="the file of what tests cost")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers and take over the plan of the controlling process, if there is one."""
    for line in (
        "requirement(*ids): what a test is for, by the ids of standards and of our own",
        "requires(*operations, provider=False, webhooks=False): skip where the target lacks them",
        "group(*names): which group of its suite a test belongs to; `run --group` chooses by it",
        "smoke: part of the quick selection that is safe for a staging, `run --suite smoke`",
        "production: sends nothing, or only reads, and makes no customer: safe for production",
        "program(name): needs a program on the PATH",
        "nightly: takes long; `make nightly` runs it",
    ):
        config.addinivalue_line("markers", line)
    handed: dict[str, Any] | None = getattr(config, "workerinput", {}).get("harness_plan")
    if handed:
        config.stash[PLAN] = Plan(**handed)
    if config.getoption("--harness-partition"):
        config.pluginmanager.register(_share(config), SHARE)


def _share(config: pytest.Config) -> Share:
    file = config.getoption("--harness-durations")
    plan = config.stash.get(PLAN, None)
    # Who has a target of their own waits for nobody's story of time.
    waiting = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) if plan and plan.shared else 1
    partition = parse_partition(config.getoption("--harness-partition"))
    return Share(partition, read_durations(Path(file) if file else None), waiting)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what was not asked for, and put the rest into the order that the seed draws.

    What takes long is only run where `-m` speaks of it.
    """
    plan = config.stash.get(PLAN, None)
    arrange(items, plan.seed if plan else config.getoption("--harness-seed"))
    nightly = "nightly" in config.getoption("markexpr", "")
    smoke, groups = config.getoption("--harness-smoke"), config.getoption("--harness-group")
    production = config.getoption("--harness-production")
    out = [
        item
        for item in items
        if not kept(item, smoke=smoke, groups=groups, production=production)
        or (item.get_closest_marker("nightly") and not nightly)
    ]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in set(out)]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program is missing; in CI that is a failure instead."""
    for marker in item.iter_markers("program"):
        for name in marker.args:
            if shutil.which(name) is None:
                reason = f"the program {name} is not installed"
                if os.environ.get("HARNESS_REQUIRE_PROGRAMS") == "1":
                    pytest.fail(f"{reason}, and HARNESS_REQUIRE_PROGRAMS forbids to skip")
                pytest.skip(reason)


@pytest.fixture(scope="session")
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    """Give what this process's tests stand on: the run's target, or one of its own."""
    config = request.config
    worker = getattr(config, "workerinput", {}).get("workerid", "main")
    with contextlib.ExitStack() as undo:
        plan = config.stash.get(PLAN, None)
        if plan:
            stands = Ground.open(plan, worker if worker != "main" else plan.attempt)
        else:
            stands = Ground(undo.enter_context(_own_plan(config)), worker=worker)
        undo.callback(stands.close)
        yield stands


@contextlib.contextmanager
def _own_plan(config: pytest.Config) -> Iterator[Plan]:
    given = config.getoption("--harness-seed")
    seed = new_seed() if given is None else given
    spec = config.getoption("--target")
    with running(find_target(spec), seed) as up:
        yield Plan(spec, seed, new_run_id(), folder="", variables=up.variables)


@pytest.fixture
def billing(request: pytest.FixtureRequest, ground: Ground) -> Iterator[Session]:
    """Give a test its hold on the target; its customers are judged when it ends."""
    _skip_unless_able(request.node, ground)
    if not ground.answers():
        raise Unknown(f"the target has stopped answering; it last accepted {ground.last_accepted}")
    with turn(ground.plan, alone=not _ALONE.isdisjoint(request.fixturenames)):
        session = ground.session(request.node.nodeid)
        yield session
        end_subscriptions(session)


@pytest.fixture
def clock(billing: Session, ground: Ground, simulator: SimulatorProvider) -> Timeline:
    """Let a test move time, for the target and its payment provider; no other runs meanwhile."""
    if ground.target.profile.clock is None:
        pytest.skip("the profile names no [clock]")
    if "advance_time" not in ground.target.operations:
        pytest.skip("the target does not map advance_time")
    return Timeline(billing, simulator)


@pytest.fixture
def alone(billing: Session) -> Session:
    """Let no other test run meanwhile: for what counts everybody's doings, or breaks them."""
    return billing


@pytest.fixture
def simulator(ground: Ground, billing: Session) -> SimulatorProvider:
    """Give the payment provider where it is the simulator, which can be told to fail."""
    if not isinstance(ground.provider, SimulatorProvider):
        pytest.skip("only the simulator can be told to fail")
    return NotedProvider(ground.provider, billing)


@pytest.fixture
def profile(ground: Ground) -> Profile:
    """Give the target's profile."""
    return ground.target.profile


@pytest.fixture
def catalog(ground: Ground) -> Catalog:
    """Give the facts from which a test computes every expected amount."""
    return ground.target.profile.catalog


def _skip_unless_able(item: pytest.Item, ground: Ground) -> None:
    for marker in item.iter_markers("requires"):
        for operation in marker.args:
            if operation not in ground.target.operations:
                pytest.skip(f"the target does not map {operation}")
        if marker.kwargs.get("provider") and ground.provider is None:
            pytest.skip("the profile names no [payment_provider]")
        if marker.kwargs.get("webhooks") and not ground.webhook_secret:
            pytest.skip("the profile names no [webhooks], or its secret is not set")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Judge the test's customers unless its own assertions failed.

    A test that waited in vain is judged, too: what never came may be what the books lack.
    """
    try:
        result = yield
    except Unknown:
        _judge(pyfuncitem)
        raise
    _judge(pyfuncitem)
    return result


def _judge(item: pytest.Function) -> None:
    made, stands = item.funcargs.get("billing"), item.funcargs.get("ground")
    if not (isinstance(made, Session) and isinstance(stands, Ground) and made.customers):
        return
    verdicts = stands.judge().judge(made.customers, made.records)
    broken = [verdict for verdict in verdicts if verdict.kind == "invalid"]
    item.stash[FINDINGS] = [
        finding_data(finding, check=verdict.check, requirements=_requirements(item))
        for verdict in broken
        for finding in verdict.findings
    ]
    if broken:
        stands.caught = True
        raise BooksDoNotBalance("\n".join(_lines(broken)))
    doubts = [verdict for verdict in verdicts if verdict.kind == "unknown"]
    # Without a provider the whole run is in doubt, which its own judgement says once.
    if doubts and stands.provider is not None:
        raise Unknown(f"{doubts[0].check}: {doubts[0].reason}")


def _lines(broken: list[CheckVerdict]) -> Iterator[str]:
    for verdict in broken:
        for finding in verdict.findings:
            call = f" [{finding.operation}, call {finding.call}]" if finding.call else ""
            yield f"{verdict.check}: {finding}{call}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put into the report what a run wants to know of a test, and the customers that it made.

    Both travel in memory, from a worker too, and what a test tells is free of secrets already: only
    its own process knows them all. Customers travel with their credentials, for the last judgement.
    """
    report = yield
    if PLAN in item.config.stash or "billing" in getattr(item, "fixturenames", ()):
        used: dict[str, Any] = getattr(item, "funcargs", None) or {}
        made, stands = used.get("billing"), used.get("ground")
        told = _told(item, call, report, made)
        setattr(report, TOLD, stands.redactor.data(told) if isinstance(stands, Ground) else told)
        if isinstance(made, Session) and report.when == "teardown":
            setattr(report, CUSTOMERS, [asdict(customer) for customer in made.customers])
    return report


def _told(
    item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport, made: object
) -> dict[str, Any]:
    result, reason = _result(call, report)
    bad = result in {"failed", "unknown"}
    return {
        "place": item.stash.get(PLACE, 0),
        "title": _sentence(item),
        "suite": _suite(item),
        "requirements": _requirements(item),
        "result": result,
        "reason": reason,
        "findings": _findings(item, made, reason) if result == "failed" else [],
        "exchanges": _exchanges(made) if bad and isinstance(made, Session) else [],
    }


def _result(call: pytest.CallInfo[None], report: pytest.TestReport) -> tuple[str, str | None]:
    """Tell failed from unknown: only an assertion of the test itself is a failure."""
    if report.skipped:
        longrepr = report.longrepr
        told = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
        return "skipped", told.removeprefix("Skipped: ")
    if call.excinfo is None:
        return "passed", None
    error = call.excinfo.value
    if report.when == "call" and isinstance(error, (AssertionError, pytest.fail.Exception)):
        return "failed", _first_lines(str(error))
    if isinstance(error, (Unknown, HarnessError)):
        return "unknown", str(error)
    return "unknown", f"the test crashed in its {report.when}: {type(error).__name__}: {error}"


def _first_lines(text: str) -> str:
    """Leave out pytest's explanation of an assertion's operands: the message says it."""
    return text.split("\nassert ", maxsplit=1)[0].strip() or "an assertion without a message"


def _findings(item: pytest.Item, made: object, reason: str | None) -> list[dict[str, Any]]:
    """Give a failed test's findings: the checks', or the test's own assertion."""
    found = item.stash.get(FINDINGS, [])
    if found:
        return found
    last = made.records[-1] if isinstance(made, Session) and made.records else None
    return [
        {
            "check": None,
            "requirements": _requirements(item),
            "message": reason,
            "customer": last.customer if last else None,
            "operation": last.operation if last else None,
            "call": last.id if last else None,
            "amount_minor": None,
            "currency": None,
            "units": None,
            "provider_id": None,
            "test": item.nodeid,
        }
    ]


def _exchanges(made: Session) -> list[dict[str, Any]]:
    """Give the last requests and replies of a test, bodies cut to what a reader takes in.

    Of the same reading again and again, while something was awaited, only the last is shown.
    """
    pairs: list[tuple[Record, Exchange]] = []
    for record in made.records:
        for exchange in record.exchanges:
            if pairs and exchange.call.method == "GET" and pairs[-1][1].call == exchange.call:
                pairs.pop()
            pairs.append((record, exchange))
    shown = [
        {"call_id": record.id, "operation": record.operation, "outcome": str(record.outcome)}
        | exchange_data(exchange)
        for record, exchange in pairs[-EXCHANGES_MAX:]
    ]
    for told in shown:
        for side in (told["call"], told["reply"]):
            if isinstance(side.get("body"), str) and len(side["body"]) > BODY_CHARS_MAX:
                side["body"] = side["body"][:BODY_CHARS_MAX] + "… (cut)"
    return shown


def _requirements(item: pytest.Item) -> list[str]:
    return [str(name) for marker in item.iter_markers("requirement") for name in marker.args]


def _sentence(item: pytest.Item) -> str:
    function = getattr(item, "function", None)
    text = inspect.getdoc(function) or item.name
    named = f" [{item.callspec.id}]" if hasattr(item, "callspec") else ""
    return text.split("\n\n")[0].replace("\n", " ") + named


def _suite(item: pytest.Item) -> str:
    parts = item.path.parts
    return parts[parts.index("suites") + 1] if "suites" in parts[:-1] else item.path.parent.name


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why tests are unknown, where pytest's own terminal is on."""
    for report in terminalreporter.stats.get("unknown", []):
        reason = str(getattr(report, TOLD)["reason"]).splitlines()[0]
        terminalreporter.write_line(f"UNKNOWN {report.nodeid}: {reason}", yellow=True)


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Show *unknown* as itself."""
    told = getattr(report, TOLD, None)
    if told and told["result"] == "unknown":
        return "unknown", "U", "UNKNOWN"
    return None
