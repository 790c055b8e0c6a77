"""A bad test is run again, alone: one that passes then says two things of the same target.

What was seen of money or security was seen, whatever a second try says: that stays a failure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.report.results import Result, TestResult

# Beyond so many it is the target that is broken, and to run them again would only take time.
AGAIN_MAX = 10
MONEY = frozenset(f"BH-{number}" for number in range(1, 9))
SECURITY = "security"


def is_critical(test: TestResult) -> bool:
    """Whether a test is about money or security, or a check of the books has spoken in it."""
    breached = any(finding["check"] for finding in test.findings)
    return breached or test.suite == SECURITY or bool(MONEY & set(test.requirements))


def tried_again(test: TestResult, result: Result) -> TestResult:
    """Give what is to be thought of a bad test that came to `result` on its second try."""
    if result != "passed":
        return test
    first = test.reason or "no reason"
    if test.result == "failed" and is_critical(test):
        reason = f"{first} (it passed when run again alone: flaky, and no less true)"
        return replace(test, flaky=True, reason=reason)
    reason = f"flaky: it passed when run again alone; at first: {first}"
    return replace(test, flaky=True, result="unknown", reason=reason, findings=())
