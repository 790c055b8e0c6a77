"""The suites keep to their rules: they speak of operations, and of no target, price or address."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
SUITES = ROOT / "suites"
FILES = {str(path.relative_to(ROOT)): path for path in sorted(SUITES.rglob("*.py"))}
PROFILES = [
    *(ROOT / "fixtures" / "profiles").glob("*.toml"),
    *(ROOT / "tests" / "targets").glob("*.toml"),
]
NUMBERS_MIN = 100  # smaller numbers of a catalogue are everybody's
ADDRESS = re.compile(
    r"https?://(?!docs\.stripe\.com)|localhost|127\.0\.0\.1|^/[a-z]|/api/|/v\d+/|/test/",
    re.IGNORECASE,
)


def _tests() -> Iterator[tuple[str, ast.FunctionDef, list[str]]]:
    """Give every test function with the requirements that it is for."""
    for name, path in FILES.items():
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                marks = [*_module_marks(tree), *node.decorator_list]
                yield f"{name}::{node.name}", node, [r for m in marks for r in _requirements(m)]


def _module_marks(tree: ast.Module) -> list[ast.expr]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            return node.value.elts if isinstance(node.value, ast.List) else [node.value]
    return []


def _requirements(mark: ast.expr) -> list[str]:
    if not isinstance(mark, ast.Call) or ast.unparse(mark.func) != "pytest.mark.requirement":
        return []
    return [ast.literal_eval(argument) for argument in mark.args]


TESTS = {name: (node, requirements) for name, node, requirements in _tests()}


def _numbers(data: Any) -> Iterator[int]:
    """Give the numbers of a profile's catalogue that could only be its own."""
    if isinstance(data, dict):
        for entry in data.values():
            yield from _numbers(entry)
    elif isinstance(data, int) and not isinstance(data, bool) and data >= NUMBERS_MIN:
        yield data


def _catalogued() -> set[int | str]:
    """Give every price there is, in minor units and as decimals, and every target's name."""
    found: set[int | str] = set()
    for path in PROFILES:
        profile = tomllib.loads(path.read_text())
        prices = set(_numbers(profile["catalog"]["plans"]))
        found |= prices | {f"{price // 100}.{price % 100:02}" for price in prices}
        found.add(profile["target"]["name"])
    return found


def _constants(text: str) -> Iterator[tuple[int, Any]]:
    """Give the constants of a file with their lines; documentation may cite what it likes."""
    tree = ast.parse(text)
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in documentation:
            yield node.lineno, node.value


def _forbidden(text: str) -> list[tuple[int, Any]]:
    """Give what a suite must not name: a price, a target, an address or a path."""
    catalogued = _catalogued()
    return [
        (line, value)
        for line, value in _constants(text)
        if (isinstance(value, str | int) and value in catalogued and value is not True)
        or (isinstance(value, str) and ADDRESS.search(value))
    ]


def test_there_are_suites_to_hold_to_rules() -> None:
    """The rules are checked on something: tests in several suites, prices of several targets."""
    assert len(TESTS) > 10
    assert len({name.split("/")[1] for name in TESTS}) > 1
    assert {
        2900,
        59900,
        1500,
        24000,
        "29.00",
        "reference",
        "acme",
        "brook",
        "loom",
    } <= _catalogued()


@pytest.mark.parametrize("name", TESTS)
def test_a_test_says_in_a_sentence_what_must_hold(name: str) -> None:
    """The docstring is one sentence, for the report shows it to people who read no code."""
    text = ast.get_docstring(TESTS[name][0]) or ""
    assert re.fullmatch(r"[A-Z][^\n]*(\n[^\n]+)*\.", text), text
    assert not re.search(r"\.\s+[A-Z]", text), "one sentence is enough"


@pytest.mark.parametrize("name", TESTS)
def test_a_test_names_what_it_is_for(name: str) -> None:
    """Every test has requirements, each of which is documented."""
    requirements = TESTS[name][1]
    assert requirements
    documented = ROOT / "docs" / "REQUIREMENTS.md"
    if documented.exists():
        text = documented.read_text()
        missing = [one for one in requirements if not re.search(rf"(?<![\w-]){one}(?![\w-])", text)]
        assert missing == []


@pytest.mark.parametrize("name", FILES)
def test_a_suite_knows_no_price_no_host_no_path_and_no_target(name: str) -> None:
    """Amounts come from the catalogue, addresses from the profile."""
    assert _forbidden(FILES[name].read_text()) == []


@pytest.mark.parametrize("name", FILES)
def test_a_suite_performs_only_operations_that_exist(name: str) -> None:
    """What a session is asked to do, and what a test requires, is in the harness's table."""
    asked = [
        argument.value
        for node in ast.walk(ast.parse(FILES[name].read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        for argument in (node.args if node.func.attr == "requires" else node.args[:1])
        if node.func.attr in {"requires", "perform", "ok", "refused"}
        if isinstance(argument, ast.Constant)
    ]
    assert [operation for operation in asked if operation not in OPERATIONS] == []


@pytest.mark.parametrize(
    "planted",
    [
        "assert charged == 2900",
        "due = [59900] * 3",
        'path = "/api/v1/customers"',
        'path = "/hooks/payments"',
        'url = "http://127.0.0.1:8000"',
        'if target == "acme": pass',
        'amount = "12.50"',
    ],
)
def test_what_is_forbidden_is_found(planted: str) -> None:
    """A price, a path, an address or a target's name in code is found; in a docstring it is not."""
    assert len(_forbidden(planted)) == 1
    assert _forbidden(f"'''It says {planted!r}.'''") == []
