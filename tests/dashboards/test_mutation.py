"""What the proof is worth: mutants drawn by a seed, the page of their fates, and known defects."""

from __future__ import annotations

import ast
import json
from collections import Counter

import pytest

from simulators.billing.defects.catalogue import DEFECTS as ALL_DEFECTS
from tests.dashboards.mutation.chosen import CODE
from tests.dashboards.mutation.drawing import drawn, promql_changes, python_changes
from tests.dashboards.mutation.report import FACTS, PAGE, counted, is_killed, render
from tests.dashboards.mutation.running import DEFECTS, SEED, code_mutants, defect

MODULE = """def price(units, rate):
    if units > 10 and not rate:
        tell(units)
    return units * rate + 1
"""


def test_each_change_of_python_is_python_and_another() -> None:
    """Comparison, `and`, `not`, call, sum and number are each changed, once at a place."""
    changes = list(python_changes("m.py", MODULE))
    assert {(c.old, c.new) for c in changes} >= {
        ("units > 10", "(units <= 10)"),
        ("not rate", "(rate)"),
        ("tell(units)", "pass"),
        ("units * rate", "(units / rate)"),
        ("1", "2"),
    }
    for change in changes:
        assert ast.dump(ast.parse(change.text)) != ast.dump(ast.parse(MODULE))


def test_queries_are_changed_word_by_word() -> None:
    """Each word that the drawer knows is changed alone."""
    found = {c.text for c in promql_changes("p", 'sum (rate(x_total{a="b"}[5m])) / 100')}
    assert 'max (rate(x_total{a="b"}[5m])) / 100' in found
    assert 'sum (rate(x_total{a!="b"}[5m])) / 100' in found
    assert len(found) >= 6


def test_a_seed_draws_the_same_again() -> None:
    """The same seed gives the same mutants, no two at one place, and another seed others."""
    changes = list(python_changes("m.py", MODULE))
    assert drawn(changes, 3, SEED) == drawn(changes, 3, SEED)
    assert len({c.line for c in drawn(changes, 9, SEED)}) == len(drawn(changes, 9, SEED))
    assert any(drawn(changes, 3, SEED) != drawn(changes, 3, seed) for seed in range(9))


def test_every_mutant_of_code_can_still_be_made() -> None:
    """What a chosen mutation replaces still stands where it stood, and what comes out is Python."""
    made = list(code_mutants())
    assert len(made) > len(CODE)
    for _, _, _, text in made:
        ast.parse(text)


def test_every_defect_of_observability_is_tried() -> None:
    """None of the reference's defects by which metrics lie is left out."""
    lying = {each.name for each in ALL_DEFECTS.values() if each.group == "observability"}
    assert lying == set(DEFECTS)


def test_the_page_tells_the_facts_of_the_last_run() -> None:
    """The committed page is what the committed facts give; enough was chosen, and enough drawn."""
    facts = json.loads(FACTS.read_text("utf-8"))
    assert PAGE.read_text("utf-8") == render(facts)
    counts = Counter(each["kind"].split()[0] for each in facts)
    assert counts["chosen"] >= 25
    assert counts["drawn"] >= counts["chosen"] / 2
    ran = counted([each for each in facts if each["kind"] != "defect"])
    assert sum(map(is_killed, ran)) / len(ran) >= 0.85


@pytest.mark.nightly
@pytest.mark.program("prometheus")
@pytest.mark.parametrize("name", DEFECTS)
def test_the_proof_kills_the_defects_of_observability(name: str) -> None:
    """A service that lies in this way differs from the truth on some panel or alert."""
    result = defect(name)
    assert result.status == "killed", result.told
