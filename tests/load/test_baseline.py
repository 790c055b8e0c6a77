"""A baseline tells a regression from chance, and refuses what proves nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SettingsError
from suites.load.measuring import baseline
from tests.load.making import FIGURES, made

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def run(name: str, p99: float, **facts: Any) -> dict[str, Any]:
    """Give a load whose 99th percentile was so much."""
    return made(run_id=name, latency_ms={**FIGURES, "p99": p99}, **facts)


def kept(path: Path, p99s: Sequence[float]) -> Path:
    """Save loads of these 99th percentiles."""
    baseline.save(path, [run(f"run-{n}", p99) for n, p99 in enumerate(p99s)])
    return path


def word(path: Path, p99: float) -> str:
    """Say what a new load's 99th percentile is against the baseline."""
    compared = baseline.compare(path, run("new", p99))
    return next(each.word for each in compared if each.figure == "latency_ms.p99")


def test_more_than_chance_is_worse(tmp_path: Path) -> None:
    """Beyond every run and beyond their spread is worse; within it is the same; below is better."""
    path = kept(tmp_path / "b.json", [40, 42, 41, 39, 43])
    assert [word(path, p99) for p99 in (41, 45, 80, 20)] == ["same", "same", "worse", "better"]


def test_a_noisy_service_has_more_room(tmp_path: Path) -> None:
    """What is a regression of a steady service is chance in one that varies by itself."""
    assert word(kept(tmp_path / "steady.json", [40, 41, 40, 41]), 60) == "worse"
    assert word(kept(tmp_path / "noisy.json", [30, 60, 40, 55]), 60) == "same"


@settings(max_examples=40)
@given(st.lists(st.floats(1, 1000), min_size=3, max_size=10), st.data())
def test_a_run_of_the_baseline_is_never_worse(
    tmp_path_factory: pytest.TempPathFactory, p99s: list[float], data: st.DataObject
) -> None:
    """No load that lies among those saved is told as worse, however they lie."""
    path = kept(tmp_path_factory.mktemp("baseline") / "b.json", p99s)
    assert word(path, data.draw(st.sampled_from(p99s))) == "same"


def test_too_few_runs_are_unknown(tmp_path: Path) -> None:
    """Two runs have no spread: the comparison says so instead of guessing."""
    path = kept(tmp_path / "b.json", [40, 41])
    compared = baseline.compare(path, run("new", 400))
    assert {each.word for each in compared} == {"unknown"}
    assert baseline.to_data(compared)["compared"] == "unknown"


def test_the_same_load_saved_again_counts_once(tmp_path: Path) -> None:
    """A run is known by its id, and is not compared with itself."""
    path = kept(tmp_path / "b.json", [40, 41, 42])
    assert baseline.save(path, [run("run-1", 41)]) == 3
    assert len(baseline.compare(path, run("run-1", 41))) == 4
    assert baseline.compare(path, run("run-1", 41))[0].runs == 2


@pytest.mark.parametrize("facts", [{"partial": True}, {"void_reasons": ["late"]}])
def test_what_proves_nothing_is_no_baseline(tmp_path: Path, facts: dict[str, Any]) -> None:
    """A partial or void load is refused: beside it every later one would look good."""
    with pytest.raises(SettingsError, match="no baseline"):
        baseline.save(tmp_path / "b.json", [run("bad", 40, **facts)])
    assert not (tmp_path / "b.json").exists()


def test_another_load_is_not_compared(tmp_path: Path) -> None:
    """Another rate, scenario or target is another load; there is nothing to compare it with."""
    path = kept(tmp_path / "b.json", [40, 41, 42])
    with pytest.raises(SettingsError, match="no load like this"):
        baseline.compare(path, run("new", 40, requested_rate=99.0))


@pytest.mark.parametrize("text", ["", "[]", '{"loads": {"k": [{"run_id": "x"}]}}'])
def test_a_damaged_baseline_is_told(tmp_path: Path, text: str) -> None:
    """What is no baseline is refused in a sentence, and so is one that is missing."""
    (tmp_path / "b.json").write_text(text)
    for path in (tmp_path / "b.json", tmp_path / "none.json"):
        with pytest.raises(SettingsError):
            baseline.compare(path, made())


def test_old_runs_make_room(tmp_path: Path) -> None:
    """A baseline keeps its last runs, so that what was true a year ago does not count for ever."""
    path = kept(tmp_path / "b.json", [40.0 + n for n in range(baseline.RUNS_MAX + 5)])
    (runs,) = json.loads(path.read_text())["loads"].values()
    assert len(runs) == baseline.RUNS_MAX
    assert runs[0]["run_id"] == "run-5"
