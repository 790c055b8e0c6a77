"""What must be true beside the verdict: each gate passed, missed, is unknown, or found a breach."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

from ci.reading import Unreadable, read_json
from harness.flaky import SECURITY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from harness.report.results import TestResult

Status = Literal["passed", "missed", "unknown", "invalid"]
_FILE = "gate-{name}.json"
_FOUND = re.compile(r"^Found (\d+) errors?\b", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate. `value` and `threshold` are in the gate's own unit: a ratio, or a count."""

    name: str
    status: Status
    reason: str
    value: float | None = None
    threshold: float | None = None

    @property
    def is_bad(self) -> bool:
        """Whether it keeps the pipeline from passing."""
        return self.status != "passed"

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self)


def at_least(name: str, value: float | None, threshold: float, what: str) -> Gate:
    """Hold a ratio against the least that it may be; one that nobody knows is unknown.

    >>> at_least("coverage", 0.7, 0.8, "of lines").status
    'missed'
    """
    if value is None:
        return Gate(name, "unknown", what, None, threshold)
    status: Status = "passed" if value >= threshold else "missed"
    # Rounded down: 79.96 % must not read as 80.0 %.
    shown = int(value * 1000) / 10
    return Gate(name, status, f"{shown:.1f} % {what}, {threshold:.0%} due", value, threshold)


def security_gate(tests: Sequence[TestResult]) -> Gate | None:
    """Whether the security suite found nothing; None where it was not part of the run."""
    own = [test for test in tests if test.suite == SECURITY]
    if not own:
        return None
    failed = sum(test.result == "failed" for test in own)
    passed = sum(test.result == "passed" for test in own)
    unknown = sum(test.result == "unknown" for test in own)
    told = f"{passed} passed, {failed} failed, {unknown} unknown"
    status: Status = "missed" if failed else "passed" if passed and not unknown else "unknown"
    return Gate(SECURITY, status, told, failed, 0)


def kill_gate(matrix: Path, least: float) -> Gate:
    """Whether the suites found enough of what is broken on purpose, by the gauntlet's matrix."""
    try:
        data = read_json(matrix)
        score, complete = float(data["score"]), bool(data["complete"])
    except Unreadable as error:
        return Gate("kill-score", "unknown", str(error), None, least)
    except (KeyError, TypeError, ValueError):
        return Gate("kill-score", "unknown", f"{matrix} is no matrix of the gauntlet", None, least)
    if not complete and score >= least:
        return Gate("kill-score", "unknown", "the matrix is partial", score, least)
    if data.get("false_alarms"):
        return Gate("kill-score", "missed", "there are false alarms", score, least)
    return at_least("kill-score", score, least, "of the defects found as intended")


def run_gate(name: str, command: Sequence[str], folder: Path) -> tuple[Gate, int]:
    """Run a command whose exit status is a gate; leave what came of it in `folder` for the merge.

    A command that cannot be run is unknown. Counts findings where it says "Found 3 errors".
    """
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        process = subprocess.Popen(  # noqa: S603 - running what it is given is its purpose
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
    except OSError as error:
        return Gate(name, "unknown", f"{command[0]} cannot be run: {error.strerror}"), 2
    tail = ""
    with process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            tail = (tail + line)[-4096:]
    found = _FOUND.findall(tail)
    count = int(found[-1]) if found else None
    status: Status = "passed" if process.returncode == 0 else "missed"
    told = f"exit status {process.returncode} after {time.monotonic() - began:.1f} s"
    value = float(count if count is not None else process.returncode != 0)
    return Gate(name, status, told, value, 0), process.returncode


def gate_file(folder: Path, name: str) -> Path:
    """Give the place where a gate's outcome is left."""
    return folder / _FILE.format(name=name)


def is_name(name: str) -> bool:
    """Whether a gate can be called so."""
    return _NAME.fullmatch(name) is not None


def read_gates(folders: Sequence[Path], wanted: Sequence[str]) -> Iterator[Gate]:
    """Read what gates left; one that is wanted and left nothing is unknown, and so is a damaged."""
    pattern = _FILE.format(name="*")
    found: dict[str, Gate] = {}
    for file in sorted(file for folder in folders for file in folder.rglob(pattern)):
        name = file.stem.removeprefix("gate-")
        gate = _read(file, name)
        before = found.get(name)
        found[name] = gate if before is None else max(before, gate, key=_rank)
    for name in wanted:
        if name not in found:
            found[name] = Gate(name, "unknown", "nothing was heard of it")
    yield from found.values()


def _rank(gate: Gate) -> int:
    return ("passed", "unknown", "missed", "invalid").index(gate.status)


def _read(file: Path, name: str) -> Gate:
    try:
        gate = TypeAdapter(Gate).validate_python(read_json(file))
    except Unreadable as error:
        return Gate(name, "unknown", str(error))
    except ValidationError:
        return Gate(name, "unknown", f"{file} tells of no gate")
    return gate if gate.name == name else Gate(name, "unknown", f"{file} is of another gate")
