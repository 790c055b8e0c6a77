from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import pytest

from harness.checks.verdict import Finding
from harness.operations import OPERATIONS
from tests.core.running import check_of, full_run, result_of, run_of

if TYPE_CHECKING:
    from harness.report.results import RunResults

TESTS = ["passed", "failed", "skipped", "unknown"]
CHECKS = ["valid", "invalid", "skipped", "unknown"]
COMBINATIONS = [
    (tests, checks)
    for tests in itertools.chain.from_iterable(itertools.combinations(TESTS, n) for n in range(5))
    for checks in itertools.chain.from_iterable(itertools.combinations(CHECKS, n) for n in range(5))
]


def _run(tests: tuple[str, ...], checks: tuple[str, ...]) -> RunResults:
    made = tuple(result_of(result) for result in tests)  # type: ignore[arg-type] # from TESTS
    return run_of(checks=tuple(map(check_of, checks)), tests=made)


def test_every_combination_has_the_verdict_that_it_deserves() -> None:
    """Anything invalid is 1, before anything unknown or nothing tried, which is 2; else 0."""
    assert len(COMBINATIONS) == 256
    for tests, checks in COMBINATIONS:
        run = _run(tests, checks)
        if "failed" in tests or "invalid" in checks:
            due = ("invalid", 1)
        elif "unknown" in tests or "unknown" in checks or "passed" not in tests:
            due = ("unknown", 2)
        else:
            due = ("valid", 0)
        assert (run.verdict, run.exit_status) == due, (tests, checks)
        assert (due[0] != "unknown") or run.doubts


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (run_of(result_of("skipped")), "no test could be tried: it was skipped"),
        (run_of(tests=()), "no test could be tried"),
        (run_of(mapped=("create_customer", "get_balance")), "less than the core"),
        (run_of(mapped=()), "less than the core"),
        (run_of(trouble=("a worker died",)), "a worker died"),
        (run_of(result_of(), result_of("unknown")), "1 test unknown, the first: it was unknown"),
        (
            run_of(result_of(), result_of("unknown"), result_of("unknown")),
            "2 tests unknown, the first",
        ),
        (run_of(checks=(check_of("unknown"),)), "the check a_check could not look: it was"),
    ],
)
def test_what_proves_nothing_is_unknown_and_says_why(run: RunResults, why: str) -> None:
    """A run that looked at too little is unknown, with the reason first."""
    assert (run.verdict, run.exit_status) == ("unknown", 2)
    assert why in run.doubts[0]


@pytest.mark.parametrize("results", [("passed",), ("failed",), ("unknown",), ()])
def test_an_interrupted_run_ends_with_130(results: tuple[str, ...]) -> None:
    """A person's Ctrl-C has its own status, and is never valid."""
    made = tuple(result_of(result) for result in results)  # type: ignore[arg-type] # results
    run = run_of(tests=made, interrupted=True)
    assert run.exit_status == 130
    assert run.verdict == ("invalid" if "failed" in results else "unknown")
    assert "the run was interrupted" in run.doubts


def test_suites_are_counted() -> None:
    """Each suite has all four counts."""
    assert full_run().suites() == {
        "e2e": {"passed": 1, "failed": 1, "skipped": 0, "unknown": 1},
        "security": {"passed": 0, "failed": 0, "skipped": 1, "unknown": 0},
    }


def test_findings_are_told_once_and_each_customers_is_told() -> None:
    """What a test found is not repeated by the whole run; the same of another customer is new."""
    same = Finding("out of a unit", "c1", amount_minor=5, currency="usd")
    other = Finding("out of a unit", "c2", amount_minor=5, currency="usd")
    first = run_of(checks=(check_of("invalid", same),)).findings[0]
    run = run_of(
        result_of("failed", findings=(first,)),
        checks=(check_of("invalid", same, other), check_of("unknown", other, name="doubtful")),
    )
    assert [finding["customer"] for finding in run.findings] == ["c1", "c2"]
    assert {finding["check"] for finding in run.findings} == {"a_check"}


def test_the_facts_for_machines_are_complete() -> None:
    """The JSON has what the documentation promises, and is JSON."""
    data = json.loads(json.dumps(full_run().to_json()))
    assert data["verdict"] == "invalid"
    assert data["seed"] == 7
    assert data["duration_s"] == 1.5
    assert set(data["suites"]["e2e"]) == {"passed", "failed", "skipped", "unknown"}
    assert {"operations", "requirements"} <= set(data["coverage"])
    needed = {"test", "requirements", "operation", "customer", "amount_minor", "currency"}
    assert all(needed <= set(finding) for finding in data["findings"])


def test_coverage_names_what_was_not_tried_and_what_is_missing() -> None:
    """Operations are tried, mapped and not tried, or not there at all."""
    told = run_of().coverage.to_json()["operations"]
    assert list(told["untried"]) == ["get_balance"]
    assert "subscribe" in told["missing"]
    assert len(told["mapped"]) + len(told["missing"]) == len(OPERATIONS)


def test_the_headline_says_what_the_verdict_covers() -> None:
    """One line names results, operations, requirements and checks by number."""
    line = full_run("x").headline()
    assert "1 passed, 1 failed, 1 unknown, 1 skipped" in line
    assert f"2 of {len(OPERATIONS)} operations (3 mapped), 1 requirements," in line
    assert "1 of 3 checks over 3 customers" in line
    assert "no tests" in run_of(tests=()).headline()
