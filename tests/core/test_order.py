from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.order import arrange, as_written

NAMES = [f"{file}::{number}" for file in ("e2e/a.py", "e2e/b.py", "fx/a.py") for number in range(9)]
MOVES = {"e2e/b.py::3", "fx/a.py::0"}


def collected(names: list[str]) -> list[Any]:
    """Give items as pytest collects them, as far as an order needs them."""
    return [
        SimpleNamespace(
            nodeid=name,
            name=name.partition("::")[2],
            path=Path("/somewhere/suites") / name.partition("::")[0],
            fixturenames=("clock",) if name in MOVES else (),
            stash=pytest.Stash(),
        )
        for name in names
    ]


def order(seed: int | None, names: list[str] = NAMES) -> list[str]:
    """Give the names in the order that a seed draws."""
    items = collected(names)
    arrange(items, seed)
    return [item.nodeid for item in items]


def test_an_order_is_drawn_and_repeated_by_its_seed() -> None:
    """The same seed gives the same order, another one another, and no test gets lost."""
    assert order(7) == order(7)
    assert order(7) != order(8)
    assert sorted(order(7)) == sorted(NAMES)


def test_what_moves_time_comes_first_and_files_stay_together() -> None:
    """Few live while time moves; what tests of a file share is made once."""
    for seed in (1, 2, 3, None):
        found = order(seed)
        assert set(found[:2]) == MOVES
        files = [name.partition("::")[0] for name in found[2:]]
        assert [file for file, last in zip(files, ["", *files], strict=False) if file != last] == [
            *dict.fromkeys(files)
        ]


def test_a_part_of_the_tests_keeps_its_order() -> None:
    """Fewer tests run in the order that they have among all, so a flake can be narrowed down."""
    some = NAMES[::3]
    assert order(7, some) == [name for name in order(7) if name in some]


def test_without_a_seed_nothing_else_is_moved() -> None:
    """The order of the suites stays, and can be told again after any shuffle."""
    assert order(None)[2:] == [name for name in NAMES if name not in MOVES]
    items = collected(NAMES)
    arrange(items, 7)
    assert [item.nodeid for item in as_written(items)] == NAMES
