from __future__ import annotations

import inspect
import re

import pytest

from harness import errors
from harness.errors import HarnessError, Problem, ProfileError

CLASSES = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, Exception)
]


def _drawn() -> dict[str, str]:
    """Read the tree in the module's docstring: each class by the name of what it stems from."""
    branch: list[str] = []
    parents: dict[str, str] = {}
    for line in (errors.__doc__ or "").split(".. code-block:: text")[1].splitlines():
        found = re.fullmatch(r"    ((?:│   |    |├── |└── )*)(\w+)(?:  .*)?", line)
        if not found:
            continue
        depth = len(found[1]) // 4
        branch = [*branch[:depth], found[2]]
        if depth:
            parents[found[2]] = branch[depth - 1]
    return parents


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    """Every error is drawn under what it stems from, and nothing else is drawn."""
    assert _drawn() == {found.__name__: found.__bases__[0].__name__ for found in CLASSES}


def test_codes_are_stable_names_of_their_own() -> None:
    """Each error of the harness has a code that no other one has."""
    codes = [found.code for found in CLASSES if issubclass(found, HarnessError)]
    assert len(set(codes)) == len(codes) > 8
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize(("count", "head"), [(1, "1 mistake in"), (2, "2 mistakes in")])
def test_a_profile_error_tells_each_mistake_once(count: int, head: str) -> None:
    """Mistakes are told in the order of their keys, each on a line, twice told ones once."""
    problems = [Problem("a.toml", f"key{number}", "an integer") for number in range(count)]
    error = ProfileError([*reversed(problems), *problems])
    assert error.problems == problems
    assert str(error).splitlines()[0].startswith(head)
    assert str(error).splitlines()[1:] == [f"  {problem}" for problem in problems]
    assert error.hint
