"""What happened, as plain facts: what an oracle counts; `sources` says where each is read.

A fact is an event in the telemetry's own vocabulary (`harness.metrics.EFFECTS`), at a moment, with
fields. Telemetry counts events as they happen; facts are read from the books afterwards. That both
agree is what a proof shows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened: an event, when in Unix seconds, and its fields."""

    event: str
    at_s: float
    fields: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Facts:
    """All that is known of a stretch of time; for CI, the last merged report and its like."""

    events: Sequence[Fact] = ()
    report: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    load: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    matrix: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    audit: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @cached_property
    def by_event(self) -> Mapping[str, tuple[Fact, ...]]:
        """Give the facts of each event, in their order."""
        found: dict[str, list[Fact]] = {}
        for fact in self.events:
            found.setdefault(fact.event, []).append(fact)
        return {event: tuple(facts) for event, facts in found.items()}

    def of(self, event: str) -> tuple[Fact, ...]:
        """Give the facts of an event."""
        return self.by_event.get(event, ())


@dataclass(frozen=True, slots=True)
class Moment:
    """When a panel is looked at: its end, its range, and what `$__rate_interval` stands for."""

    end_s: float
    range_s: float = DAY_S
    rate_s: float = 300
