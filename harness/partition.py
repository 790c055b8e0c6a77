"""One of N shares of the tests, for one CI job: balanced, the same on every machine, none empty.

Costs are recorded durations; a test without one costs what the median test does. The longest test
goes to the least loaded share first (Graham's LPT rule).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import re
import shutil
import statistics
import subprocess
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from harness.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TOTAL_MAX = 1000
_DURATION_MAX_S = 86_400.0
_COST_MIN_S = 0.001  # so that even tests that cost nothing are dealt out in turn
_UNKNOWN_COST_S = 1.0
_DESCRIBE = ("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
_COMMITS = ("BILLING_HARNESS_COMMIT", "GITHUB_SHA", "CI_COMMIT_SHA", "CIRCLE_SHA1")
_BRANCHES = (
    "BILLING_HARNESS_BRANCH",
    "GITHUB_HEAD_REF",
    "GITHUB_REF_NAME",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME",
    "CI_COMMIT_REF_NAME",
    "CIRCLE_BRANCH",
)


@dataclass(frozen=True, slots=True)
class Partition:
    """Share `index` of `total`, counted from 1."""

    index: int = 1
    total: int = 1

    def __str__(self) -> str:
        """Give it as it is written: 2/4."""
        return f"{self.index}/{self.total}"


WHOLE = Partition()


def parse_partition(text: str) -> Partition:
    """Read `2/4`. Raises `SettingsError`.

    >>> parse_partition("2/4")
    Partition(index=2, total=4)
    """
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text.strip())
    made = Partition(int(match[1]), int(match[2])) if match else Partition(0, 0)
    if not 1 <= made.index <= made.total <= TOTAL_MAX:
        raise SettingsError(
            f"{text!r} names no partition",
            hint=f"Say --partition 2/4: the second of four, counted from 1, {TOTAL_MAX} at most.",
        )
    return made


def partition_of(environment: Mapping[str, str]) -> Partition | None:
    """Read the share from a CI system's variables; None where there is none.

    GitLab counts `CI_NODE_INDEX` from 1 and sets `CI_NODE_TOTAL` for jobs that are not split, too;
    CircleCI counts `CIRCLE_NODE_INDEX` from 0. A total without an index is no share, and raises
    `SettingsError`: every job would run everything, or nothing would say that it did.
    """
    for prefix, first in (("CI_NODE", 1), ("CIRCLE_NODE", 0)):
        index, total = environment.get(f"{prefix}_INDEX"), environment.get(f"{prefix}_TOTAL")
        if index is None and total in {None, "", "1"}:
            continue
        if not (_is_number(index) and _is_number(total)):
            raise SettingsError(
                f"{prefix}_INDEX is {index!r} and {prefix}_TOTAL {total!r}: that is no share",
                hint="Set both to numbers, or neither, or say --partition 2/4.",
            )
        return parse_partition(f"{int(index or 0) + 1 - first}/{total}")
    return None


def _is_number(text: str | None) -> bool:
    return text is not None and text.isascii() and text.isdigit()


@dataclass(frozen=True, slots=True)
class Durations:
    """What tests cost, in seconds, where and when that was recorded, and the digest of it all."""

    tests: Mapping[str, float] = field(default_factory=dict)
    branch: str | None = None
    commit: str | None = None

    @property
    def digest(self) -> str:
        """Say in a few letters which costs these are."""
        return digest(f"{test} {cost!r}" for test, cost in sorted(self.tests.items()))

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data, as it is kept in a file."""
        tests = {test: round(cost, 3) for test, cost in sorted(self.tests.items())}
        return {"format": 1, "branch": self.branch, "commit": self.commit, "tests": tests}


def read_durations(path: Path | None) -> Durations:
    """Read recorded durations; none where there is no such file yet. Raises `SettingsError`."""
    if path is None or not path.exists():
        return Durations()
    try:
        data = json.loads(path.read_text("utf-8"))
        tests = {str(test): float(cost) for test, cost in data["tests"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(
            f"{path} holds no durations: {error}",
            hint="Remove it: the next `ci merge --durations` writes it anew.",
        ) from None
    wrong = [test for test, cost in tests.items() if not 0 <= cost <= _DURATION_MAX_S]
    if wrong:
        raise SettingsError(
            f"{path}: {wrong[0]} cannot take {tests[wrong[0]]!r} s", hint="Remove the file."
        )
    return Durations(tests, data.get("branch"), data.get("commit"))


def shares(costs: Mapping[str, float | None], total: int) -> list[list[str]]:
    """Deal tests out to `total` shares of about the same cost; each test is in exactly one.

    A cost of None is the median of those known. The result depends on nothing but the arguments,
    not even on their order; no share is empty where there are tests enough.

    >>> shares({"a": 3.0, "b": 2.0, "c": 1.0, "d": None}, 2)
    [['a', 'c'], ['b', 'd']]
    """
    known = [cost for cost in costs.values() if cost is not None]
    median = statistics.median(known) if known else _UNKNOWN_COST_S
    weights = {t: max(median if c is None else c, _COST_MIN_S) for t, c in costs.items()}
    dealt: list[list[str]] = [[] for _ in range(total)]
    loads = [0.0] * total
    for test in sorted(weights, key=lambda test: (-weights[test], test)):
        least = min(range(total), key=lambda place: (loads[place], place))
        dealt[least].append(test)
        # Sums of floats depend on their order, which is the same everywhere: the sorted one.
        loads[least] = math.fsum((loads[least], weights[test]))
    return dealt


def digest(lines: Sequence[str] | Any) -> str:
    """Say in a few letters what a list holds."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def provenance() -> dict[str, Any]:
    """Say which commit and branch this is a run of, as far as it can be known, and by what."""
    return {
        "commit": _first(_COMMITS) or _git(*_DESCRIBE),
        "branch": _first(_BRANCHES) or _git("branch", "--show-current"),
        "versions": {
            "billing-harness": version("billing-harness"),
            "python": platform.python_version(),
        },
    }


def _first(names: Sequence[str]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _git(*question: str) -> str | None:
    """Ask git about the current folder; None where there is no answer."""
    program = shutil.which("git")
    if program is None:
        return None
    try:
        asked = subprocess.run(  # noqa: S603 - git, as the user finds it, with words of ours
            [program, *question], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip() or None
