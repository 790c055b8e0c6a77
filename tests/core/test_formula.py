from __future__ import annotations

import pytest

from harness.formula import NAMES, FormulaError, facts_of, names_in, value_of
from tests.core.making import profile

PLANS = {
    "flat": {"role": "pro", "price_minor": 900, "included_units": 20},
    "payg": {"overage_minor": 7},
}


def test_facts_are_the_catalogues_by_the_part_that_a_plan_plays() -> None:
    """Plans go by their parts, what a catalogue does not say is no fact, and no cap keeps all."""
    facts = facts_of(profile(catalog={"grants": {"sign_up": 3}, "plans": PLANS}).catalog)
    assert (facts["grants.sign_up"], facts["grants.billing_added"]) == (3, 0)
    assert (facts["pro.price_minor"], facts["payg.overage_minor"]) == (900, 7)
    assert "pro.overage_minor" not in facts
    assert "trial.price_minor" not in facts
    assert value_of("min(pro.included_units, pro.rollover_cap)", facts) == 20
    assert facts.keys() <= NAMES


@pytest.mark.parametrize(
    ("text", "value"),
    [("7", 7), ("2 + 3 * 4", 14), ("(2 + 3) * 4 - 1", 19), ("61 // 4", 15), ("max(1, 2, 3)", 3)],
)
def test_a_formula_reckons_as_arithmetic_does(text: str, value: int) -> None:
    """Whole numbers, the four signs, parentheses, and the two functions."""
    assert value_of(text, {}) == value


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "1 +",
            "1.5",
            "True",
            "'1'",
            "abs(1)",
            "min()",
            "min(1, key=2)",
            "1 / 2",
            "2 ** 9",
            "-1",
        ),
        *("units", "pro.included", "pro.__class__", "__import__('os').getcwd()", "[1]", "1 < 2"),
    ],
)
def test_anything_else_is_no_formula(text: str) -> None:
    """A text that is more than that, or names no fact, is refused before it is used."""
    with pytest.raises(FormulaError):
        names_in(text)


def test_a_fact_that_the_catalogue_lacks_is_told() -> None:
    """A formula has no value where the catalogue does not say what it is made of."""
    assert names_in("pro.included_units // 4") == {"pro.included_units"}
    with pytest.raises(FormulaError, match=r"pro\.included_units is not in the catalogue"):
        value_of("pro.included_units // 4", {})
    with pytest.raises(FormulaError, match="has no end"):
        value_of("pro.rollover_cap", {"pro.rollover_cap": float("inf")})
