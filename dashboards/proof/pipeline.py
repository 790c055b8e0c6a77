"""A pipeline of two partitions with something of everything, merged and pushed as in CI.

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
from typing import TYPE_CHECKING, Any

from dashboards.facts import Facts
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
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_COMMAND_S = 60.0
_STATUSES = frozenset({0, 1, 2, 99})
_LATE_S = 2.0
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
<coverage line-rate="0.75"><packages><package name="a"><classes>
<class filename="service/webhooks.py" name="w"><lines><line number="1" hits="1"/>
<line number="2" hits="1"/></lines></class>
<class filename="service/plain.py" name="p"><lines><line number="1" hits="1"/>
<line number="2" hits="0"/></lines></class></classes></package></packages></coverage>
"""


@contextlib.contextmanager
def pushed(folder: Path) -> Iterator[tuple[str, Facts]]:
    """Merge a run, push it to a Pushgateway of its own, and give its address and the truth.

    Raises `StackError` where a program or a command does not do what it should.
    """
    place = folder / "pipeline"
    place.mkdir()
    _write_partitions(place)
    load, matrix = place / "load.json", fixtures_folder() / "kill_matrix.json"
    load.write_text(json.dumps(LOAD), encoding="utf-8")
    _merge(place, matrix)
    with _pushgateway(place) as url:
        wanted = ["metrics", "push", "merged", "--matrix", str(matrix), "--load", str(load)]
        _ci(place, *wanted, PUSHGATEWAY_URL=url)
        yield url, _truth(place, matrix)


def _truth(place: Path, matrix: Path) -> Facts:
    report = json.loads((place / "merged" / "report.json").read_text("utf-8"))
    return Facts(report=report, load=LOAD, matrix=json.loads(matrix.read_text("utf-8")))


def _write_partitions(place: Path) -> None:
    began_s = time.time() - 200
    names = [test[0] for test in _TESTS]
    for index in (1, 2):
        own = [_result(*test) for test in _TESTS[index - 1 :: 2]]
        results = RunResults(
            target="reference",
            seed=7,
            run_id=f"proof{index}",
            started_at=began_s + index,
            duration_s=30.0 * index + 0.5,
            tests=tuple(own),
            checks=(CheckVerdict("books", "Books balance", "valid", examined=2, facts=3),),
            coverage=Coverage(tuple(OPERATIONS), ("create_customer",), ("BH-9",), ()),
            customers=2,
            partition=_share(index, names, own),
        )
        folder = place / "parts" / f"part-{index}"
        folder.mkdir(parents=True)
        write_report(results, folder, Redactor())


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


def _merge(place: Path, matrix: Path) -> None:
    for name, status in _GATES.items():
        script = f"import sys; print('Found {status} errors'); sys.exit({int(status > 0)})"
        _ci(place, "gate", name, "--out", "parts/gates", "--", sys.executable, "-c", script)
    (place / "coverage.xml").write_text(_COBERTURA, encoding="utf-8")
    (place / "durations.json").write_text("{}", encoding="utf-8")
    _ci(
        place, "merge", "parts", "--out", "merged", "--partitions", "2", "--matrix", str(matrix),
        "--coverage-file", "coverage.xml", "--webhook-file", "*webhooks.py",
        "--record", "record.jsonl",
    )  # fmt: skip


def _ci(place: Path, *words: str, **more: str) -> None:
    command = [sys.executable, "-P", "-m", "harness.cli", "ci", *words]
    env = {**os.environ, "GITHUB_REPOSITORY": "acme/billing", "GITHUB_REF_NAME": "main", **more}
    try:
        ended = subprocess.run(  # noqa: S603 - our own command, by words of this file
            command, cwd=place, env=env, capture_output=True, text=True, timeout=_COMMAND_S,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise StackError(f"ci {words[0]} did not end within {_COMMAND_S:g} s") from None
    said = (ended.stderr or ended.stdout).strip()
    if ended.returncode not in _STATUSES or "Traceback" in said:
        raise StackError(f"ci {words[0]} failed: {said[-400:]}")
    if words[0] == "metrics" and ("warning" in said.lower() or "cannot" in said.lower()):
        raise StackError(f"nothing was pushed: {said[-400:]}")


@contextlib.contextmanager
def _pushgateway(place: Path) -> Iterator[str]:
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
