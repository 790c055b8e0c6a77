"""The order of a run's tests: drawn from its seed, so that none comes to lean on another.

Tests that move time come first, while few live through it; then file by file, each in an order of
its own. A test's place hangs on the seed and its name alone: with fewer tests, or in one of several
processes, the rest keep their order. What is told of them afterwards is in the order of the suites.
"""

from __future__ import annotations

import hashlib

import pytest

PLACE = pytest.StashKey[int]()


def moves_time(item: pytest.Item) -> bool:
    """Whether a test asks for the clock."""
    return "clock" in getattr(item, "fixturenames", ())


def arrange(items: list[pytest.Item], seed: int | None) -> None:
    """Put tests into the order that a seed draws; without one, only those that move time first."""
    for place, item in enumerate(items):
        item.stash[PLACE] = place

    def drawn(item: pytest.Item) -> tuple[bool, str, str]:
        file = "/".join(item.path.parts[-2:])  # wherever the suites are installed
        return not moves_time(item), _draw(seed, file), _draw(seed, f"{file} {item.name}")

    items.sort(key=drawn)


def as_written(items: list[pytest.Item]) -> list[pytest.Item]:
    """Give tests in the order of the suites."""
    return sorted(items, key=lambda item: item.stash.get(PLACE, 0))


def _draw(seed: int | None, name: str) -> str:
    return "" if seed is None else hashlib.sha256(f"{seed} {name}".encode()).hexdigest()
