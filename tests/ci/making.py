"""Makes the report folders that partitions leave, as a run writes them, and runs nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import coverage

from harness.checks.sometimes import Sometimes
from harness.checks.verdict import CheckVerdict
from harness.history import History, Record
from harness.measuring import COVERAGE_FILE
from harness.operations import OPERATIONS
from harness.partition import digest
from harness.redact import Redactor
from harness.report.results import Coverage, RunResults, TestResult
from harness.report.write import write_report
from harness.target.protocol import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

E2E = tuple(f"suites/e2e/test_a.py::test_{name}" for name in ("one", "two", "three", "four"))
SECURITY = ("suites/security/test_b.py::test_five", "suites/security/test_b.py::test_six")
ALL = (*E2E, *SECURITY)
COMMIT = "c0ffee" * 6
SOURCE = "def receive(event):\n    if event:\n        return 1\n    return 2\n"
HANDLER = "service/webhooks.py"
PLAIN = "service/plain.py"


def made(test: str, **more: Any) -> TestResult:
    """Make a test's result: passed, unless told otherwise."""
    told: dict[str, Any] = {
        "id": test,
        "suite": test.split("/")[1],
        "title": f"What {test.rpartition('::')[2]} says",
        "requirements": ("BH-9",),
        "result": "passed",
        "duration_s": 1.0,
    }
    return TestResult(**(told | more))


def make_part(
    folder: Path,
    index: int,
    total: int,
    tests: Sequence[TestResult],
    *,
    selection: Sequence[str] = ALL,
    **facts: Any,
) -> Path:
    """Write one partition's report, JUnit and history; `facts` change what it says of itself."""
    place = folder / f"part-{index}"
    place.mkdir(parents=True)
    results = RunResults(
        target="reference",
        seed=7,
        run_id=f"run{index}",
        started_at=1_000.0 + index,
        duration_s=10.0,
        tests=tuple(tests),
        checks=(CheckVerdict("books", "Books balance", "valid", examined=2, facts=3),),
        coverage=Coverage(tuple(OPERATIONS), ("create_customer",), ("BH-9",), ()),
        customers=2,
        performed=_history(place, index),
        sometimes=(Sometimes("subscribed", "A customer subscribed", index),),
        files={"history": "history.jsonl"},
        partition={
            "index": index,
            "total": total,
            "selection": list(selection),
            "selection_digest": digest(selection),
            "own": [test.id for test in tests],
            "durations_digest": "d0",
            "coverage": False,
            "commit": COMMIT,
            "branch": "main",
            "versions": {"billing-harness": "0.1.0"},
            **facts,
        },
    )
    write_report(results, place, Redactor())
    return place


def _history(place: Path, index: int) -> int:
    """Write two operations; give how many."""
    with (place / "history.jsonl").open("w") as file:
        history = History(file, Redactor(), facts={"run_id": f"run{index}"})
        for number in (1, 2):
            at = 1_000.0 + index + number
            record = Record(history.next_id(), ALL[0], "get_balance", "customer", "c1", {}, at, at)
            history.begin(record)
            history.end(Record(**{**_plain(record), "outcome": Outcome("ok")}))
    return 2


def _plain(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in Record.__dataclass_fields__}


def make_parts(folder: Path, total: int = 2, **facts: Any) -> list[Path]:
    """Deal every test out to so many partitions, all of them passed."""
    return [
        make_part(folder, index, total, [made(test) for test in ALL[index - 1 :: total]], **facts)
        for index in range(1, total + 1)
    ]


def make_service(folder: Path) -> None:
    """Write the two files of a service; coverage data below is about them."""
    for name in (HANDLER, PLAIN):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(SOURCE)


def make_coverage(place: Path, context: str, arcs: dict[str, list[tuple[int, int]]]) -> None:
    """Write what one partition executed, as `run --coverage` leaves it."""
    data = coverage.CoverageData(str(place / COVERAGE_FILE))
    data.set_context(context)
    data.add_arcs(arcs)
    data.write()


TRUE = [(-1, 1), (1, -1), (-1, 2), (2, 3), (3, -1)]
FALSE = [(-1, 1), (1, -1), (-1, 2), (2, 4), (4, -1)]


def change(place: Path, **values: Any) -> None:
    """Change what a report says, as a mistake or a forger would."""
    path = place / "report.json"
    data = json.loads(path.read_text())
    for name, value in values.items():
        target = data["partition"] if name in data["partition"] else data
        target[name] = value
    path.write_text(json.dumps(data))
