"""A whole run, as a pipeline or a person reads it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from tests.cli.command import REPORT_FILES, history_of, report_of, secrets_in
from tests.cli.conftest import SEED
from tests.stack.processes import linux_only

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = linux_only
COUNTS = {"passed", "failed", "skipped", "unknown"}


def test_the_reference_is_valid(reference_run: dict[str, Any]) -> None:
    """The reference passes every test of these, skips none, and leaves no process behind."""
    assert reference_run["status"] == 0, reference_run
    facts = report_of(Path(reference_run["folder"]) / "report")
    assert facts["verdict"] == "valid"
    assert set(facts["suites"]) >= {"e2e", "security"}
    for counts in facts["suites"].values():
        assert set(counts) == COUNTS
        assert counts["passed"] > 0
        assert not counts["failed"] + counts["unknown"]
    assert {test["result"] for test in facts["tests"]} == {"passed"}
    assert reference_run["left"] == {}


def test_the_verdict_line_says_what_it_covers(reference_run: dict[str, Any]) -> None:
    """Standard output is the verdict with its coverage, the seed and the page; no more."""
    verdict, where = reference_run["out"].splitlines()
    assert re.match(r"VALID {2}reference: \d+ passed; \d+ of \d+ operations", verdict)
    assert f"seed {SEED}" in where
    assert where.endswith("report/report.html")
    assert "Traceback" not in reference_run["err"]


def test_the_facts_are_the_same_in_both_files(reference_run: dict[str, Any]) -> None:
    """`--json` holds the report's facts: findings, coverage, seed and duration among them."""
    folder = Path(reference_run["folder"])
    facts = json.loads((folder / "out.json").read_text("utf-8"))
    shown = report_of(folder / "report")
    # What stands in the report besides is about the suites, not about this run.
    assert facts == {name: shown[name] for name in facts}
    assert facts["seed"] == SEED
    assert facts["findings"] == []
    assert 0 < facts["duration_s"] < 600
    assert "create_customer" in facts["coverage"]["operations"]["tried"]
    assert "CWE-347" in facts["coverage"]["requirements"]["tried"]
    assert {check["kind"] for check in facts["checks"]} == {"valid"}


def test_the_report_is_whole(reference_run: dict[str, Any]) -> None:
    """Page, facts, JUnit and history stand in the folder, and nothing else."""
    folder = Path(reference_run["folder"]) / "report"
    assert {file.name for file in folder.iterdir()} == REPORT_FILES
    page = (folder / "report.html").read_text("utf-8")
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page), "the page fetches something"
    assert "<script" not in page
    cases = ET.parse(folder / "junit.xml").getroot().iter("testcase")  # noqa: S314 - our own file
    assert sum(1 for _ in cases) == len(report_of(folder)["tests"])


def test_no_secret_reaches_the_report(reference_run: dict[str, Any]) -> None:
    """No key of the stack or of a customer stands in any file, nor in what was printed."""
    folder = Path(reference_run["folder"])
    secrets = reference_run["secrets"]
    assert len(secrets) >= 5
    assert secrets_in(folder / "report", *secrets) == []
    assert not any(secret in reference_run["out"] + reference_run["err"] for secret in secrets)


@pytest.mark.nightly
def test_more_workers_run_the_same_tests(
    reference_run: dict[str, Any], two_runs: dict[str, Any]
) -> None:
    """With `-n 2` the same tests end the same, and the history holds both workers' records."""
    folder = Path(two_runs["folder"]) / "reference"
    alone, shared = report_of(Path(reference_run["folder"]) / "report"), report_of(folder)
    assert shared["verdict"] == "valid", two_runs
    ended = [[(test["id"], test["result"]) for test in each["tests"]] for each in (alone, shared)]
    assert ended[0] == ended[1]
    assert alone["customers"] == shared["customers"]
    makers = {line["id"].split("-")[0] for line in history_of(folder) if line["line"] == "end"}
    assert {"gw0", "gw1"} <= makers
    assert {file.name for file in folder.iterdir()} == REPORT_FILES


@pytest.mark.nightly
def test_the_same_seed_makes_the_same_choices(
    reference_run: dict[str, Any], two_runs: dict[str, Any]
) -> None:
    """Test by test, a run with the same seed asks for the same, whatever runs beside it."""
    alone = Path(reference_run["folder"]) / "report"
    shared = Path(two_runs["folder"]) / "reference"
    assert _choices(alone) == _choices(shared)


def _choices(folder: Path) -> dict[str, list[tuple[str, Any]]]:
    """Give what each test asked for, without what differs between any two runs."""
    lines = history_of(folder)
    run_id = next(line["run_id"] for line in lines if line["line"] == "run")
    asked: dict[str, list[tuple[str, Any]]] = {}
    for line in sorted(_begun(lines), key=lambda line: line["began_at"]):
        inputs = {
            name: value.replace(run_id, "RUN") if isinstance(value, str) else value
            for name, value in line["inputs"].items()
            if name not in {"customer", "subscription", "payload", "signature_headers"}
        }
        step = line["operation"], inputs
        # How often something is read until it is there is no choice.
        if step not in asked.setdefault(line["test"], [])[-1:]:
            asked[line["test"]].append(step)
    return asked


def _begun(lines: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    return (line for line in lines if line["line"] == "begin")


@pytest.mark.nightly
def test_a_target_unlike_the_reference_is_valid(two_runs: dict[str, Any]) -> None:
    """Another API, reached by its profile alone, passes the same tests with nothing skipped."""
    folder = Path(two_runs["folder"])
    acme, reference = report_of(folder / "acme"), report_of(folder / "reference")
    assert two_runs["acme"]["status"] == 0, two_runs["acme"]
    assert acme["verdict"] == "valid"
    assert acme["suites"] == reference["suites"]
    assert secrets_in(folder / "acme") == []


@pytest.mark.nightly
def test_two_runs_do_not_disturb_each_other(two_runs: dict[str, Any]) -> None:
    """Two runs at the same time are both valid, and nothing of either is left."""
    assert [two_runs[name]["status"] for name in ("reference", "acme")] == [0, 0], two_runs
    assert two_runs["left"] == {}
