"""What the gauntlet makes of runs: who was killed, by whom, and what is not known."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import GauntletError
from harness.found import BLIND, function_of
from harness.gauntlet.hunt import CLEAN, Hunt, Killer, Status, judge
from harness.gauntlet.matrix import Matrix
from harness.gauntlet.mutants import (
    Mutant,
    chosen,
    likely_killers,
    own_mutants,
    reference_mutants,
)
from harness.report.page import matrix_page

TEST = "suites/e2e/test_paid.py::test_each_usage_is_charged[twice]"
DOUBLE = Mutant("double", "money", "Charges twice.", "once", ("charges_are_explained",))


def finding(check: str | None = None, test: str | None = TEST) -> dict[str, Any]:
    """Make a finding as a run tells it."""
    return {"check": check, "test": test, "message": "charged twice"}


def facts(*findings: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Make a run's facts."""
    told = {"findings": list(findings), "performed": 7, "trouble": [], "doubts": [], "tests": []}
    return told | more


def test_what_the_defect_is_for_kills_it() -> None:
    """A finding of the declared check is a kill, and names suite, test and check."""
    hunt = judge(DOUBLE, facts(finding(), finding("charges_are_explained")), seconds=1.5)
    assert hunt.status == "killed"
    assert hunt.killer == Killer(
        "e2e", "test_each_usage_is_charged", "charges_are_explained", "charged twice"
    )
    assert (hunt.operations, hunt.seconds, hunt.reason) == (7, 1.5, None)


def test_a_declared_test_kills_by_its_own_assertion_only() -> None:
    """What a check finds during a test is the check's, not the test's."""
    mutant = replace(DOUBLE, found_by=(function_of(TEST),))
    assert judge(mutant, facts(finding()), seconds=1).status == "killed"
    assert judge(mutant, facts(finding("another")), seconds=1).status == "incidental"


def test_another_finding_is_incidental() -> None:
    """What was found for another reason is told, and is no intended kill."""
    hunt = judge(DOUBLE, facts(finding("balance_equals_ledger")), seconds=1)
    assert hunt.status == "incidental"
    assert hunt.killer is not None
    told = hunt.to_json()
    assert (told["killed"], told["killed_as_intended"]) == (True, False)


def test_a_500_kills_nothing() -> None:
    """Outcomes that nobody can interpret are doubts: the mutant has survived, and why is told."""
    hunt = judge(DOUBLE, facts(doubts=["3 tests unknown, the first: HTTP 500"]), seconds=1)
    assert (hunt.status, hunt.killer) == ("survived", None)
    assert hunt.reason == "3 tests unknown, the first: HTTP 500"


@pytest.mark.parametrize(
    ("told", "trouble", "reason"),
    [
        (None, "not done within 5 s", "not done within 5 s"),
        (None, None, "the log's end"),
        ({"error": {"message": "nothing answers"}}, None, "nothing answers"),
        (facts(trouble=["test_x could not be collected"]), None, "test_x could not be collected"),
        (facts(), "the run broke off: ended by SIGKILL", "the run broke off: ended by SIGKILL"),
    ],
)
def test_a_run_that_broke_off_proves_nothing(
    told: dict[str, Any] | None, trouble: str | None, reason: str
) -> None:
    """A mutant whose run did not come to its end is unknown, never a survivor, never a kill."""
    hunt = judge(DOUBLE, told, seconds=1, trouble=trouble, tail="the log's end")
    assert (hunt.status, hunt.reason) == ("unknown", reason)


def test_a_mistake_that_nothing_looks_for_survives() -> None:
    """Where no check and no test has a name that the defect is for, no run is needed to know."""
    hunt = judge(DOUBLE, facts(trouble=[f"{BLIND} x"]), seconds=1)
    assert (hunt.status, hunt.reason) == ("survived", f"{BLIND} x")


def test_an_adopters_mutant_is_killed_by_any_finding() -> None:
    """Where nobody declared who ought to find it, whoever does is right."""
    assert judge(Mutant("own"), facts(finding()), seconds=1).status == "killed"


def matrix(*statuses: Status, alarms: int = 0, **more: Any) -> Matrix:
    """Make a matrix of mutants of which this came."""
    hunts = tuple(
        Hunt(replace(DOUBLE, name=f"m{number}"), status) for number, status in enumerate(statuses)
    )
    clean = Hunt(CLEAN, "survived", findings=tuple(finding() for _ in range(alarms)))
    given: dict[str, Any] = {"clean": clean, "started_at": 0.0, "duration_s": 1.0} | more
    return Matrix("reference", 1, ("e2e",), hunts, **given)


@pytest.mark.parametrize(
    ("made", "status"),
    [
        (matrix("killed", "killed"), 0),
        (matrix("killed", alarms=1), 1),
        (matrix("survived", alarms=1), 1),
        (matrix("killed", "survived"), 99),
        (matrix("killed", "incidental"), 99),
        (matrix("killed", "survived", "unknown"), 99),
        (matrix("killed", "survived", min_score=0.5), 0),
        (matrix("killed", "unknown"), 2),
        (matrix("killed", clean=None), 2),
        (matrix("killed", clean=Hunt(CLEAN, "unknown", reason="it never started")), 2),
        (matrix("killed", interrupted=True), 130),
    ],
)
def test_the_exit_status_tells_the_worst(made: Matrix, status: int) -> None:
    """False alarms come before what was missed, and that before what is not known."""
    assert made.exit_status == status


@given(
    st.lists(st.sampled_from(get_args(Status)), max_size=6),
    st.sampled_from([{}, {"clean": None}, {"interrupted": True}]),
)
def test_a_matrix_is_never_complete_by_omission(
    statuses: list[Status], more: dict[str, Any]
) -> None:
    """Whatever came of it: complete means that everything was tried and everything is known."""
    made = matrix(*statuses, **more)
    told = made.to_json()
    assert told["complete"] == (not more and "unknown" not in statuses)
    assert len(told["survivors"]) == len(statuses) - statuses.count("killed")
    if made.exit_status == 0:
        assert told["complete"]


def test_a_matrix_that_is_not_complete_says_partial() -> None:
    """Who reads only the headline reads that something is missing."""
    assert matrix("killed", "unknown").headline().endswith("; partial")
    assert "partial" not in matrix("killed").headline()


def test_the_page_tells_survivors_first_and_escapes_the_targets_text() -> None:
    """What was missed heads the page; text of the target's never becomes markup."""
    hostile = Killer("e2e", "test_x", None, "<script>alert(1)</script>")
    made = matrix("survived")
    killed = Hunt(replace(DOUBLE, name="found-one"), "killed", killer=hostile)
    page = matrix_page(replace(made, hunts=(killed, *made.hunts)).to_json())
    assert page.index("m0") < page.index("found-one")
    assert "<script>" not in page
    assert "1 of 2 killed" in page


def test_the_reference_lists_defects_with_what_finds_them() -> None:
    """Each has a sentence, an invariant, and somebody who ought to find it."""
    mutants = reference_mutants()
    assert "canary" in {mutant.name for mutant in mutants}
    for mutant in mutants:
        assert mutant.mistake.endswith("."), mutant
        assert mutant.invariant, mutant
        assert mutant.found_by, mutant
        assert set(mutant.found_by) <= set(likely_killers(mutant))


@pytest.mark.parametrize(
    ("names", "groups", "said"),
    [(["nope"], [], "no defect 'nope'"), ([], ["mony"], "no group of defects 'mony'")],
)
def test_what_does_not_exist_is_told(names: list[str], groups: list[str], said: str) -> None:
    """An unknown defect or group is refused, with what there is."""
    with pytest.raises(GauntletError, match=said) as refusal:
        chosen([DOUBLE], names, groups)
    assert refusal.value.hint is not None
    assert "double" in refusal.value.hint or "money" in refusal.value.hint


def test_an_adopters_command_must_say_where_the_defect_goes() -> None:
    """Without a placeholder every mutant is the clean service; without names there is none."""
    with pytest.raises(GauntletError, match="where the defect goes"):
        own_mutants("acme serve", ["a"])
    with pytest.raises(GauntletError, match="no list of defects"):
        own_mutants("acme serve --bug {defect}", [])
    (mutant,) = own_mutants("acme serve --bug {defect}", ["a"])
    assert (mutant.command, mutant.found_by) == ("acme serve --bug a", ())


def test_the_matrix_is_plain_data() -> None:
    """What is written for machines survives JSON, and has the fields that it promises."""
    told = json.loads(json.dumps(matrix("killed").to_json()))
    row = {"name", "group", "invariant", "killed", "killed_by", "killed_as_intended"}
    assert row | {"operations", "seconds"} <= set(told["defects"][0])
    assert told["false_alarms"] == []
