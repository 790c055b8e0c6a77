"""What a pipeline's load runs left: figures for the metrics, and a gate of their verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ci.gates import Gate, Status
from ci.reading import Unreadable, read_json
from harness.gauntlet.matrix import EXIT_MISSED
from harness.report.results import EXIT_INVALID, EXIT_VALID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LOAD_FILE = "load-summary.json"
_SCENARIOS_MAX = 32
_BAD = (EXIT_INVALID, EXIT_MISSED)


class Scenario(BaseModel):
    """What one scenario's last load came to; a quantile is a number from 0 to 1, as text."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    quantiles_s: dict[str, float]
    error_ratio: float = Field(ge=0)
    dropped: int = Field(ge=0)
    verdict: str
    exit_status: int
    headline: str = ""


class Loads(BaseModel):
    """What `billing-harness load` leaves in its results' folder for a pipeline."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    rate: float = Field(ge=0)
    scenarios: dict[str, Scenario] = Field(min_length=1, max_length=_SCENARIOS_MAX)


def read_loads(
    folders: Sequence[Path], out: Path | None = None
) -> tuple[dict[str, Any] | None, Gate | None]:
    """Read every summary below these folders, `out` left out; give all as one, and the gate.

    None and None where there is none. Of two jobs that loaded with one scenario, the worse counts.
    """
    files = {file.resolve(): file for folder in folders for file in folder.rglob(LOAD_FILE)}
    if out is not None:
        files = {p: f for p, f in files.items() if not p.is_relative_to(out.resolve())}
    found: dict[str, Scenario] = {}
    rates: list[float] = []
    damaged: list[str] = []
    for file in sorted(files.values()):
        try:
            loads = Loads.model_validate(read_json(file))
        except Unreadable as error:
            damaged.append(str(error))
        except ValidationError as error:
            damaged.append(f"{file} tells of no load: {error.errors()[0]['msg']}")
        else:
            rates.append(loads.rate)
            for name, told in loads.scenarios.items():
                found[name] = max(told, found.get(name, told), key=_rank)
    if not found and not damaged:
        return None, None
    data = {"rate": sum(rates) / len(rates), "scenarios": _plain(found)} if found else None
    return data, _gate(found, damaged)


def _plain(found: dict[str, Scenario]) -> dict[str, Any]:
    return {name: told.model_dump() for name, told in found.items()}


def _rank(told: Scenario) -> int:
    return 0 if told.exit_status == EXIT_VALID else 2 if told.exit_status in _BAD else 1


def _gate(found: dict[str, Scenario], damaged: list[str]) -> Gate:
    """Give the gate: missed where money was wrong or a threshold missed, unknown where in doubt."""
    words = [f"{name} {_word(told)}" for name, told in sorted(found.items())]
    bad = sum(_rank(told) == 2 for told in found.values())  # noqa: PLR2004 - the worst rank
    doubtful = bool(damaged) or any(_rank(told) == 1 for told in found.values())
    status: Status = "missed" if bad else "unknown" if doubtful else "passed"
    return Gate("load", status, "; ".join([*words, *damaged]), float(bad), 0)


def _word(told: Scenario) -> str:
    return "missed a threshold" if told.exit_status == EXIT_MISSED else told.verdict
