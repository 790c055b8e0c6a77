"""The tables of docs/TELEMETRY.md: every metric and every event of `harness.metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.metrics import CATALOGUE, EFFECTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.metrics import Effect, Metric

_OWN = {
    "customer_segment": "your segments",
    "customer": "at most 20 of yours, `other`",
    "version": "one",
    "commit": "one",
}


def metrics_table() -> str:
    """Return every metric with its kind, its labels with all values, and its meaning."""
    rows = [
        "| metric | kind | labels and their values | what it tells |",
        "| --- | --- | --- | --- |",
    ]
    return "\n".join([*rows, *(_metric(metric) for metric in CATALOGUE.values())])


def _metric(metric: Metric) -> str:
    labels = "<br>".join(_label(name, values) for name, values in metric.labels.items()) or "none"
    edges = (
        f" Edges: {', '.join(f'{edge:g}' for edge in metric.buckets)}." if metric.buckets else ""
    )
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help}{edges} |"


def _label(name: str, values: tuple[str, ...]) -> str:
    told = _OWN.get(name) or ", ".join(f"`{value}`" for value in values)
    return f"`{name}`: {told}"


def events_table() -> str:
    """Return every event with the fields that it takes and the metrics that it moves."""
    rows = ["| event | fields | moves |", "| --- | --- | --- |"]
    return "\n".join([*rows, *(_event(name, effects) for name, effects in EFFECTS.items())])


def _event(name: str, effects: tuple[Effect, ...]) -> str:
    fields: dict[str, None] = {}
    for effect in effects:
        fixed: Mapping[str, str] = dict(effect.fixed)
        fields |= dict.fromkeys(n for n in CATALOGUE[effect.metric].labels if n not in fixed)
        fields |= dict.fromkeys([effect.amount] if effect.amount else [])
    told = ", ".join(f"`{field}`" for field in fields) or "none"
    moves = ", ".join(f"`{effect.metric}`" for effect in effects)
    return f"| `{name}` | {told} | {moves} |"
