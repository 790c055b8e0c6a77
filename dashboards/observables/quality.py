"""The panels of what a pipeline found: coverage, flaky tests, gates, security, defects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboards.observables.alerts import on_gauge
from dashboards.observables.model import Observable, Panel, Query, Section, Threshold
from dashboards.observables.pushed import COUNT, OK, OWNED, QUIET, last, panel
from dashboards.oracles import reported

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dashboards.facts import Facts
    from dashboards.objectives import Objectives
    from dashboards.observables.model import Alert


_SCOPES = ("all", "webhooks")


def quality(objectives: Objectives) -> Section:
    """Give the section of what a run found."""
    return Section("Quality", (_coverage(objectives), *_flaky(), *_gates(), _security(), _kills()))


def _uncovered(objectives: Objectives) -> Alert:
    low = objectives.coverage_min
    return on_gauge(
        *("CICoverageLow", "ci_coverage_ratio"),
        f'ci_coverage_ratio{{{OWNED},scope="all"}} < {low:g}',
        bad=f"{low - 0.3:.6g}+0x30",
        good=f"{low:g}+0x30",
        hold="1m",
        severity="warning",
        summary="Too little of the service's code was executed",
        description="{{ $value | humanizePercentage }} of the code was executed;"
        f" {low:.4g} is the least.",
        next_step="Did a suite not run, or did new code come without tests? Compare the tests"
        " expected with those run first.",
        truth=lambda facts, _: (facts.report["code_coverage"] or {}).get("all", 1) < low,
        own=(("scope", "all"),),
        told=f"{(low - 0.3) * 100:.4g}%",
    )


def _coverage(objectives: Objectives) -> Observable:
    low, goal = objectives.coverage_min, objectives.coverage_goal
    alert = _uncovered(objectives)

    def scopes(facts: Facts) -> Mapping[Any, float]:
        found: Mapping[Any, float | None] = facts.report["code_coverage"] or {}
        return {scope: share for scope in _SCOPES if (share := found.get(scope)) is not None}

    return Observable(
        "coverage",
        "Code that was executed",
        f"The share of the service's code that the suites executed: {low:g} is the least,"
        f" {goal:g} is wanted, and of the webhooks' handlers 1.",
        Panel(
            *("gauge", "percentunit", 12),
            (Threshold("red"), Threshold("yellow", low), Threshold("green", goal)),
            minimum=0,
            maximum=1,
            decimals=1,
            no_value="not told",
        ),
        (
            Query(
                last("ci_coverage_ratio"),
                "{{scope}}",
                reported("the report's coverage", scopes, "scope"),
            ),
        ),
        alert.next_step,
        alerts=(alert,),
    )


def _was_flaky() -> Alert:
    return on_gauge(
        *("CIFlakyTest", "ci_flaky_tests", f"ci_flaky_tests{{{OWNED}}} > 0"),
        bad="2+0x30",
        good="0+0x30",
        hold="1m",
        severity="critical",
        summary="A test of {{ $labels.suite }} both passed and failed on the same code",
        description="{{ $value }} tests were flaky in the last run.",
        next_step="“Flaky tests” names each and the commit of its first time. A race in the service"
        " looks the same as one in the test: replay it with its seed before excusing it.",
        truth=lambda facts, _: any(test["flaky"] for test in facts.report["tests"]),
        own=(("suite", "e2e"),),
    )


def _flaky() -> tuple[Observable, ...]:
    alert = _was_flaky()

    def counts(facts: Facts) -> Mapping[Any, float]:
        found: dict[Any, float] = dict.fromkeys(facts.report["suites"], 0)
        for test in facts.report["tests"]:
            found[test["suite"]] += bool(test["flaky"])
        return found

    def rates(facts: Facts) -> Mapping[Any, float]:
        flaky = facts.report["flaky"]
        return {(f["test"], f["first_seen"] or "unknown"): f["rate"] for f in flaky}

    count = reported("flaky tests of each suite", counts, "suite")
    named = reported("the flaky tests' rates", rates, "test", "first_seen")
    return (
        Observable(
            "flaky_tests",
            "Flaky tests by suite",
            "Tests that both passed and failed on the same code, by suite.",
            panel("stat", "short", *COUNT, width=12),
            (Query(last("ci_flaky_tests"), "{{suite}}", count),),
            alert.next_step,
            alerts=(alert,),
        ),
        Observable(
            "flaky_named",
            "Flaky tests",
            "Each flaky test, the commit at which it was first seen to be, and how often.",
            panel("table", "percentunit", width=24),
            (Query(last("ci_flaky_test_info"), "{{test}}", named),),
            alert.next_step,
            no_alert="The number of flaky tests alerts.",
        ),
    )


def _gates() -> tuple[Observable, ...]:
    def all_gates(facts: Facts) -> Mapping[Any, float]:
        return {g["name"]: g["status"] == "passed" for g in facts.report["gates"]}

    def findings(facts: Facts) -> Mapping[Any, float]:
        tools = {"lint": "ruff", "types": "mypy"}
        told = (g for g in facts.report["gates"] if g["name"] in tools)
        return {tools[g["name"]]: g["value"] for g in told if g["value"] is not None}

    gates = reported("1 for each gate that passed", all_gates, "gate")
    lint = reported("what lint and types found", findings, "tool")
    return (
        _migrations(),
        Observable(
            "gates",
            "Gates",
            "Every gate of the last run: passed, or missed, or unknown.",
            panel("stat", "bool_yes_no", *OK),
            (Query(last("ci_gate_ok"), "{{gate}}", gates),),
            "The job's summary says by how much a gate was missed.",
            no_alert=QUIET,
        ),
        Observable(
            "lint_findings",
            "Lint and type findings",
            "What linter and type checker found in the last run.",
            panel("stat", "short", *COUNT),
            (Query(last("ci_lint_findings"), "{{tool}}", lint),),
            "Run `make check` on a laptop.",
            no_alert=QUIET,
        ),
    )


def _migrations() -> Observable:
    prefix = "migrations-"

    def each(facts: Facts) -> Mapping[Any, float]:
        gates = (g for g in facts.report["gates"] if g["name"].startswith(prefix))
        return {g["name"].removeprefix(prefix): g["status"] == "passed" for g in gates}

    alert = on_gauge(
        *("CIMigrationFailed", "ci_migration_ok", f"ci_migration_ok{{{OWNED}}} == 0"),
        bad="0+0x30",
        good="1+0x30",
        hold="1m",
        severity="critical",
        summary="Migrations do not hold on {{ $labels.database }}",
        description="The schema after all migrations is not what the code expects, or data were"
        " lost (ci_migration_ok is {{ $value }}).",
        next_step="Deploy nothing. Run the migration's gate on a copy: it names the table.",
        truth=lambda facts, _: not all(each(facts).values()),
        own=(("database", "postgres"),),
    )
    told = reported("1 for each database whose migrations hold", each, "database")
    return Observable(
        "migrations",
        "Migrations hold",
        "Whether all migrations lead from the oldest schema to the code's own and keep the data.",
        panel("stat", "bool_yes_no", *OK),
        (Query(last("ci_migration_ok"), "{{database}}", told),),
        alert.next_step,
        alerts=(alert,),
    )


def _security() -> Observable:
    def groups(facts: Facts) -> Mapping[Any, float]:
        found: dict[Any, float] = {}
        for test in facts.report["tests"]:
            if test["suite"] == "security":
                stem = test["id"].split("::")[0].split("/")[-1].removesuffix(".py")
                group = stem.removeprefix("test_")
                found[group] = found.get(group, 0) + (test["result"] == "failed")
        return found

    alert = on_gauge(
        *("CISecuritySuiteFailed", "ci_security_failures"),
        f"ci_security_failures{{{OWNED}}} > 0",
        bad="3+0x30",
        good="0+0x30",
        hold="1m",
        severity="critical",
        summary="The security suite failed in {{ $labels.group }}",
        description="{{ $value }} tests of it found a way in.",
        next_step="Open the report: each says what a stranger could do. Where the same code is in"
        " production, treat it as an incident.",
        truth=lambda facts, _: any(groups(facts).values()),
        own=(("group", "webhooks"),),
    )
    told = reported("failed security tests by file", groups, "group")
    return Observable(
        "security",
        "Security suite",
        "Failed tests of the security suite, by what they look at.",
        panel("bargauge", "short", Threshold("green"), Threshold("red", 1), width=12),
        (Query(last("ci_security_failures"), "{{group}}", told),),
        alert.next_step,
        alerts=(alert,),
    )


def _kills() -> Observable:
    def ratios(facts: Facts) -> Mapping[Any, float]:
        killed: dict[str, list[bool]] = {}
        for defect in facts.matrix.get("defects", ()):
            killed.setdefault(defect["group"], []).append(defect["status"] == "killed")
        return {group: sum(found) / len(found) for group, found in killed.items()}

    told = reported("share of defects that were killed, by group", ratios, "group")
    return Observable(
        "kill_ratio",
        "Defects found",
        "The share of deliberate defects that the suites found, by group.",
        panel(
            *("bargauge", "percentunit", Threshold("red")),
            *(Threshold("yellow", 0.8), Threshold("green", 0.95)),
            width=12,
        ),
        (Query(last("ci_kill_ratio"), "{{group}}", told),),
        "A group that fell: some check was weakened; the matrix names the survivors.",
        no_alert="The kill score is a gate of the run.",
    )
