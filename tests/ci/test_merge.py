"""The merge of partitions is one truth: whole it is valid, and no hole in it looks green."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from ci.jobs import Job
from ci.junit import read_junit
from ci.local import figures
from ci.merge import Merged, MergeOptions, merge
from ci.reading import XML_BYTES_MAX
from harness.history import read_histories
from harness.partition import Durations
from tests.ci.making import (
    ALL,
    FALSE,
    HANDLER,
    PLAIN,
    TRUE,
    change,
    made,
    make_coverage,
    make_part,
    make_parts,
    make_service,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NO_COVERAGE = MergeOptions(coverage_min=0, coverage_webhooks_min=0)


def merged(folder: Path, options: MergeOptions = NO_COVERAGE) -> Merged:
    """Merge what lies in a folder."""
    return merge([folder / "parts"], folder / "out", options)


def test_whole_parts_are_one_valid_run(tmp_path: Path) -> None:
    """Every test stands once in results and JUnit, calls are named by partition, time is sorted."""
    make_parts(tmp_path / "parts", 3)
    found = merged(tmp_path, MergeOptions(partitions=3, coverage_min=0, coverage_webhooks_min=0))
    assert (found.results.verdict, found.exit_status, found.gaps) == ("valid", 0, ())
    assert [test.id for test in found.results.tests] == list(ALL)
    assert [case.id for case in read_junit(tmp_path / "out" / "junit.xml")] == [
        *(test for test in ALL if "/e2e/" in test),
        *(test for test in ALL if "/security/" in test),
    ]
    records = read_histories([tmp_path / "out" / "history.jsonl"])
    assert {r.id for r in records} == {f"p{i}-main-{n}" for i in (1, 2, 3) for n in (1, 2)}
    assert found.results.checks[0].examined == 6
    facts = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (facts["expected"], facts["collected"], facts["customers"]) == (6, 6, 6)
    assert [seen["count"] for seen in facts["sometimes"]] == [1 + 2 + 3]
    assert "valid" in (tmp_path / "out" / "report.html").read_text()


def test_a_failure_in_one_part_is_invalid(tmp_path: Path) -> None:
    """The verdict is computed from the tests, whatever a part says of itself."""
    first, _ = make_parts(tmp_path / "parts")
    shutil.rmtree(first)
    failing = made(ALL[0], result="failed", reason="2900 too much", requirements=("BH-1",))
    tests = [failing, *(made(test) for test in ALL[2::2])]
    change(make_part(tmp_path / "parts", 1, 2, tests), verdict="valid")
    found = merged(tmp_path)
    assert (found.results.verdict, found.exit_status) == ("invalid", 1)


def half_its_tests(place: Path) -> None:
    """Leave half of the tests out of the report."""
    data = json.loads((place / "report.json").read_text())
    change(place, tests=data["tests"][: len(data["tests"]) // 2])


def another_result_in_junit(place: Path) -> None:
    """Have JUnit say that a test failed."""
    path = place / "junit.xml"
    path.write_text(
        path.read_text().replace("/>\n  </testsuite>", "><failure/></testcase></testsuite>", 1)
    )


def half_the_history(place: Path) -> None:
    """Leave half of the history out."""
    lines = (place / "history.jsonl").read_text().splitlines()
    (place / "history.jsonl").write_text("\n".join(lines[:3]) + "\n")


def twins(place: Path) -> None:
    """Leave the same partition twice."""
    shutil.copytree(place, place.with_name("again"))


def a_bomb(place: Path) -> None:
    """Leave XML whose entities grow."""
    entities = '<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">'
    (place / "junit.xml").write_text(f"<!DOCTYPE x [{entities}]><testsuites>&b;</testsuites>")


def too_large(place: Path) -> None:
    """Leave more than is read."""
    with (place / "junit.xml").open("wb") as file:
        file.truncate(XML_BYTES_MAX + 1)


def one_test_twice(place: Path) -> None:
    """Tell of the first test twice."""
    tests = json.loads((place / "report.json").read_text())["tests"]
    change(place, tests=[tests[0], *tests])


def rename_in_junit(place: Path) -> None:
    """Have JUnit call a test otherwise."""
    path = place / "junit.xml"
    path.write_text(path.read_text().replace('name="test_two"', 'name="test_ghost"'))


HOLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut out": (shutil.rmtree, "partition 2 of 2 is missing"),
    "without report": (lambda p: (p / "report.json").unlink(), "report.json is missing"),
    "empty report": (lambda p: (p / "report.json").write_text(""), "is empty"),
    "torn report": (lambda p: (p / "report.json").write_text('{"tests": ['), "is no JSON"),
    "deep report": (lambda p: (p / "report.json").write_text("[" * 200_000), "is no JSON"),
    "other report": (lambda p: (p / "report.json").write_text("[]"), "no report of a partition"),
    "half its tests": (half_its_tests, "fewer tests ran than were collected"),
    "without JUnit": (lambda p: (p / "junit.xml").unlink(), "junit.xml is missing"),
    "torn JUnit": (lambda p: (p / "junit.xml").write_text("<testsuites>"), "is no XML"),
    "other JUnit": (lambda p: (p / "junit.xml").write_text("<html/>"), "is no JUnit"),
    "bomb as JUnit": (a_bomb, "declares a document type"),
    "large JUnit": (too_large, "is larger than"),
    "JUnit of another mind": (another_result_in_junit, "does not agree with the report"),
    "without history": (lambda p: (p / "history.jsonl").unlink(), "history.jsonl is missing"),
    "half the history": (half_the_history, "where 2 were performed"),
    "torn history": (
        lambda p: (p / "history.jsonl").write_text("{\n{}\n"),
        "is not a line of a history",
    ),
    "twice": (twins, "partition 2 of 2 came 2 times"),
    "of another N": (lambda p: change(p, total=3), "N changed between runs"),
    "beyond N": (lambda p: change(p, index=3, total=3), "partition 2 of 3 is missing"),
    "other commit": (lambda p: change(p, commit="deadbeef"), "which commit they are of"),
    "other durations": (lambda p: change(p, durations_digest="d1"), "the shares were cut by"),
    "other version": (lambda p: change(p, versions={"billing-harness": "9"}), "which versions"),
    "other target": (lambda p: change(p, target="acme"), "which target"),
    "other selection": (
        lambda p: change(p, selection=["x"], selection_digest="5"),
        "another selection",
    ),
    "forged selection": (lambda p: change(p, selection=["x"]), "is not the one that it was cut"),
    "a test of another": (lambda p: change(p, own=[ALL[0], *ALL[1::2]]), "in more than one"),
    "a test dropped": (lambda p: change(p, own=list(ALL[3::2])), "collected, and in no partition"),
    "interrupted": (lambda p: change(p, interrupted=True), "it was interrupted"),
    "in trouble": (lambda p: change(p, trouble=["the worker gw0 died"]), "the worker gw0 died"),
    "badly seeded": (lambda p: change(p, seeded={"trial": ["units are 4"]}), "units are 4"),
    "without coverage": (lambda p: change(p, coverage=True), "is missing, though coverage"),
    "a ghost": (lambda p: change(p, own=[*ALL[1::2], "ghost"]), "and never collected"),
    "a test too many": (lambda p: change(p, own=list(ALL[3::2])), "told of, and not its own"),
    "a test twice": (one_test_twice, "it tells of a test twice"),
    "JUnit without a test": (rename_in_junit, "leaves 1 test ("),
    "JUnit with a ghost": (rename_in_junit, "of which the report knows nothing"),
}


@pytest.mark.parametrize("hole", HOLES)
def test_no_hole_looks_green(hole: str, tmp_path: Path) -> None:
    """Each thing that can be missing or wrong in a part makes the verdict unknown, and is told."""
    _, second = make_parts(tmp_path / "parts", seeded=None)
    damage, words = HOLES[hole]
    damage(second)
    found = merged(tmp_path, MergeOptions(partitions=None, coverage_min=0, coverage_webhooks_min=0))
    assert (found.results.verdict, found.exit_status) == ("unknown", 2)
    assert words in " | ".join(found.results.doubts)


def test_nothing_to_merge_is_unknown(tmp_path: Path) -> None:
    """An empty folder, or none, proves nothing; neither does a folder that is not there."""
    (tmp_path / "parts").mkdir()
    assert merged(tmp_path).exit_status == 2
    shutil.rmtree(tmp_path / "parts")
    found = merged(tmp_path)
    assert found.exit_status == 2
    assert "there is nothing to merge" in " ".join(found.gaps)


def test_too_few_partitions_are_told_by_the_pipelines_number(tmp_path: Path) -> None:
    """Where every job was told another N, what the pipeline expects still finds the hole."""
    make_parts(tmp_path / "parts")
    found = merged(tmp_path, MergeOptions(partitions=4, coverage_min=0, coverage_webhooks_min=0))
    assert "partition 3 of 4 is missing" in found.gaps
    assert found.exit_status == 2
    found = merged(tmp_path, MergeOptions(partitions=1, coverage_min=0, coverage_webhooks_min=0))
    assert "there is a partition 2, where 1 were expected" in found.gaps


@pytest.fixture
def covered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with a service, and two partitions that executed it all between them."""
    monkeypatch.chdir(tmp_path)
    make_service(tmp_path)
    first, second = make_parts(tmp_path / "parts", coverage=True)
    make_coverage(first, "partition-1-of-2", {HANDLER: TRUE, PLAIN: TRUE})
    make_coverage(second, "partition-2-of-2", {HANDLER: FALSE, PLAIN: FALSE})
    return tmp_path


GATED = MergeOptions(webhook_files=(HANDLER,))


def statuses(found: Merged) -> dict[str, str]:
    """Give what came of each gate."""
    return {gate.name: gate.status for gate in found.gates}


def test_coverage_of_all_parts_counts_together(covered: Path) -> None:
    """What no partition executed alone, both did: every line and branch, with both contexts."""
    found = merged(covered, GATED)
    assert statuses(found) == {
        "coverage": "passed",
        "coverage-webhooks": "passed",
        "security": "passed",
    }
    assert found.exit_status == 0
    facts = json.loads((covered / "out" / "report.json").read_text())["code_coverage"]
    assert (facts["all"], facts["webhooks"]) == (1.0, 1.0)
    assert facts["contexts"] == ["partition-1-of-2", "partition-2-of-2"]
    assert "<coverage" in (covered / "out" / "coverage.xml").read_text()


def test_a_handler_that_is_not_whole_misses_its_gate(covered: Path) -> None:
    """One branch of a webhook handler never taken: 99, and the line is named."""
    second = covered / "parts" / "part-2"
    (second / "coverage.db").unlink()
    make_coverage(second, "partition-2-of-2", {PLAIN: FALSE})
    found = merged(covered, GATED)
    assert statuses(found)["coverage"] == "passed"
    assert statuses(found)["coverage-webhooks"] == "missed"
    assert found.exit_status == 99
    assert f"{HANDLER}:2,4" in next(g.reason for g in found.gates if g.name == "coverage-webhooks")


def test_too_little_coverage_misses_its_gate(covered: Path) -> None:
    """Below the least share of all code the gate is missed."""
    for index in (1, 2):
        (covered / "parts" / f"part-{index}" / "coverage.db").unlink()
        place = covered / "parts" / f"part-{index}"
        make_coverage(place, f"partition-{index}-of-2", {PLAIN: TRUE, HANDLER: TRUE})
    assert statuses(merged(covered, GATED))["coverage"] == "missed"


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "of nobody"])
def test_a_partitions_coverage_cut_out_is_red(damage: str, covered: Path) -> None:
    """A partition's coverage missing, damaged or empty is unknown, never a lower figure."""
    place = covered / "parts" / "part-2"
    (place / "coverage.db").unlink()
    if damage == "empty":
        (place / "coverage.db").touch()
    if damage == "garbage":
        (place / "coverage.db").write_bytes(b"SQLite format 3\0 and no more")
    if damage == "of nobody":
        make_coverage(place, "partition-1-of-2", {PLAIN: FALSE, HANDLER: FALSE})
    found = merged(covered, GATED)
    assert found.exit_status == 2
    assert {statuses(found)["coverage"], statuses(found)["coverage-webhooks"]} == {"unknown"}


COBERTURA = """<?xml version="1.0"?><coverage><packages><package><classes>
<class filename="hooks.js"><lines>
<line number="1" hits="3"/><line number="2" hits="{}"/></lines></class>
</classes></package></packages></coverage>"""


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (COBERTURA.format(1), "passed"),
        (COBERTURA.format(0), "missed"),
        (COBERTURA.format("x"), "unknown"),
        ("<html/>", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_black_boxs_coverage_is_what_its_owner_supplies(
    text: str | None, status: str, tmp_path: Path
) -> None:
    """A Cobertura file passes or misses the gates; absent or damaged, they are unknown."""
    make_parts(tmp_path / "parts")
    file = tmp_path / "coverage.xml"
    if text is not None:
        file.write_text(text)
    found = merged(tmp_path, MergeOptions(coverage_file=file, webhook_files=("hooks.*",)))
    assert statuses(found)["coverage-webhooks"] == status


def test_without_any_coverage_its_gates_are_unknown(tmp_path: Path) -> None:
    """Nobody measured: the gate is unknown and the run does not pass, unless it was turned off."""
    make_parts(tmp_path / "parts")
    found = merged(tmp_path, MergeOptions())
    assert (statuses(found)["coverage"], found.exit_status) == ("unknown", 2)


def test_a_whole_merge_records_what_tests_cost(tmp_path: Path) -> None:
    """Durations are written for the next run's shares, half old and half new, not from a hole."""
    _, second = make_parts(tmp_path / "parts")
    file = tmp_path / "durations.json"
    options = MergeOptions(coverage_min=0, coverage_webhooks_min=0, durations=file)
    merged(tmp_path, options)
    told = json.loads(file.read_text())
    assert told["tests"] == dict.fromkeys(sorted(ALL), 1.0)
    file.write_text(json.dumps({**told, "branch": "other", "tests": {ALL[0]: 3.0}}))
    found = merged(tmp_path, options)
    assert json.loads(file.read_text())["tests"][ALL[0]] == 2.0
    assert "are of the branch other" in " ".join(found.notes)
    shutil.rmtree(second)
    before = file.read_text()
    merged(tmp_path, options)
    assert file.read_text() == before


def test_figures_tell_how_even_shares_were_planned_and_were(tmp_path: Path) -> None:
    """What was measured and what was planned are told apart, and the union is counted."""
    make_parts(tmp_path / "parts")
    found = merged(tmp_path)
    jobs = [Job(f"{index}-of-2", tmp_path, 10.0 * index) for index in (1, 2)]
    costs = Durations({**dict.fromkeys(ALL[::2], 3.0), **dict.fromkeys(ALL[1::2], 1.0)})
    told = figures(jobs, 21.0, found, costs)
    assert (told["slowest_to_mean"], told["planned_slowest_to_mean"]) == (1.0, 1.5)
    assert (told["collected"], told["in_a_partition"], told["twice"]) == (6, 6, 0)
    assert told["sum_of_partitions_s"] == 30.0
    assert figures(jobs, 21.0, found, Durations())["planned_slowest_to_mean"] is None
