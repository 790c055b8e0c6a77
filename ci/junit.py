"""What a JUnit file says of tests; the fields that every writer of it agrees on, and no others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci.reading import Unreadable, walk_xml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CASES_MAX = 100_000
_RESULTS = {"failure": "failed", "error": "unknown", "skipped": "skipped"}


@dataclass(frozen=True, slots=True)
class Case:
    """One test: its id, `passed`, `failed`, `unknown` or `skipped`, and its seconds."""

    id: str
    result: str
    duration_s: float


def read_junit(path: Path) -> list[Case]:
    """Read every test of a JUnit file, in its order. Raises `Unreadable`."""
    cases: list[Case] = []

    def element(name: str, attributes: Mapping[str, str], depth: int) -> None:
        if depth == 1 and name not in {"testsuites", "testsuite"}:
            raise Unreadable(f"{path} is no JUnit: it begins with <{name}>")
        if name == "testcase":
            if len(cases) >= CASES_MAX:
                raise Unreadable(f"{path} tells of more than {CASES_MAX} tests")
            cases.append(_case(path, attributes))
        elif name in _RESULTS and cases:
            last = cases[-1]
            cases[-1] = Case(last.id, _RESULTS[name], last.duration_s)

    walk_xml(path, element)
    return cases


def _case(path: Path, attributes: Mapping[str, str]) -> Case:
    try:
        duration_s = float(attributes.get("time", "0") or "0")
    except ValueError:
        raise Unreadable(f"{path} has a test that took {attributes['time']!r} s") from None
    where, name = attributes.get("classname", ""), attributes.get("name", "")
    return Case(f"{where}::{name}" if where else name, "passed", duration_s)
