"""What can be checked of dashboards and rules without a Grafana: each check gives findings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something that is wrong: the check that found it, where, and what."""

    check: str
    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A check that could not be made, and why."""

    check: str
    reason: str
