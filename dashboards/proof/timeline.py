"""Writes snapshots of metrics as a stretch of virtual time that Prometheus can take in.

Between two marks a counter stands still, so few samples tell all there is: at every moment at which
a window of some query begins or ends, at the marks themselves, and each hour, for the pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from dashboards.facts import DAY_S
from dashboards.naming import OURS, Naming
from dashboards.proof.clockwork import STEP_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.metrics_core import Metric
    from prometheus_client.samples import Sample

    from dashboards.proof.clockwork import Snapshot

JOB = "billing"
WINDOWS_S = (STEP_S, 1200, 1800, 3600, 21_600, DAY_S, 30 * DAY_S)
"""Every window of a query: its own, the alerts', and those that `prove` fills in."""
_HOUR_S = 3600
_PICTURED_S = 4 * DAY_S


def moments_of(snapshots: Sequence[Snapshot]) -> list[int]:
    """Give the times at which there are samples, in Unix seconds."""
    marks = [each.mark_s for each in snapshots]
    found = {each.begins_s for each in snapshots} | set(marks)
    found |= {mark - window for mark in marks for window in WINDOWS_S}
    last = marks[-1] // _HOUR_S * _HOUR_S
    found |= set(range(last - _PICTURED_S, last, _HOUR_S))
    return sorted(each for each in found if each >= marks[0])


def open_metrics(snapshots: Sequence[Snapshot], naming: Naming = OURS) -> Iterator[str]:
    """Give the lines of an OpenMetrics page in which each family has all its samples."""
    times = moments_of(snapshots)
    pages = [_samples(each.page, naming) for each in snapshots]
    current = [max(n for n, s in enumerate(snapshots) if s.mark_s <= at) for at in times]
    shown: dict[str, list[str]] = {}
    for at, number in zip(times, current, strict=True):
        for family, series, value in pages[number]:
            shown.setdefault(family, []).append(f"{series} {value} {at}\n")
    for family, lines in shown.items():
        yield f"# TYPE {family} unknown\n"
        yield from lines
    yield "# EOF\n"


def _samples(page: str, naming: Naming) -> list[tuple[str, str, str]]:
    """Give family, series and value of each sample; families are split, for no type is claimed.

    It is told as two instances behind one address would tell it: each reads all gauges from the
    same database, and has counted a part of what was counted.
    """
    found = []
    for family in text_string_to_metric_families(page):
        for sample, shares in shared(family):
            name = naming.metric(sample.name)
            own = {naming.label(key): text for key, text in sample.labels.items()}
            for number, value in enumerate(shares, start=1):
                labels = {"job": JOB, "instance": f"proof:{number}", **own}
                inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
                found.append((name, f"{name}{{{inside}}}", repr(value)))
    return found


def shared(family: Metric) -> Iterator[tuple[Sample, tuple[float, float]]]:
    """Give each sample of a family with what the one instance tells of it, and what the other.

    Of a distribution every other bucket's observations were seen by the one: their shapes differ.
    """
    whose, below, parts, number = None, 0.0, [0.0, 0.0], 0
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            about = {key: text for key, text in sample.labels.items() if key != "le"}
            if about != whose:
                whose, below, parts, number = about, 0.0, [0.0, 0.0], 0
            parts[number % 2] += sample.value - below
            below, number = sample.value, number + 1
            yield sample, (parts[0], parts[1])
        elif family.type == "histogram" and sample.name.endswith("_count"):
            yield sample, (parts[0], parts[1])
        elif family.type == "gauge":
            yield sample, (sample.value, sample.value)
        elif not sample.name.endswith("_created"):
            yield sample, _halves(sample.value)


def _halves(value: float) -> tuple[float, float]:
    """Split a count so that both parts only ever grow.

    >>> _halves(7.0), _halves(0.5)
    ((4.0, 3.0), (0.25, 0.25))
    """
    second = float(value // 2) if value.is_integer() else value / 2
    return value - second, second


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
