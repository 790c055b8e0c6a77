"""Draws mutations by a seed: of Python by its syntax tree, of PromQL by its words.

mutmut and cosmic-ray mutate what runs in the process of their test runner. Here what is broken runs
in another process, and PromQL is none of their languages, so this small drawer does both.
"""

from __future__ import annotations

import ast
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_COMPARED = {ast.Eq: "!=", ast.NotEq: "==", ast.Lt: ">=", ast.LtE: ">", ast.Gt: "<=", ast.GtE: "<",
             ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in"}  # fmt: skip
_SUMMED = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*"}
_JOINED = {ast.And: "or", ast.Or: "and"}
_PROMQL = (
    (r"\bsum\b", "max"), (r"\bmax\b", "min"), (r"\bmin\b", "max"), (r"\bavg\b", "max"),
    (r"\brate\(", "increase("), (r"\bincrease\(", "rate("), (r"=~", "!~"), (r'(?<=\w)="', '!="'),
    (r" / ", " * "), (r" \+ ", " - "), (r" - ", " + "), (r"0\.95", "0.5"), (r"0\.5\b", "0.95"),
    (r"_total\b", "_created"), (r"_bucket\b", "_count"), (r"_count\b", "_bucket"),
    (r" by \([^)]*\)", ""), (r"\$__range", "5m"), (r"\[5m\]", "[1h]"), (r"\babs\(", "sqrt("),
    (r" > 0\)", " > 1000)"), (r"round\(", "ceil(2 * "), (r"/ 100\b", "/ 99"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a text: where, what stood there, and what stands there then."""

    place: str
    line: int
    old: str
    new: str
    text: str


def python_changes(place: str, text: str) -> Iterator[Change]:
    """Give every change that the drawer knows, of one module."""
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    raw = text.encode()

    def span(node: ast.AST) -> tuple[int, int]:
        begin = starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]  # expressions have places
        return begin, starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]  # as above

    for node, new in _rewritten(ast.parse(text)):
        begin, end = span(node)
        old = raw[begin:end].decode()
        if old != new:
            changed = (raw[:begin] + new.encode() + raw[end:]).decode()
            yield Change(place, node.lineno, old, new, changed)  # type: ignore[attr-defined]  # as above


def _rewritten(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARED:
            told = ast.unparse(node).split(f" {_said(node.ops[0])} ", 1)
            yield node, f"({told[0]} {_COMPARED[type(node.ops[0])]} {told[1]})"
        elif isinstance(node, ast.BinOp) and type(node.op) in _SUMMED:
            operator = _SUMMED[type(node.op)]
            yield node, f"({ast.unparse(node.left)} {operator} {ast.unparse(node.right)})"
        elif isinstance(node, ast.BoolOp):
            word = f" {_JOINED[type(node.op)]} "
            yield node, f"({word.join(ast.unparse(each) for each in node.values)})"
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
            yield node, f"({ast.unparse(node.operand)})"
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Yield):
            yield node, "pass"
        elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            yield node, f"{node.value + 1}"


def _said(operator: ast.cmpop) -> str:
    shown = ast.unparse(ast.Compare(ast.Name("a"), [operator], [ast.Name("b")]))
    return shown.removeprefix("a ").removesuffix(" b")


def promql_changes(place: str, expr: str) -> Iterator[Change]:
    """Give every change that the drawer knows, of one query."""
    for old, new in _PROMQL:
        for match in re.finditer(old, expr):
            changed = expr[: match.start()] + new + expr[match.end() :]
            yield Change(place, match.start(), match[0], new, changed)


def drawn(changes: Sequence[Change], count: int, seed: int) -> list[Change]:
    """Draw so many, no two at one place."""
    order = list(changes)
    random.Random(seed).shuffle(order)  # noqa: S311 - repeatable by design
    found: dict[tuple[str, int], Change] = {}
    for change in order:
        found.setdefault((change.place, change.line), change)
    return list(found.values())[:count]
