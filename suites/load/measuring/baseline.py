"""Baselines: what loads came to before, and whether a new one is worse than chance explains.

One run says little: the same service twice differs by the machine's mood. A baseline keeps several
runs; a new one is a regression where it lies beyond all of them by more than their own spread and
by more than a floor that nobody would notice. (Why no t-test: docs/adr/0077.)
"""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import SettingsError
from harness.report.write import prepare_file, write_whole
from suites.load.measuring.result import figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

RUNS_MAX = 50
RUNS_MIN = 3
_SPREADS = 3.0
_SHARE_MIN = 0.10
_FLOORS = {"ms": 2.0, "ratio": 0.002}
_MAD_TO_SIGMA = 1.4826  # of a normal distribution
_FIGURES = (
    ("latency_ms.p50", "ms"),
    ("latency_ms.p95", "ms"),
    ("latency_ms.p99", "ms"),
    ("error_ratio", "ratio"),
)
_SAME = ("scenario", "model", "requested_rate", "connections", "target")

Word = Literal["same", "worse", "better", "unknown"]


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure: what it usually was, what it may be by chance, what it is now."""

    figure: str
    word: Word
    now: float
    usual: float
    low: float
    high: float
    runs: int

    def __str__(self) -> str:
        """Say it in a line."""
        margin = f"{figure(self.low)} to {figure(self.high)} in {self.runs} runs"
        told = f"{self.figure}: {figure(self.now)}, {self.word}"
        return f"{told} ({margin}, usually {figure(self.usual)})"


def key_of(document: Mapping[str, Any]) -> str:
    """Give what must be the same for two loads to be compared."""
    return json.dumps([document.get(name) for name in _SAME])


def save(path: Path, documents: Sequence[Mapping[str, Any]]) -> int:
    """Add loads to a baseline's file; give how many of this kind it then holds.

    Raises `SettingsError` for a load that proves nothing: one that is partial, void, unknown or
    invalid would make every later one look good.
    """
    kept = _read(path) if path.exists() else {}
    count = 0
    for document in documents:
        if document["verdict"] != "valid":
            raise SettingsError(
                f"a load that ended {document['verdict']} is no baseline",
                hint="Run it again until it is valid; `load report FILE` shows what was wrong.",
            )
        runs = kept.setdefault(key_of(document), [])
        if document["run_id"] not in {run["run_id"] for run in runs}:
            runs.append(_figures(document))
        del runs[:-RUNS_MAX]
        count = len(runs)
    prepare_file(path)
    write_whole(path, json.dumps({"format": 1, "loads": kept}, indent=1) + "\n")
    return count


def _figures(document: Mapping[str, Any]) -> dict[str, Any]:
    told = {"run_id": document["run_id"], "started_at": document["started_at"]}
    return told | {figure: value_of(document, figure) for figure, _ in _FIGURES}


def value_of(document: Mapping[str, Any], figure: str) -> float:
    """Give a figure of a document by its dotted name; 0 where it has none."""
    found: Any = document
    for part in figure.split("."):
        found = found.get(part, 0.0)
    return float(found)


def compare(path: Path, document: Mapping[str, Any]) -> list[Compared]:
    """Hold a load against the baseline's runs of the same kind. Raises `SettingsError`.

    Fewer than three of them have no spread that means anything: every word is then *unknown*.
    """
    runs = _read(path).get(key_of(document), [])
    runs = [run for run in runs if run["run_id"] != document["run_id"]]
    if not runs:
        raise SettingsError(
            f"{path} holds no load like this one: {key_of(document)}",
            hint="Save one with the same scenario, rate, connections and target:"
            " billing-harness load baseline save FILE",
        )
    return [_compared(figure, unit, runs, document) for figure, unit in _FIGURES]


def _compared(
    figure: str, unit: str, runs: Sequence[Mapping[str, Any]], document: Mapping[str, Any]
) -> Compared:
    values = [float(run[figure]) for run in runs]
    now, usual = value_of(document, figure), statistics.median(values)
    spread = _MAD_TO_SIGMA * statistics.median(abs(value - usual) for value in values)
    room = max(_SPREADS * spread, _SHARE_MIN * usual, _FLOORS[unit])
    low, high = min([*values, usual - room]), max([*values, usual + room])
    word: Word = "worse" if now > high else "better" if now < low else "same"
    if len(values) < RUNS_MIN:
        word = "unknown"
    return Compared(figure, word, now, usual, max(0.0, low), high, len(values))


def to_data(compared: Sequence[Compared]) -> dict[str, Any]:
    """Give a comparison as plain data."""
    words = {each.word for each in compared}
    word = next((word for word in ("unknown", "worse", "better") if word in words), "same")
    return {"compared": word, "figures": [asdict(each) for each in compared]}


def _read(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        loads = json.loads(path.read_text("utf-8"))["loads"]
        return {
            str(kind): [{**run, **{f: float(run[f]) for f, _ in _FIGURES}} for run in runs]
            for kind, runs in loads.items()
        }
    except FileNotFoundError:
        raise SettingsError(
            f"there is no baseline {path}",
            hint="Make one: billing-harness load baseline save FILE",
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(
            f"{path} is no baseline: {error!r}", hint="Give the file that `baseline save` wrote."
        ) from None
