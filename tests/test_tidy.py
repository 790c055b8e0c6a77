"""A ratchet on length, so that growth is seen: one question a file, one screen a function.

The habit is TigerBeetle's `src/tidy.zig`; the figures are this project's own.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

from tools.gate import tracked_files

ROOT = Path(__file__).parents[1]
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
LONG_FUNCTION_LINES = 40
LONG_FUNCTIONS_SHARE_MAX = 0.03
COUNTED = ("ci/", "harness/", "simulators/", "suites/", "tools/")


class Function(NamedTuple):
    place: str
    lines: int


def python_files() -> dict[str, str]:
    """Return the text of every tracked Python file by its path."""
    names = [name for name in tracked_files(ROOT) if name.endswith(".py")]
    assert names, "nothing was measured"
    return {name: (ROOT / name).read_text() for name in names}


def functions(name: str, text: str) -> list[Function]:
    """Return every function of a file with its length, from `def` to its last line."""
    return [
        Function(f"{name}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def measured() -> list[Function]:
    """Return every function of the folders that are counted."""
    files = python_files().items()
    found = [
        each for name, text in files if name.startswith(COUNTED) for each in functions(name, text)
    ]
    assert found, "nothing was measured"
    return found


def test_no_python_file_is_long() -> None:
    """No tracked Python file has more than 400 lines."""
    lengths = {name: len(text.splitlines()) for name, text in python_files().items()}
    assert not {name: count for name, count in lengths.items() if count > FILE_LINES_MAX}


def test_no_function_outgrows_two_screens() -> None:
    """No function has more than 60 lines."""
    assert not [function for function in measured() if function.lines > FUNCTION_LINES_MAX]


def test_functions_above_a_screen_stay_rare() -> None:
    """Fewer than 3 in 100 functions have more than 40 lines."""
    found = measured()
    long = [function for function in found if function.lines > LONG_FUNCTION_LINES]
    assert len(long) < LONG_FUNCTIONS_SHARE_MAX * len(found), long


def test_a_function_is_measured_with_all_that_is_in_it() -> None:
    """The measure covers methods, nested and async functions, from `def` to the last line."""
    text = "class A:\n @x\n async def f(self):\n  def g():\n   pass\n\n  return g\n"
    assert sorted(functions("a.py", text)) == [("a.py:3 f", 5), ("a.py:4 g", 2)]
