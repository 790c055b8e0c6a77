"""Small formulas over a catalogue's facts, so that data can say what is due on any target.

`pro.included_units // 4` or `min(pro.included_units, pro.rollover_cap)`: whole numbers, `+ - * //`,
`min`, `max`, parentheses, and the facts of `facts_of` by name.
"""

from __future__ import annotations

import ast
import math
import operator
from typing import TYPE_CHECKING, get_args

from harness.target.profile import Grants, Plan, PlanRole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness.target.profile import Catalog

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {"min": min, "max": max}
ROLES: tuple[PlanRole, ...] = get_args(PlanRole)
_PLAN_FACTS = tuple(name for name in Plan.model_fields if name != "role")
NAMES = frozenset(
    [f"grants.{name}" for name in Grants.model_fields]
    + [f"{role}.{name}" for role in ROLES for name in _PLAN_FACTS]
)
"""Every fact that a formula may name."""


class FormulaError(ValueError):
    """A text is no formula, or its value no whole number on this catalogue."""


def facts_of(catalog: Catalog) -> dict[str, float]:
    """Give a catalogue's facts by name; those of plans that it lacks are missing.

    Without a rollover cap everything is kept, so the cap is infinite.
    """
    facts: dict[str, float] = {
        f"grants.{name}": getattr(catalog.grants, name) for name in Grants.model_fields
    }
    for role in ROLES:
        if found := catalog.plan(role):
            told = {f"{role}.{name}": getattr(found[1], name) for name in _PLAN_FACTS}
            told[f"{role}.rollover_cap"] = _or_infinite(found[1].rollover_cap)
            facts |= {name: value for name, value in told.items() if value is not None}
    return facts


def value_of(text: str, facts: Mapping[str, float]) -> int:
    """Give a formula's value. Raises `FormulaError` for what is no formula or lacks a fact.

    >>> value_of("min(pro.included_units, 10) + 2 * 3", {"pro.included_units": 60})
    16
    """
    value = _value(_parsed(text), facts)
    if not math.isfinite(value):
        raise FormulaError(f"{text!r} has no end on this catalogue")
    return int(value)


def names_in(text: str) -> frozenset[str]:
    """Name the facts that a formula is made of. Raises `FormulaError` for what is no formula."""
    tree = _parsed(text)
    _value(tree, dict.fromkeys(NAMES, 1))
    return frozenset(
        ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    )


def _or_infinite(cap: int | None) -> float:
    return math.inf if cap is None else cap


def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        raise FormulaError(f"{text!r} is no formula") from None


def _value(node: ast.expr, facts: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            return number
        case ast.Attribute():
            return _fact(ast.unparse(node), facts)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            return _OPERATORS[type(sign)](_value(left, facts), _value(right, facts))
        case ast.Call(func=ast.Name(id=name), args=[_, *_] as parts, keywords=[]) if (
            name in _FUNCTIONS
        ):
            return _FUNCTIONS[name](*(_value(part, facts) for part in parts))
    raise FormulaError(f"{ast.unparse(node)!r} is no part of a formula")


def _fact(name: str, facts: Mapping[str, float]) -> float:
    if name not in facts:
        known = "is no fact of a catalogue" if name not in NAMES else "is not in the catalogue"
        raise FormulaError(f"{name} {known}")
    return facts[name]
