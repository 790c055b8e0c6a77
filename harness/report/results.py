"""What a run found, as plain data: the one source of the page, the JSON, JUnit and exit status."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from harness.operations import OPERATIONS, covers_core

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.checks.sometimes import Sometimes
    from harness.checks.verdict import CheckVerdict, Finding
    from harness.replay.reproduce import Reproduction

Result = Literal["passed", "failed", "skipped", "unknown"]
Verdict = Literal["valid", "invalid", "unknown"]

EXIT_VALID = 0
EXIT_INVALID = 1
EXIT_UNKNOWN = 2
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test: its sentence, what it is for, what came of it, and why.

    `exchanges` are the requests and replies that show a failure, redacted. `flaky` is one that was
    bad, and passed when it was run again alone.
    """

    __test__ = False  # pytest would take it for a class of tests

    id: str
    suite: str
    title: str
    requirements: tuple[str, ...]
    result: Result
    duration_s: float
    reason: str | None = None
    findings: tuple[dict[str, Any], ...] = ()
    exchanges: tuple[dict[str, Any], ...] = ()
    flaky: bool = False


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was tried of what there is. Operations count where one succeeded or was refused."""

    mapped: tuple[str, ...]
    tried: tuple[str, ...]
    requirements_tried: tuple[str, ...]
    requirements_skipped: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data, the operations that the target lacks included."""
        missing = tuple(name for name in OPERATIONS if name not in self.mapped)
        return {
            "operations": {
                "mapped": self.mapped,
                "tried": self.tried,
                "untried": tuple(name for name in self.mapped if name not in self.tried),
                "missing": missing,
            },
            "requirements": {
                "tried": self.requirements_tried,
                "skipped": self.requirements_skipped,
            },
        }


@dataclass(frozen=True, slots=True)
class RunResults:
    """A whole run. `interrupted` and `trouble` are reasons why it cannot be valid.

    `performed` counts operations, repeats included; `customers` those that the run made.
    `partition` says which share of which tests this is.
    """

    target: str
    seed: int
    run_id: str
    started_at: float
    duration_s: float
    tests: tuple[TestResult, ...]
    checks: tuple[CheckVerdict, ...]
    coverage: Coverage
    customers: int
    performed: int = 0
    trouble: tuple[str, ...] = ()
    interrupted: bool = False
    reproductions: tuple[Reproduction, ...] = ()
    sometimes: tuple[Sometimes, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    partition: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """Invalid where anything was; else unknown where anything was; valid where all was seen."""
        if self._any("failed", "invalid"):
            return "invalid"
        return "unknown" if self.doubts else "valid"

    @property
    def doubts(self) -> tuple[str, ...]:
        """Every reason why this run proves nothing, in the order in which a reader needs them."""
        found = list(self.trouble)
        if self.interrupted:
            found.append("the run was interrupted")
        if not any(test.result in {"passed", "failed"} for test in self.tests):
            why = next((test.reason for test in self.tests if test.reason), None)
            found.append(f"no test could be tried{f': {why}' if why else ''}")
        if not covers_core(frozenset(self.coverage.mapped)):
            found.append(
                "the target maps less than the core: create_customer, one paid operation,"
                " and get_balance or list_invoices"
            )
        unknown = [test for test in self.tests if test.result == "unknown"]
        if unknown:
            first = unknown[0].reason or "no reason"
            count = len(unknown)
            found.append(f"{count} test{'s' if count > 1 else ''} unknown, the first: {first}")
        found += [
            f"the check {check.check} could not look: {check.reason}"
            for check in self.checks
            if check.kind == "unknown"
        ]
        return tuple(found)

    @property
    def exit_status(self) -> int:
        """130 where it was interrupted; else 0 valid, 1 invalid, 2 unknown."""
        if self.interrupted:
            return EXIT_INTERRUPTED
        return {"valid": EXIT_VALID, "invalid": EXIT_INVALID, "unknown": EXIT_UNKNOWN}[self.verdict]

    @property
    def findings(self) -> tuple[dict[str, Any], ...]:
        """Every breach: those of tests, then those that only the whole history shows."""
        found = [finding for test in self.tests for finding in test.findings]
        requirements = {test.id: test.requirements for test in self.tests}
        seen = {(entry["check"], entry["customer"], entry["message"]) for entry in found}
        for check in self.checks:
            found += [
                finding_data(
                    finding,
                    check=check.check,
                    requirements=requirements.get(finding.test or "", ()),
                )
                for finding in check.findings
                if check.kind == "invalid"
                and (check.check, finding.customer, finding.message) not in seen
            ]
        return tuple(found)

    def suites(self) -> dict[str, dict[str, int]]:
        """Count results by suite."""
        empty = {"passed": 0, "failed": 0, "skipped": 0, "unknown": 0}
        names = sorted({test.suite for test in self.tests})
        return {
            name: empty | Counter(test.result for test in self.tests if test.suite == name)
            for name in names
        }

    def requirements(self) -> dict[str, dict[str, int]]:
        """Count the results of the tests that each requirement has, the worst first."""
        found: dict[str, Counter[str]] = {}
        for test in self.tests:
            for name in test.requirements:
                found.setdefault(name, Counter())[test.result] += 1
        worst = sorted(found, key=lambda name: (_rank(found[name]), name))
        return {name: {result: found[name][result] for result in _ORDER} for name in worst}

    def headline(self) -> str:
        """Say in a line what the verdict covers."""
        counts = Counter(test.result for test in self.tests)
        told = ", ".join(f"{counts[name]} {name}" for name in _ORDER if counts[name]) or "no tests"
        tried, mapped = len(self.coverage.tried), len(self.coverage.mapped)
        looked = sum(check.kind in {"valid", "invalid"} for check in self.checks)
        return (
            f"{self.target}: {told}; {tried} of {len(OPERATIONS)} operations"
            f" ({mapped} mapped), {len(self.coverage.requirements_tried)} requirements,"
            f" {looked} of {len(self.checks)} checks over {self.customers} customers"
        )

    def to_json(self) -> dict[str, Any]:
        """Give the run as plain data, for machines and for the page."""
        return {
            "verdict": self.verdict,
            "headline": self.headline(),
            "doubts": self.doubts,
            "target": self.target,
            "seed": self.seed,
            "run_id": self.run_id,
            "started_at": self.started_at,
            "duration_s": round(self.duration_s, 3),
            "interrupted": self.interrupted,
            "suites": self.suites(),
            "findings": self.findings,
            "reproductions": [asdict(way) for way in self.reproductions],
            "sometimes": [situation.to_json() for situation in self.sometimes],
            "requirements": self.requirements(),
            "coverage": self.coverage.to_json(),
            "customers": self.customers,
            "performed": self.performed,
            "trouble": self.trouble,
            "checks": [check.to_json() for check in self.checks],
            "tests": [asdict(test) for test in self.tests],
            "files": self.files,
            "partition": self.partition,
        }

    def _any(self, test: Result, check: str) -> bool:
        return any(t.result == test for t in self.tests) or any(
            c.kind == check for c in self.checks
        )


_ORDER: tuple[Result, ...] = ("passed", "failed", "unknown", "skipped")


def _rank(counts: Counter[str]) -> int:
    """Order what a requirement came to: failed, unknown, never tried, passed."""
    if counts["failed"]:
        return 0
    if counts["unknown"]:
        return 1
    return 3 if counts["passed"] else 2


def finding_data(
    finding: Finding, *, check: str | None = None, requirements: Iterable[str] = ()
) -> dict[str, Any]:
    """Give a finding as plain data."""
    data: dict[str, Any] = {"check": check, "requirements": list(requirements), **asdict(finding)}
    return data
