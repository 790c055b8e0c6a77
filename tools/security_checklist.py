"""Tells what the security suite tests, by group: requirements, titles, and each test's sentence.

Read from the tests' source: their markers and docstrings, and the titles in docs/REQUIREMENTS.md.
`tools.docs_tables` writes it into docs/SECURITY_TESTING_CHECKLIST.md.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
SUITE = ROOT / "suites" / "security"
GROUPS = {
    "pci": "Card data",
    "sql-injection": "SQL injection",
    "authentication": "Authentication",
    "authorisation": "Authorisation",
    "webhooks": "Webhooks",
    "limits": "Rate limits",
    "data-at-rest": "Data at rest",
    "logs": "Logs and errors",
    "transport": "Transport",
    "platform": "Platform",
}


@dataclass(frozen=True, slots=True)
class Test:
    """One test: its group, its name and sentence, and the ids of what it is for."""

    group: str
    name: str
    sentence: str
    requirements: tuple[str, ...]
    nightly: bool


def checklist() -> str:
    """Return every group with its tests."""
    titles = _titles()
    tests = list(_tests())
    found = {name for test in tests for name in test.requirements}
    lines = [f"{len(tests)} tests in {len(GROUPS)} groups, for {len(found)} requirements.", ""]
    for group, title in GROUPS.items():
        lines += [f"## {title}", "", f"`billing-harness run --suite security --group {group}`", ""]
        lines += _group([test for test in tests if test.group == group], titles)
    return "\n".join(lines).rstrip()


def _group(tests: list[Test], titles: dict[str, str]) -> Iterator[str]:
    named: dict[str, list[str]] = defaultdict(list)
    for test in tests:
        for name in test.requirements:
            named[name].append(test.name)
    for test in tests:
        when = " *(nightly)*" if test.nightly else ""
        yield f"- [ ] {test.sentence} `{test.name}`{when}"
    yield from ("", "| requirement | says | tried by |", "| --- | --- | --- |")
    for name in sorted(named, key=_order):
        by = "<br>".join(f"`{test}`" for test in sorted(set(named[name])))
        yield f"| {name} | {titles[name]} | {by} |"
    yield ""


def _order(name: str) -> tuple[str, list[int]]:
    return re.sub(r"[\d.:]+", "", name), [int(number) for number in re.findall(r"\d+", name)]


def _titles() -> dict[str, str]:
    text = (ROOT / "docs" / "REQUIREMENTS.md").read_text(encoding="utf-8")
    return dict(
        re.findall(r"^\| ((?:BH|API|ASVS|CWE|PCI|RFC)[^|]*?) \| (.*) \|$", text, re.MULTILINE)
    )


def _tests() -> Iterator[Test]:
    for path in sorted(SUITE.glob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        common = [mark for node in tree.body for mark in _common(node)]
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield _test(node, [*common, *node.decorator_list])


def _common(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
        return node.value.elts if isinstance(node.value, ast.List) else [node.value]
    return []


def _test(node: ast.FunctionDef, marks: list[ast.expr]) -> Test:
    """Read a test; raises `ValueError` for one that belongs to no group."""
    group = _arguments(marks, "group")
    if len(group) != 1 or group[0] not in GROUPS:
        raise ValueError(f"{node.name} belongs to no group, or to several: {group}")
    sentence = (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
    nightly = any("nightly" in ast.unparse(mark) for mark in marks)
    return Test(group[0], node.name, sentence, _arguments(marks, "requirement"), nightly)


def _arguments(marks: list[ast.expr], name: str) -> tuple[str, ...]:
    calls = [mark for mark in marks if isinstance(mark, ast.Call)]
    return tuple(
        ast.literal_eval(argument)
        for call in calls
        if ast.unparse(call.func) == f"pytest.mark.{name}"
        for argument in call.args
    )
