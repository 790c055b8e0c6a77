"""One partition's report as it came from its job."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ci.reading import Unreadable, read_json
from harness.checks.sometimes import Sometimes
from harness.checks.verdict import CheckVerdict
from harness.replay.reproduce import Reproduction
from harness.report.results import TestResult

REPORT = "report.json"
JUNIT = "junit.xml"
HISTORY = "history.jsonl"
PARTS_MAX = 1000


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Facts(_Plain):
    """Which share this is, and of what: enough to prove that all shares are of the same whole."""

    index: int = Field(ge=1)
    total: int = Field(ge=1)
    selection: tuple[str, ...]
    selection_digest: str
    own: tuple[str, ...]
    durations_digest: str
    coverage: bool
    commit: str | None
    branch: str | None
    versions: dict[str, str]
    seeded: dict[str, list[str]] | None = None


class Operations(_Plain):
    """Operations that the target maps, and those that were tried."""

    mapped: tuple[str, ...]
    tried: tuple[str, ...]


class Requirements(_Plain):
    """Requirements that some test tried, and those that none could."""

    tried: tuple[str, ...]
    skipped: tuple[str, ...]


class Covered(_Plain):
    """What was tried of what there is."""

    operations: Operations
    requirements: Requirements


class Report(_Plain):
    """A run's facts, as `billing-harness run` writes them."""

    verdict: Literal["valid", "invalid", "unknown"]
    target: str
    seed: int
    run_id: str
    started_at: float
    duration_s: float = Field(ge=0)
    interrupted: bool
    tests: tuple[TestResult, ...]
    checks: tuple[CheckVerdict, ...]
    coverage: Covered
    customers: int = Field(ge=0)
    performed: int = Field(ge=0)
    trouble: tuple[str, ...]
    partition: Facts
    sometimes: tuple[Sometimes, ...] = ()
    reproductions: tuple[Reproduction, ...] = ()


class Part(_Plain):
    """A partition's folder and the report in it."""

    folder: Path
    report: Report

    @property
    def name(self) -> str:
        """Name it for a sentence."""
        facts = self.report.partition
        return f"partition {facts.index} of {facts.total}"

    @property
    def tests_s(self) -> float:
        """Seconds that its tests took, without the start of its stack."""
        return sum(test.duration_s for test in self.report.tests)


def find_parts(folders: list[Path], out: Path | None = None) -> tuple[list[Part], list[str]]:
    """Read every partition below these folders; give them in order, and why others are not there.

    A folder is a partition's where any of its files lies; `out` is left out of the search.
    """
    parts: list[Part] = []
    reasons: list[str] = []
    for folder in _candidates(folders, out):
        try:
            parts.append(Part(folder=folder, report=_report(folder / REPORT)))
        except Unreadable as error:
            reasons.append(str(error))
    reasons += [f"{folder} is no folder" for folder in folders if not folder.is_dir()]
    return sorted(parts, key=lambda part: part.report.partition.index), reasons


def _candidates(folders: list[Path], out: Path | None) -> list[Path]:
    found = {
        file.parent.resolve(): file.parent
        for folder in folders
        for name in (REPORT, JUNIT)
        for file in folder.rglob(name)
    }
    if out is not None:
        found = {place: f for place, f in found.items() if not place.is_relative_to(out.resolve())}
    return sorted(found.values())[:PARTS_MAX]


def _report(path: Path) -> Report:
    data = read_json(path)
    if isinstance(data, dict) and "error" in data:
        raise Unreadable(f"{path} is of a run that was refused: {_refusal(data)}")
    try:
        return Report.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "all of it"
        raise Unreadable(f"{path} is no report of a partition: {where}: {first['msg']}") from None


def _refusal(data: dict[str, Any]) -> str:
    error = data["error"]
    return str(error.get("message")) if isinstance(error, dict) else str(error)
