"""Names what found a breach, a check or a test function: by them a run is stopped, and judged."""

from __future__ import annotations

from typing import Any

ANYTHING = "*"
BLIND = "no check and no test here is called"


def names_of(finding: dict[str, Any]) -> list[str]:
    """Name what found a breach: the check, or else the test function itself."""
    if finding["check"]:
        return [finding["check"]]
    return [function_of(finding["test"])] if finding["test"] else []


def function_of(test: str) -> str:
    """Give the function of a test's id.

    >>> function_of("suites/e2e/test_trial.py::test_usage_told_twice_counts_once[again]")
    'test_usage_told_twice_counts_once'
    """
    return test.rpartition("::")[2].partition("[")[0]
