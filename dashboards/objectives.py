"""The thresholds that an owner sets: objectives, limits, and when an alert is worth a night."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from harness.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

FAST_BURN = 14.4
"""Burn rate at which 2 % of a month's error budget goes in an hour (Google's SRE workbook, 5)"""
SLOW_BURN = 6.0
"""Burn rate at which 5 % of a month's error budget goes in six hours"""


@dataclass(frozen=True, slots=True)
class Objectives:
    """Ratios are from 0 to 1, times in seconds; each is set by `--threshold NAME=VALUE`."""

    payment_success: float = 0.95
    payments_min: float = 10
    coverage_min: float = 0.80
    coverage_goal: float = 0.95
    suite_duration_s: float = 300
    stale_after_s: float = 93_600
    webhook_age_s: float = 300
    fix_share: float = 0.99
    charge_share: float = 0.95
    summary_share: float = 0.99


_RATIOS = frozenset(
    {*("payment_success", "coverage_min", "coverage_goal"),
     *("fix_share", "charge_share", "summary_share")}
)  # fmt: skip


def read_objectives(given: Iterable[str]) -> Objectives:
    """Read `NAME=VALUE` words. Raises `SettingsError` that says what was expected.

    >>> read_objectives(["coverage_min=0.9"]).coverage_min
    0.9
    """
    known = {field.name for field in fields(Objectives)}
    found: dict[str, float] = {}
    for word in given:
        name, equals, text = word.partition("=")
        if name not in known or not equals:
            raise SettingsError(
                f"there is no threshold {name!r}",
                hint=f"Say --threshold NAME=VALUE with one of: {', '.join(sorted(known))}.",
            )
        found[name] = _number(name, text)
    objectives = replace(Objectives(), **found)
    _refuse_what_cannot_fire(objectives)
    return objectives


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    high = 1.0 if name in _RATIOS else math.inf
    if not (0 < value <= high and math.isfinite(value)):
        wanted = "a ratio above 0 and up to 1" if name in _RATIOS else "a number above 0"
        raise SettingsError(f"{name} cannot be {text!r}", hint=f"Give {wanted}.")
    return value


def _refuse_what_cannot_fire(objectives: Objectives) -> None:
    """Refuse an objective of which more than everything would have to fail."""
    lowest = 1 - 1 / FAST_BURN
    if not lowest < objectives.payment_success < 1:
        raise SettingsError(
            f"payment_success={objectives.payment_success:g} makes an alert that can never be"
            " right",
            hint=f"Give a ratio above {lowest:.3f}, so that {FAST_BURN:g} times its error budget"
            " is less than everything, and below 1.",
        )
    if objectives.coverage_min > objectives.coverage_goal:
        raise SettingsError(
            "coverage_min is above coverage_goal", hint="Give the goal at least the minimum."
        )
