"""How much of the target's code the suites executed, over all partitions, and of which files.

The reference's is measured by `run --coverage`, as coverage.py data with a context for each
partition. A black-box target's owner supplies a file: coverage.py's, or Cobertura XML, which most
tools of other languages write.
"""

from __future__ import annotations

import fnmatch
import sqlite3
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import coverage
from coverage.exceptions import CoverageException, CoverageWarning

from ci.gates import Gate, at_least
from ci.reading import Unreadable, read_bytes, read_json, walk_xml
from harness.measuring import COVERAGE_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci.part import Part

# Taking an event in, keeping it, giving it its effect. The loop that calls these is left out: it
# serves the reconciler, too, and its last resort is for mistakes that nobody knows of.
WEBHOOKS = (
    "simulators/billing/http/webhooks.py",
    "simulators/billing/worker/inbox.py",
    "simulators/billing/worker/effects.py",
)
DATA_BYTES_MAX = 512 * 1024 * 1024
_SQLITE = b"SQLite format 3\0"
_EXCLUDED = ["if TYPE_CHECKING:", "raise NotImplementedError", r"\.\.\.$"]


@dataclass(frozen=True, slots=True)
class Counted:
    """Lines and branches of a file: how many there are, how many were executed, which were not."""

    there: int = 0
    executed: int = 0
    missing: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """Each file's count, by its path; `contexts` say which partitions executed anything."""

    files: Mapping[str, Counted] = field(default_factory=dict)
    contexts: frozenset[str] = frozenset()

    def ratio(self, patterns: Sequence[str] = ("*",)) -> float | None:
        """Give the share that was executed, from 0 to 1, of files like these; None without any."""
        counts = [count for file, count in self.files.items() if _like(file, patterns)]
        there = sum(count.there for count in counts)
        return sum(count.executed for count in counts) / there if there else None

    def missing(self, patterns: Sequence[str]) -> list[str]:
        """Name the lines that were not executed, as editors take them."""
        return [
            f"{file}:{','.join(map(str, count.missing))}"
            for file, count in sorted(self.files.items())
            if count.missing and _like(file, patterns)
        ]


def merge_coverage(parts: Sequence[Part], out: Path) -> Measured:
    """Combine the partitions' data into `out`, also as Cobertura XML for uploads.

    Every partition must have executed something: its data may be there and empty. Raises
    `Unreadable`.
    """
    files = [part.folder / COVERAGE_FILE for part in parts]
    for file in files:
        if not read_bytes(file, DATA_BYTES_MAX).startswith(_SQLITE):
            raise Unreadable(f"{file} is no data of coverage.py")
    target = out / COVERAGE_FILE
    target.unlink(missing_ok=True)
    measured = _of_data(files, target)
    for part in parts:
        facts = part.report.partition
        if f"partition-{facts.index}-of-{facts.total}" not in measured.contexts:
            raise Unreadable(f"{part.name} executed nothing of the target, by {part.folder}")
    return measured


def read_coverage(file: Path) -> Measured:
    """Read what a target's owner supplies: coverage.py data, or Cobertura XML. `Unreadable`."""
    if read_bytes(file, DATA_BYTES_MAX).startswith(_SQLITE):
        with tempfile.TemporaryDirectory() as folder:
            return _of_data([file], Path(folder) / COVERAGE_FILE)
    return _of_cobertura(file)


def coverage_gates(
    measured: Measured | str, least: float, least_webhooks: float, webhooks: Sequence[str]
) -> list[Gate]:
    """Hold what was measured against what is due; a string says why there is nothing.

    A threshold of 0 is no gate.
    """
    gates = []
    for name, threshold, patterns in (
        ("coverage", least, ("*",)),
        ("coverage-webhooks", least_webhooks, webhooks),
    ):
        if not threshold:
            continue
        if isinstance(measured, str):
            gates.append(Gate(name, "unknown", measured, None, threshold))
            continue
        ratio = measured.ratio(patterns)
        what = "of lines and branches" if ratio is not None else f"no file is like {patterns[0]}"
        if patterns != ("*",) and measured.missing(patterns):
            what += f" (not {'; '.join(measured.missing(patterns)[:5])})"
        gates.append(at_least(name, ratio, threshold, what))
    return gates


def _like(file: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(file, pattern) for pattern in patterns)


def _of_data(files: Sequence[Path], target: Path) -> Measured:
    """Combine coverage.py data into `target`; write it as XML, too, and count it."""
    measuring = coverage.Coverage(data_file=str(target), config_file=False, branch=True)
    measuring.set_option("run:relative_files", True)  # noqa: FBT003 - coverage's own signature
    measuring.set_option("report:exclude_also", _EXCLUDED)
    try:
        with warnings.catch_warnings():
            # coverage.py warns of a damaged file and goes on without it; here that is a hole.
            warnings.simplefilter("error", CoverageWarning)
            measuring.combine(list(map(str, files)), strict=True, keep=True)
        measuring.save()
        contexts = frozenset(measuring.get_data().measured_contexts())
        measuring.xml_report(outfile=str(target.with_suffix(".xml")))
        told = target.with_suffix(".json")
        measuring.json_report(outfile=str(told))
        data = read_json(told)
        told.unlink()
    except (CoverageException, CoverageWarning, sqlite3.Error) as error:
        raise Unreadable(f"the coverage cannot be counted: {error}") from None
    return Measured({file: _counted(each) for file, each in data["files"].items()}, contexts)


def _counted(told: Mapping[str, Any]) -> Counted:
    summary = told["summary"]
    branches, executed = summary.get("num_branches", 0), summary.get("covered_branches", 0)
    missing = {*told["missing_lines"], *(start for start, _ in told.get("missing_branches", ()))}
    return Counted(
        there=summary["num_statements"] + branches,
        executed=summary["covered_lines"] + executed,
        missing=tuple(sorted(missing)),
    )


def _of_cobertura(path: Path) -> Measured:
    """Count the lines of a Cobertura file; its branches are told in too many ways to be added."""
    lines: dict[str, dict[int, int]] = {}
    now = ""

    def element(name: str, attributes: Mapping[str, str], depth: int) -> None:
        nonlocal now
        if depth == 1 and name != "coverage":
            raise Unreadable(f"{path} is no Cobertura file: it begins with <{name}>")
        if name == "class":
            now = attributes.get("filename", "")
        elif name == "line" and now:
            number, hits = _whole(attributes, "number"), _whole(attributes, "hits")
            found = lines.setdefault(now, {})
            found[number] = max(found.get(number, 0), hits)

    def _whole(attributes: Mapping[str, str], name: str) -> int:
        try:
            return int(attributes[name])
        except (KeyError, ValueError):
            raise Unreadable(f"{path} has a line without a whole number as {name}") from None

    walk_xml(path, element)
    return Measured({file: _of_lines(found) for file, found in lines.items()})


def _of_lines(found: Mapping[int, int]) -> Counted:
    missing = tuple(sorted(number for number, hits in found.items() if not hits))
    return Counted(len(found), len(found) - len(missing), missing)
