"""Runs as the report sees them: small, and with everything in it."""

from __future__ import annotations

from typing import Any

from harness.checks.sometimes import sometimes
from harness.checks.verdict import CheckVerdict, Finding
from harness.replay.reproduce import Reproduction
from harness.report.results import Coverage, Result, RunResults, TestResult

CORE = ("create_customer", "record_usage", "get_balance")
HOSTILE = "<script>alert(1)</script>\"&' \x00\x1b[31m ]]> \ud7ff"


def result_of(result: Result = "passed", name: str = "test_a", **fields: Any) -> TestResult:
    """Give a test's result."""
    given: dict[str, Any] = {
        "id": f"suites/e2e/test_x.py::{name}",
        "suite": "e2e",
        "title": "It works.",
        "requirements": ("BH-1",),
        "result": result,
        "duration_s": 0.25,
        "reason": None if result == "passed" else f"it was {result}",
    }
    return TestResult(**(given | fields))


def check_of(kind: Any = "valid", *findings: Finding, name: str = "a_check") -> CheckVerdict:
    """Give a check's verdict."""
    reason = None if kind in {"valid", "invalid"} else f"it was {kind}"
    return CheckVerdict(name, "Something holds.", kind, 3, findings, reason)


def run_of(
    *tests: TestResult,
    checks: tuple[CheckVerdict, ...] = (),
    mapped: tuple[str, ...] = CORE,
    **fields: Any,
) -> RunResults:
    """Give a run's results; one passed test and one valid check unless told otherwise."""
    given: dict[str, Any] = {
        "target": "small",
        "seed": 7,
        "run_id": "ab12",
        "started_at": 1_700_000_000.0,
        "duration_s": 1.5,
        "tests": tests or (result_of(),),
        "checks": checks or (check_of(),),
        "coverage": Coverage(mapped, mapped[:2], ("BH-1",), ("BH-2",)),
        "customers": 3,
        "files": {"history": "history.jsonl"},
    }
    return RunResults(**(given | fields))


def full_run(text: str = HOSTILE) -> RunResults:
    """Give a run with one of everything, in which all that a target can write is `text`."""
    finding = Finding(text, text, "record_usage", "main-1", 2900, "usd", 1, text, "a test")
    call = {
        "method": "POST",
        "path": f"/v1/{text}",
        "query": [["q", text]],
        "headers": [["X-A", text]],
        "body": text,
    }
    reply = {"status": 200, "headers": [["X-B", text]], "body": text}
    lost = {"no_reply": "timeout", "sent": True, "detail": text}
    exchanges = tuple(
        {
            "call_id": "main-1",
            "operation": "record_usage",
            "outcome": text,
            "call": call,
            "reply": answered,
            "at": 1.0,
            "elapsed_ms": 2.0,
        }
        for answered in (reply, lost, {**reply, "body": {"base64": "AAE="}})
    )
    told = {"check": None, "requirements": ["BH-1"], **_plain(finding)}
    return run_of(
        result_of(),
        result_of("failed", "test_b", reason=text, findings=(told,), exchanges=exchanges),
        result_of("unknown", f"test_c[{text}::x]", reason=text, title=text),
        result_of("skipped", "test_d", reason=text, suite="security"),
        checks=(check_of("invalid", finding), check_of("unknown"), check_of("skipped")),
        trouble=(text,),
        target=text,
        reproductions=(
            Reproduction("a_check", text, text, 2, 2, text, text, replayed=True, story="{}"),
            Reproduction(None, text, text, 1, 1, text, text, replayed=False, why=text),
        ),
        sometimes=sometimes(()),
    )


def _plain(finding: Finding) -> dict[str, Any]:
    return {name: getattr(finding, name) for name in Finding.__slots__}
