"""The panels of a pipeline's last run and of its time, as the merging job pushed them once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboards.observables.alerts import on_gauge
from dashboards.observables.model import Observable, Panel, Query, Section, Threshold
from dashboards.observables.pushed import COUNT, OK, OWNED, QUIET, last, panel, read
from dashboards.observables.queries import select
from dashboards.oracles import EXACT, NOBODY, Oracle, reported

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dashboards.facts import Facts, Moment
    from dashboards.objectives import Objectives
    from dashboards.observables.model import Alert


def pipeline(objectives: Objectives) -> tuple[Section, ...]:
    """Give the sections of the last run and its time."""
    return (
        Section("The last run", (_success(), run_age(objectives), _success_rate(), *_tests())),
        Section("Time", (_duration(objectives), *_parts(), *_slow())),
    )


def _success() -> Observable:
    alert = on_gauge(
        *("CIRunFailed", "ci_run_success", f"ci_run_success{{{OWNED}}} == 0"),
        bad="0+0x30",
        good="1+0x30",
        hold="1m",
        severity="critical",
        summary="The last run on {{ $labels.branch_class }} of {{ $labels.repository }} failed",
        description="It was invalid, or a gate was missed (ci_run_success is {{ $value }}).",
        next_step="Open the job's summary: its first line names the verdict, then who is out how"
        " much. Do not deploy.",
        truth=lambda facts, _: facts.report["exit_status"] != 0,
    )
    return Observable(
        "run_success",
        "Last run",
        "Whether the last run was valid and every gate passed.",
        panel("stat", "bool_yes_no", *OK),
        (
            Query(
                last("ci_run_success"),
                "valid",
                reported(
                    "1 where the report's exit status is 0",
                    lambda facts: {(): facts.report["exit_status"] == 0},
                ),
            ),
        ),
        alert.next_step,
        alerts=(alert,),
    )


def _aged(facts: Facts, moment: Moment) -> Mapping[Any, float]:
    ended_s = facts.report["started_at"] + facts.report["duration_s"]
    return {NOBODY: moment.end_s - ended_s}


def _stale(stamp: str, limit_s: float) -> Alert:
    by = "job, repository, branch_class"
    stale = f"time() - max by ({by}) ({stamp}{{{OWNED}}}) > {limit_s:g}"
    return on_gauge(
        *("CIDataStale", stamp, stale),
        bad="0+0x660",
        good=f"{7200}+0x660",
        hold="10m",
        severity="warning",
        summary="No run of {{ $labels.repository }} has told of itself for long",
        description="The last word is {{ $value | humanizeDuration }} old; every panel shows that"
        " old run.",
        next_step="Does the merging job still run, and does its last step say that it pushed?",
        truth=lambda facts, moment: _aged(facts, moment)[NOBODY] > limit_s,
        told="1d 3h 0m 0s",
        eval_time="27h",
    )


def run_age(objectives: Objectives) -> Observable:
    """Give the age of what every pushed panel shows."""
    stamp = "ci_run_timestamp_seconds"
    alert = _stale(stamp, objectives.stale_after_s)
    return Observable(
        "data_age",
        "Age of the data",
        "How long ago the run ended that every panel here shows.",
        panel(
            *("stat", "s"),
            Threshold("green"),
            Threshold("yellow", objectives.stale_after_s / 2),
            Threshold("red", objectives.stale_after_s),
        ),
        (
            Query(
                f"time() - {last(stamp)}",
                "age",
                Oracle(_aged, EXACT, ("report",), "now, less when the report's run ended"),
            ),
        ),
        alert.next_step,
        alerts=(alert,),
    )


def _success_rate() -> Observable:
    return Observable(
        "success_rate",
        "Successful runs, 30 days",
        "The share of the runs of the last 30 days that were valid with every gate passed.",
        Panel(
            *("gauge", "percentunit", 8),
            (Threshold("red"), Threshold("yellow", 0.8), Threshold("green", 0.95)),
            minimum=0,
            maximum=1,
            no_value="not told",
        ),
        (
            Query(
                last("ci_run_success_ratio"),
                "successful",
                reported("the record's success rate", read("success_rate_30d")),
            ),
        ),
        "Sort what failed by test: a few flaky ones usually make most of it.",
        no_alert=QUIET,
    )


def _tests() -> tuple[Observable, ...]:
    def by_result(facts: Facts) -> Mapping[Any, float]:
        suites = facts.report["suites"]
        return {(suite, result): n for suite in suites for result, n in suites[suite].items()}

    results = reported("tests of each suite by result", by_result, "suite", "result")
    return (
        Observable(
            "tests_by_result",
            "Tests by result",
            "Tests of each suite that passed, failed, were skipped, or could not know.",
            panel("bargauge", "short", Threshold("green"), width=12),
            (Query(last("ci_tests"), "{{suite}} {{result}}", results),),
            "Open the report: each failed test says whose money is wrong.",
            no_alert=QUIET,
        ),
        Observable(
            "tests_trend",
            "Tests by result, over time",
            "The same over the chosen time: a falling number that passed needs a reason.",
            Panel("timeseries", "short"),
            (
                Query(
                    f"sum by (result) ({select('ci_tests')})",
                    "{{result}}",
                    reported("tests by result", _totals, "result"),
                ),
            ),
            "A fall without a commit that removed tests: look at the next panel.",
            no_alert="Tests that vanish make the run itself fail.",
        ),
        _wholeness(),
    )


def _totals(facts: Facts) -> Mapping[Any, float]:
    totals: dict[Any, float] = {}
    for counts in facts.report["suites"].values():
        for result, count in counts.items():
            totals[result] = totals.get(result, 0) + count
    return totals


def _wholeness() -> Observable:
    return Observable(
        "wholeness",
        "Tests expected, against tests run",
        "Tests that there are, and tests that some partition was given; both must be the same.",
        panel("bargauge", "short", Threshold("blue"), width=24),
        (
            Query(
                last("ci_tests_expected"),
                "expected",
                reported("the report's expected tests", read("expected")),
            ),
            Query(
                last("ci_tests_collected"),
                "run",
                reported("the report's collected tests", read("collected")),
            ),
        ),
        "A partition left no report, or collected another tree: the summary names it.",
        no_alert="A run with a hole is unknown, which its success already alerts on.",
    )


def _duration(objectives: Objectives) -> Observable:
    limit_s = objectives.suite_duration_s
    alert = on_gauge(
        *("CISuiteSlow", "ci_run_duration_seconds"),
        f"ci_run_duration_seconds{{{OWNED}}} > {limit_s:g}",
        bad=f"{limit_s + 1:g}+0x30",
        good=f"{limit_s:g}+0x30",
        hold="1m",
        severity="warning",
        summary="The suites take longer than they may",
        description=f"They took {{{{ $value }}}} s from first start to last end; {limit_s:g} s are"
        " allowed.",
        next_step="Compare the slowest partition with the ideal: far apart, the shares are uneven,"
        " so record durations anew; near, add a partition or mend the slowest tests.",
        truth=lambda facts, _: facts.report["duration_s"] > limit_s,
    )
    return Observable(
        "run_duration",
        "Duration of the suites",
        f"From the first partition's start to the last one's end; the goal is {limit_s:g} s.",
        Panel("timeseries", "s", 12, (Threshold("green"), Threshold("red", limit_s))),
        (
            Query(
                last("ci_run_duration_seconds"),
                "duration",
                reported("the report's duration", read("duration_s")),
            ),
        ),
        alert.next_step,
        alerts=(alert,),
    )


def _parts() -> tuple[Observable, ...]:
    return _balance(), _suites()


def _balance() -> Observable:
    each = select("ci_partition_duration_seconds")

    def spans(facts: Facts) -> list[float]:
        return [part["duration_s"] for part in facts.report["partitions"]]

    return Observable(
        "partition_balance",
        "Slowest partition, against the ideal",
        "What the slowest partition took, and what each would take were all of one length.",
        Panel("timeseries", "s"),
        (
            Query(
                f"max ({each})",
                "slowest",
                reported("the longest partition", lambda f: {(): max(spans(f))}),
            ),
            Query(
                f"avg ({each})",
                "ideal",
                reported("sum over number", lambda f: {(): sum(spans(f)) / len(spans(f))}),
            ),
        ),
        "Record durations anew; one test that alone is longer than the ideal must be split.",
        no_alert="The whole duration alerts.",
    )


def _suites() -> Observable:
    def own(facts: Facts) -> Mapping[Any, float]:
        sums: dict[Any, float] = dict.fromkeys(facts.report["suites"], 0.0)
        for test in facts.report["tests"]:
            sums[test["suite"]] += test["duration_s"]
        return sums

    return Observable(
        "suite_duration",
        "Duration of each suite's tests",
        "What the tests of each suite took together, in all partitions.",
        panel("bargauge", "s", Threshold("blue"), width=12),
        (
            Query(
                last("ci_suite_duration_seconds"),
                "{{suite}}",
                reported("sum of the suite's tests", own, "suite"),
            ),
        ),
        "The suite that grew is where to look for a wait without a condition.",
        no_alert="The whole duration alerts.",
    )


def _slow() -> tuple[Observable, ...]:
    def slowest(facts: Facts) -> Mapping[Any, float]:
        tests = sorted(facts.report["tests"], key=lambda test: -float(test["duration_s"]))[:10]
        return {(rank, t["id"]): t["duration_s"] for rank, t in enumerate(tests, start=1)}

    return (
        Observable(
            "slowest_tests",
            "Slowest tests",
            "The ten tests that took longest.",
            panel("table", "s", width=12),
            (
                Query(
                    last("ci_slowest_test_seconds"),
                    "{{test}}",
                    reported("the ten longest tests", slowest, "rank", "test"),
                ),
            ),
            "Does it wait for time to pass? Let it await a condition, or move a clock.",
            no_alert="The whole duration alerts.",
        ),
        Observable(
            "newly_slow",
            "Newly slow tests",
            "Tests that took more than twice what they used to.",
            panel("stat", "short", *COUNT, width=24),
            (
                Query(
                    last("ci_newly_slow_tests"),
                    "newly slow",
                    reported(
                        "the report's newly slow tests", lambda f: {(): len(f.report["newly_slow"])}
                    ),
                ),
            ),
            "All at once: the runner was busy. One alone: the commit that changed it.",
            no_alert="The whole duration alerts.",
        ),
    )
