"""Flaky tests are found, named with their rate, and excused only where nothing is at stake."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ci.merge import Merged, MergeOptions, merge
from ci.record import Ran, flakes, newly_slow, read_record, success_rate, write_record
from harness.errors import SettingsError
from harness.flaky import tried_again
from tests.ci.making import ALL, SECURITY, made, make_part

if TYPE_CHECKING:
    from pathlib import Path

    from harness.report.results import TestResult

TODAY = datetime.now(UTC).date()
SOON, PAST = TODAY + timedelta(days=30), TODAY - timedelta(days=1)
BY_A_CHECK = {"check": "books-equal-provider", "message": "2900 too much", "call": None}


def test_a_test_that_passes_alone_is_flaky_and_unknown() -> None:
    """It said two things of one target: neither a failure nor a pass."""
    first = made(ALL[0], result="failed", reason="5 units, not 4")
    again = tried_again(first, "passed")
    assert (again.flaky, again.result, again.findings) == (True, "unknown", ())
    assert "5 units, not 4" in str(again.reason)
    assert tried_again(first, "failed") == first
    assert tried_again(first, "unknown") == first


@pytest.mark.parametrize(
    "more",
    [{"requirements": ("BH-1",)}, {"suite": "security"}, {"findings": (BY_A_CHECK,)}],
)
def test_what_was_seen_of_money_or_security_stays_a_failure(more: dict[str, Any]) -> None:
    """A second try that passes takes nothing back: flaky, and still failed."""
    first = made(ALL[0], result="failed", reason="2900 too much", **more)
    again = tried_again(first, "passed")
    assert (again.flaky, again.result, again.findings) == (True, "failed", first.findings)


FLAKY = made(ALL[0], result="unknown", flaky=True, reason="flaky: it passed when run again alone")
FAILING = made(ALL[0], result="failed", reason="not built yet")
MONEY = made(ALL[0], result="failed", flaky=True, requirements=("BH-3",), reason="2900 too much")


def merged(tmp_path: Path, first: TestResult, excuses: str | None = None) -> Merged:
    """Merge one partition whose first test is this one, with a file of excuses."""
    make_part(tmp_path / "parts", 1, 1, [first, *(made(test) for test in ALL[1:])])
    file = tmp_path / "excuses.toml"
    if excuses is not None:
        file.write_text(excuses)
    return merge(
        [tmp_path / "parts"],
        tmp_path / "out",
        MergeOptions(
            coverage_min=0, coverage_webhooks_min=0, excuses=file if excuses is not None else None
        ),
    )


def quarantine(test: str, deadline: object) -> str:
    """Write a list with one test in quarantine."""
    return (
        f'[[quarantine]]\ntest = "{test}"\nowner = "ada"\nreason = "a race"\n'
        f"deadline = {deadline}\n"
    )


def known(test: str, deadline: object) -> str:
    """Write a list with one test that is known to fail."""
    return f'[[known_failing]]\ntest = "{test}"\nissue = "#12"\ndeadline = {deadline}\n'


@pytest.mark.parametrize(
    ("first", "excuses", "status"),
    [
        (FLAKY, None, 2),
        (FLAKY, quarantine(ALL[0], SOON), 0),
        (FLAKY, quarantine(ALL[0], PAST), 2),
        (FLAKY, quarantine(ALL[1], SOON), 2),
        (MONEY, None, 1),
        (FAILING, None, 1),
        (FAILING, quarantine(ALL[0], SOON), 1),
        (FAILING, known(ALL[0], SOON), 2),
        (FAILING, known(ALL[0], PAST), 1),
        (made(ALL[0]), known(ALL[0], SOON), 1),
        (made(ALL[0]), known(ALL[0], PAST), 0),
    ],
    ids=range(11),
)
def test_only_a_valid_excuse_lets_a_flaky_test_pass(
    first: TestResult, excuses: str | None, status: int, tmp_path: Path
) -> None:
    """Quarantine excuses flakiness until its deadline; what is known to fail must go on failing."""
    found = merged(tmp_path, first, excuses)
    assert found.exit_status == status
    if excuses and str(PAST) in excuses:
        assert "is excused no longer" in " ".join(found.notes)


@pytest.mark.parametrize(
    ("first", "excuses", "words"),
    [
        (MONEY, quarantine(ALL[0], SOON), "it is about money or security (BH-3)"),
        (FLAKY, quarantine(SECURITY[0], SOON), "it is about money or security (security)"),
        (FLAKY, quarantine(ALL[0], SOON) * 2, "it stands here twice"),
        (FLAKY, quarantine(ALL[0], SOON).replace("owner", "boss"), "quarantine.1.owner"),
        (FLAKY, quarantine(ALL[0], '"soon"'), "quarantine.1.deadline"),
        (FLAKY, "[[quarantine]", "is no TOML"),
        (FLAKY, "", "is empty"),
    ],
    ids=range(7),
)
def test_a_mistake_in_the_list_is_told_at_once(
    first: TestResult, excuses: str, words: str, tmp_path: Path
) -> None:
    """Money and security cannot be excused, and a list that cannot be read excuses nothing."""
    with pytest.raises(SettingsError) as refused:
        merged(tmp_path, first, excuses)
    assert words in refused.value.message


def test_an_entry_about_no_test_is_told(tmp_path: Path) -> None:
    """A test that was renamed is noticed, and the list changes nothing."""
    found = merged(tmp_path, made(ALL[0]), quarantine("suites/e2e/test_a.py::gone", SOON))
    assert "gone is excused, and no test is called so here" in " ".join(found.notes)
    assert found.exit_status == 0


def run(number: int, result: str = "passed", **more: Any) -> Ran:
    """Make a run of one test, each of a commit of its own."""
    told = {"verdict": "valid", "exit_status": 0, "duration_s": 9.0, "branch": "main"}
    tests = {ALL[0]: (result, 1.0)}
    return Ran(**{"at": float(number), "commit": f"c{number}", "tests": tests, **told, **more})


def test_a_test_that_fails_every_third_time_has_its_rate(tmp_path: Path) -> None:
    """Over nine merges it is flaky in three: its rate, and the commit where it was first seen."""
    record, found = tmp_path / "record.jsonl", None
    for number in range(9):
        first = FLAKY if number % 3 == 2 else made(ALL[0])
        folder = tmp_path / str(number)
        make_part(folder, 1, 1, [first, *map(made, ALL[1:])], commit=f"c{number}")
        options = MergeOptions(coverage_min=0, coverage_webhooks_min=0, record=record)
        found = merge([folder], tmp_path / "out", options)
    assert found
    (flake,) = found.flakes
    assert (flake.test, flake.runs, flake.first_seen) == (ALL[0], 9, "c2")
    assert flake.rate == pytest.approx(1 / 3)
    told = json.loads((tmp_path / "out" / "report.json").read_text())["flaky"]
    assert told[0]["first_seen"] == "c2"


def test_one_commit_of_two_minds_is_flaky() -> None:
    """Failed in one run and passed in the next of the same commit: flaky, without a second try."""
    runs = [run(1, "failed", commit="same"), run(2, commit="same"), run(3, "failed")]
    (flake,) = flakes(runs)
    assert (round(flake.rate, 3), flake.first_seen) == (0.333, "same")
    dirty = [run(1, "failed", commit="same-dirty"), run(2, commit="same-dirty")]
    assert flakes(dirty) == []


def test_a_test_that_became_slow_is_told() -> None:
    """Twice the median of three earlier runs, and half a second more, is newly slow."""
    earlier = [run(number) for number in range(3)]
    slow = run(9, tests={ALL[0]: ("passed", 2.6)})
    assert [each.test for each in newly_slow([*earlier, slow])] == [ALL[0]]
    assert newly_slow([*earlier[:2], slow]) == []
    assert newly_slow([*earlier, run(9, tests={ALL[0]: ("passed", 1.9)})]) == []
    assert newly_slow([]) == []


def test_a_damaged_line_of_the_record_is_passed_over_and_told(tmp_path: Path) -> None:
    """What can be read counts; what cannot is said."""
    path = tmp_path / "record.jsonl"
    write_record(path, [run(1), run(2)])
    path.write_text(path.read_text() + '{"at": \n[]\n')
    runs, told = read_record(path)
    assert [each.at for each in runs] == [1.0, 2.0]
    assert "2 lines" in told[0]
    assert read_record(tmp_path / "none") == ([], [])


def test_the_success_rate_counts_the_last_month() -> None:
    """Runs that ended with 0, of those since then; nothing is known without any."""
    runs = [run(1, exit_status=1), run(5), run(6, exit_status=2), run(7, exit_status=99), run(8)]
    assert success_rate(runs, 5.0) == 0.5
    assert success_rate(runs, 9.0) is None
