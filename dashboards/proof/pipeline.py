"""Pipelines of two partitions, merged and pushed as in CI: one with something of everything.

The merged report that `ci merge` writes is the truth, and `ci metrics push` to a real Pushgateway
is what panels see. Both run as commands: this folder knows their words and files alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dashboards.facts import DAY_S, Facts
from dashboards.proof.prometheus import READY_S, need
from harness.checks.verdict import CheckVerdict
from harness.errors import StackError
from harness.operations import OPERATIONS
from harness.partition import digest
from harness.redact import Redactor
from harness.report.results import Coverage, RunResults, TestResult
from harness.report.write import write_report
from harness.stack.ports import reserve, url_of
from harness.stack.process import Child
from harness.target.load import fixtures_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_COMMAND_S = 60.0
_STATUSES = frozenset({0, 1, 2, 99})
_PUSHING = frozenset({"metrics", "--push"})
_TESTS = (
    ("suites/e2e/test_pay.py::test_paid", "passed", 2.25, False),
    ("suites/e2e/test_pay.py::test_race", "passed", 1.5, True),
    ("suites/e2e/test_pay.py::test_lost", "unknown", 0.75, False),
    ("suites/security/test_limits.py::test_slow", "failed", 7.25, False),
    ("suites/security/test_limits.py::test_quick", "passed", 0.125, False),
    ("suites/security/test_keys.py::test_other", "skipped", 0.0, False),
    ("suites/contract/test_shape.py::test_shape", "passed", 3.5, False),
)
_GATES = {"lint": 3, "types": 0, "migrations-sqlite": 0, "migrations-postgres": 1}
LOAD: Mapping[str, Any] = {
    "rate": 120.5,
    "scenarios": {
        "steady": {"quantiles_s": {"0.5": 0.011, "0.95": 0.04, "0.99": 0.21},
                   "error_ratio": 0.002, "dropped": 0},
        "spike": {"quantiles_s": {"0.5": 0.02, "0.95": 0.13, "0.99": 0.9},
                  "error_ratio": 0.01, "dropped": 7},
    },
}  # fmt: skip
"""What a load run comes to, in the words of its result document; unlike in every figure."""
_COBERTURA = """<?xml version="1.0" ?>
<coverage line-rate="{rate}"><packages><package name="a"><classes>
<class filename="service/webhooks.py" name="w"><lines><line number="1" hits="1"/>
<line number="2" hits="1"/></lines></class>
<class filename="service/plain.py" name="p"><lines><line number="1" hits="1"/>
<line number="2" hits="{hits}"/></lines></class></classes></package></packages></coverage>
"""


@dataclass(frozen=True, slots=True)
class Run:
    """A pipeline's run: its tests as name, result, seconds and whether flaky; how its gates ended.

    `hits` is how often the service's plain code was executed, `part_s` what a partition took.
    """

    name: str
    title: str
    ago_s: float
    part_s: float
    tests: Sequence[tuple[str, str, float, bool]]
    gates: Mapping[str, int]
    hits: int
    earlier: int = 0


FAILED = Run("failed", "a run with something of everything", 200, 30, _TESTS, _GATES, 0)
SLOW = Run(
    *("slow", "a run that was slow, well and long ago", 2 * DAY_S, 400),
    tests=tuple((test, "passed", 2.5, False) for test, *_ in _TESTS),
    gates=dict.fromkeys(_GATES, 0),
    hits=1,
    earlier=4,
)
"""Two runs, so that each panel has something to show, and each alert is once to fire."""


def push_run(run: Run, folder: Path, gateway: str) -> Facts:
    """Merge a run, push it, and give the truth of it.

    Raises `StackError` where a command does not do what it should.
    """
    place = folder / f"pipeline-{run.name}"
    place.mkdir()
    _write_partitions(place, run)
    load, matrix = place / "load.json", place / "matrix.json"
    load.write_text(json.dumps(LOAD), encoding="utf-8")
    known = json.loads((fixtures_folder() / "kill_matrix.json").read_text("utf-8"))
    # Whether the last gauntlet was cut short is no matter of this run's.
    matrix.write_text(json.dumps({**known, "complete": True}), encoding="utf-8")
    _merge(place, run, matrix)
    wanted = ["metrics", "push", "merged", "--matrix", str(matrix), "--load", str(load)]
    _ci(place, *wanted, PUSHGATEWAY_URL=gateway)
    report = json.loads((place / "merged" / "report.json").read_text("utf-8"))
    return Facts(report=report, load=LOAD, matrix=json.loads(matrix.read_text("utf-8")))


def _write_partitions(place: Path, run: Run) -> None:
    began_s = time.time() - run.ago_s
    names = [test[0] for test in run.tests]
    for index in (1, 2):
        own = [_result(*test) for test in run.tests[index - 1 :: 2]]
        results = RunResults(
            target="reference",
            seed=7,
            run_id=f"proof{index}",
            started_at=began_s + index,
            duration_s=run.part_s * index + 0.5,
            tests=tuple(own),
            checks=(CheckVerdict("books", "Books balance", "valid", examined=2, facts=3),),
            coverage=Coverage(tuple(OPERATIONS), tuple(OPERATIONS), ("BH-9",), ()),
            customers=2,
            partition=_share(index, names, own),
        )
        folder = place / "parts" / f"part-{index}"
        folder.mkdir(parents=True)
        write_report(results, folder, Redactor())
        (folder / "history.jsonl").touch()
    _write_record(place, run, began_s)


def _write_record(place: Path, run: Run, began_s: float) -> None:
    """Write the runs before it, which were quick: half of them failed."""
    told = {test: ("passed", 0.5) for test, *_ in run.tests}
    lines = (
        {"at": began_s - 3600 * (run.earlier - n), "commit": f"{n}" * 8, "branch": "main",
         "verdict": "valid", "exit_status": n % 2, "duration_s": 60.0, "tests": told, "flaky": ()}
        for n in range(run.earlier)
    )  # fmt: skip
    (place / "record.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _share(index: int, names: list[str], own: list[TestResult]) -> dict[str, Any]:
    return {
        "index": index,
        "total": 2,
        "selection": names,
        "selection_digest": digest(names),
        "own": [test.id for test in own],
        "durations_digest": "d0",
        "coverage": False,
        "commit": "c0ffee" * 6,
        "branch": "main",
        "versions": {"billing-harness": "0.1.0"},
    }


def _result(test: str, result: Any, duration_s: float, is_flaky: bool) -> TestResult:  # noqa: FBT001 - a column of the table
    suite, title = test.split("/")[1], test.rpartition("::")[2]
    reason = None if result == "passed" else "made so for the proof"
    return TestResult(test, suite, title, ("BH-9",), result, duration_s, reason, flaky=is_flaky)


def _merge(place: Path, run: Run, matrix: Path) -> None:
    for name, status in run.gates.items():
        script = f"import sys; print('Found {status} errors'); sys.exit({int(status > 0)})"
        _ci(place, "gate", name, "--out", "parts/gates", "--", sys.executable, "-c", script)
    coverage = _COBERTURA.format(rate=(3 + run.hits) / 4, hits=run.hits)
    (place / "coverage.xml").write_text(coverage, encoding="utf-8")
    (place / "durations.json").write_text("{}", encoding="utf-8")
    _ci(
        place, "merge", "parts", "--out", "merged", "--partitions", "2", "--matrix", str(matrix),
        "--coverage-file", "coverage.xml", "--webhook-file", "*webhooks.py",
        "--record", "record.jsonl",
    )  # fmt: skip


def _ci(place: Path, *words: str, **more: str) -> None:
    about = {"GITHUB_REPOSITORY": "acme/billing", "GITHUB_REF_NAME": "main"}
    run_command(place, "ci", *words, **about, **more)


def run_command(place: Path, *words: str, **more: str) -> None:
    """Run one of our commands in a folder, with `more` in its environment.

    Raises `StackError` where it breaks, or where it says that it could not push.
    """
    command = [sys.executable, "-P", "-m", "harness.cli", *words]
    try:
        ended = subprocess.run(  # noqa: S603 - our own command, by words of ours
            command, cwd=place, env={**os.environ, **more}, capture_output=True, text=True,
            timeout=_COMMAND_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise StackError(f"{' '.join(words[:2])} did not end within {_COMMAND_S:g} s") from None
    said = (ended.stderr or ended.stdout).strip()
    if ended.returncode not in _STATUSES or "Traceback" in said:
        raise StackError(f"{' '.join(words[:2])} failed: {said[-400:]}")
    if _PUSHING & {*words} and ("warning" in said.lower() or "cannot" in said.lower()):
        raise StackError(f"nothing was pushed: {said[-400:]}")


@contextlib.contextmanager
def pushgateway(place: Path) -> Iterator[str]:
    """Start a Pushgateway of its own, and give its address. Raises `StackError`."""
    program = need("prometheus-pushgateway")
    with reserve(0, "Pushgateway") as listener:
        url = url_of(listener)
    argv = [program, f"--web.listen-address={url.removeprefix('http://')}", "--log.level=warn"]
    child = Child("pushgateway", argv, env=dict(os.environ), log=place / "pushgateway.log")
    try:
        child.wait_ready(f"{url}/-/ready", READY_S)
        yield url
    finally:
        child.stop()
