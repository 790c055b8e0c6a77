"""Writes snapshots of metrics as a stretch of virtual time that Prometheus can take in.

Between two marks a counter stands still, so few samples tell all there is: at every moment at which
a window of some query begins or ends, at the marks themselves, and each hour, for the pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from dashboards.facts import DAY_S
from dashboards.proof.clockwork import STEP_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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


def parts_of(snapshots: Sequence[Snapshot]) -> Iterator[Iterator[str]]:
    """Give the pages of the month before and of the last days.

    promtool reads a page once for each two hours that it spans, so a long one should be thin.
    """
    times = moments_of(snapshots)
    border_s = times[-1] - _PICTURED_S
    yield open_metrics(snapshots, [at for at in times if at < border_s])
    yield open_metrics(snapshots, [at for at in times if at >= border_s])


def open_metrics(snapshots: Sequence[Snapshot], times: Sequence[int]) -> Iterator[str]:
    """Give the lines of an OpenMetrics page in which each family has all its samples."""
    pages = [_samples(each.page) for each in snapshots]
    current = [max(n for n, s in enumerate(snapshots) if s.mark_s <= at) for at in times]
    shown: dict[str, list[str]] = {}
    for at, number in zip(times, current, strict=True):
        for family, series, value in pages[number]:
            shown.setdefault(family, []).append(f"{series} {value} {at}\n")
    for family, lines in shown.items():
        yield f"# TYPE {family} unknown\n"
        yield from lines
    yield "# EOF\n"


def _samples(page: str) -> list[tuple[str, str, str]]:
    """Give family, series and value of each sample; families are split, for no type is claimed.

    A second instance, which nobody calls, reads the same gauges from the same database.
    """
    found = []
    for family in text_string_to_metric_families(page):
        instances = ("proof:1", "proof:2") if family.type == "gauge" else ("proof:1",)
        for sample in family.samples:
            if sample.name.endswith("_created"):
                continue
            for instance in instances:
                labels = {"job": JOB, "instance": instance, **sample.labels}
                inside = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())
                found.append((sample.name, f"{sample.name}{{{inside}}}", repr(sample.value)))
    return found


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
