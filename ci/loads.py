"""What a pipeline's load runs left: figures for the metrics, and a gate of their verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ci.gates import Gate
from ci.reading import Unreadable, read_json
from harness.gauntlet.matrix import EXIT_MISSED
from harness.report.results import EXIT_INVALID, EXIT_UNKNOWN, EXIT_VALID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ci.gates import Status

LOAD_FILE = "load-summary.json"
_SCENARIOS_MAX = 32
_WORST_LAST = (EXIT_VALID, EXIT_UNKNOWN, EXIT_MISSED, EXIT_INVALID)
_STATUS: dict[int, Status] = {
    EXIT_VALID: "passed",
    EXIT_UNKNOWN: "unknown",
    EXIT_MISSED: "missed",
    EXIT_INVALID: "invalid",
}


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


def _ended(told: Scenario) -> int:
    """Give how a load ended, as an exit status; one that was interrupted proves nothing."""
    return told.exit_status if told.exit_status in _STATUS else EXIT_UNKNOWN


def _rank(told: Scenario) -> int:
    return _WORST_LAST.index(_ended(told))


def _gate(found: dict[str, Scenario], damaged: list[str]) -> Gate:
    """Give the gate: invalid where money was wrong, missed where a threshold was, else in doubt."""
    words = [f"{name} {_word(told)}" for name, told in sorted(found.items())]
    bad = sum(_ended(told) in {EXIT_MISSED, EXIT_INVALID} for told in found.values())
    ended = [EXIT_UNKNOWN] * bool(damaged) + [_ended(told) for told in found.values()]
    status = _STATUS[max(ended, key=_WORST_LAST.index)]
    return Gate("load", status, "; ".join([*words, *damaged]), float(bad), 0)


def _word(told: Scenario) -> str:
    return "missed a threshold" if told.exit_status == EXIT_MISSED else told.verdict
