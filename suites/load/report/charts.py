"""Charts of a load as inline SVG: no script, nothing fetched, readable in print and by ear.

Lines differ by dash as well as by colour, and every chart says in words what it shows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from suites.load.measuring.result import figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 860, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 14, 12, 40
_TICKS_MAX = 7
_PERCENTILES = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999)
_FLOOR_MS = 0.01


@dataclass(frozen=True, slots=True)
class Line:
    """One line: what it is called, its class in the style sheet, and its points."""

    name: str
    look: str
    points: Points


@dataclass(frozen=True, slots=True)
class Axis:
    """From where to where an axis goes, where its ticks stand, and how one is written."""

    low: float
    high: float
    ticks: tuple[float, ...]
    write: Callable[[float], str]
    label: str
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Give how far along the axis a value lies, from 0 to 1."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = (math.log10(max(v, _FLOOR_MS)) for v in (low, high, value))
        return min(1.0, max(0.0, (value - low) / ((high - low) or 1.0)))


def latency_chart(series: Sequence[Mapping[str, Any]]) -> str:
    """Draw latency from the intended start over time; the axis is logarithmic."""
    names = (("p50", "median"), ("p99", "99th percentile"), ("max", "highest"))
    lines = [
        Line(said, look, [(i["t"], i[look]) for i in series if i.get("completed") and look in i])
        for look, said in names
    ]
    values = [y for line in lines for _, y in line.points if y > 0]
    if not values:
        return ""
    told = f"Latency over time, logarithmic, between {ms(min(values))} and {ms(max(values))}."
    return _chart(told, _time_axis(series), _log_axis(values), lines)


def rate_chart(series: Sequence[Mapping[str, Any]], intended: Points, interval_s: float) -> str:
    """Draw what was asked for, sent and completed a second, and what failed or was dropped."""
    kinds = (("sent", "sent"), ("completed", "answered"), ("errors", "errors"))
    lines = [
        Line(said, look, [(i["t"], i.get(look, 0) / interval_s) for i in series])
        for look, said in (*kinds, ("dropped", "dropped"))
        if look in {"sent", "completed"} or any(i.get(look) for i in series)
    ]
    end = max((i["t"] for i in series), default=0.0)
    due = [(at, rate) for at, rate in intended if at <= end]
    if due:
        lines.insert(0, Line("intended", "intended", due))
    highest = max((y for line in lines for _, y in line.points), default=0.0)
    if not series:
        return ""
    told = f"Arrivals a second over time, {figure(highest)} at most."
    return _chart(told, _time_axis(series), _axis(highest, "a second"), lines)


def spectrum_chart(spectra: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Draw latency by percentile; each step to the right is a tenth of what was left."""
    looks = ("p99", "p50", "max", "errors")
    lines = [
        Line(name, looks[place % len(looks)], [(p, v) for p, v in points if p < 100])
        for place, (name, points) in enumerate(spectra.items())
        if points
    ]
    values = [y for line in lines for _, y in line.points if y > 0]
    if not values:
        return ""
    farthest = max((p for line in lines for p, _ in line.points), default=50.0)
    shown = [Line(li.name, li.look, [(_rare(p), v) for p, v in li.points]) for li in lines]
    ticks = tuple(p for p in _PERCENTILES if _rare(p) <= _rare(farthest))
    across = Axis(0.0, _rare(farthest), tuple(map(_rare, ticks)), _percent, "percentile")
    told = f"Percentile spectrum, up to {ms(max(values))} at the {farthest:g}th percentile."
    return _chart(told, across, _log_axis(values), shown)


def _rare(percentile: float) -> float:
    """Give how many tens of rarity a percentile is: 0 → 0, 90 → 1, 99 → 2."""
    return -math.log10(max(1e-7, 1 - percentile / 100))


def _percent(rarity: float) -> str:
    return f"{round(100 * (1 - 10**-rarity), 4):g}"


def _time_axis(series: Sequence[Mapping[str, Any]]) -> Axis:
    end = max((i["t"] for i in series), default=1.0) or 1.0
    return Axis(0.0, end, _even(end), lambda s: f"{figure(s)}", "seconds since the start")


def _axis(highest: float, label: str) -> Axis:
    ticks = _even(max(highest, 1e-9) * 1.05)
    return Axis(0.0, max(highest * 1.05, ticks[-1]) or 1.0, ticks, figure, label)


def _even(high: float) -> tuple[float, ...]:
    """Give ticks at steps of 1, 2 or 5 times a power of ten."""
    rough = high / (_TICKS_MAX - 1)
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    return tuple(step * n for n in range(int(high / step + 1e-9) + 1))


def _log_axis(values: Iterable[float]) -> Axis:
    known = list(values)
    low, high = max(min(known), _FLOOR_MS), max(known)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) < _TICKS_MAX - 2 else (1,)
    every = [m * 10.0**p for p in powers for m in steps]
    low = max((t for t in every if t <= low), default=low)
    high = min((t for t in every if t >= high), default=high)
    ticks = tuple(t for t in every if low <= t <= high)
    return Axis(low, max(high, low * 2), ticks, ms, "latency", logarithmic=True)


def ms(value: float) -> str:
    """Write a duration as people read it.

    >>> ms(0.25), ms(12.3456), ms(4500)
    ('0.25 ms', '12.3 ms', '4.5 s')
    """
    if value >= 1000:
        return f"{value / 1000:.3g} s"
    return f"{value:.3g} ms" if value < 999.5 else "1 s"


def _chart(told: str, across: Axis, up: Axis, lines: Sequence[Line]) -> str:
    wide, high = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def x(value: float) -> float:
        return _LEFT + across.share(value) * wide

    def y(value: float) -> float:
        return _TOP + (1 - up.share(value)) * high

    said = escape(told)
    frame = f'role="img" viewBox="0 0 {WIDTH} {HEIGHT}" aria-label="{said}"'
    parts = [f'<svg class="chart" {frame}><title>{said}</title>']
    for tick in up.ticks:
        parts.append(f'<path class="grid" d="M{_LEFT} {y(tick):.1f}H{WIDTH - _RIGHT}"/>')
        parts.append(_text(_LEFT - 8, y(tick) + 4, up.write(tick), "end"))
    for tick in across.ticks:
        parts.append(f'<path class="grid" d="M{x(tick):.1f} {_TOP}V{HEIGHT - _BOTTOM}"/>')
        parts.append(_text(x(tick), HEIGHT - _BOTTOM + 17, across.write(tick), "middle"))
    parts.append(_text(_LEFT + wide / 2, HEIGHT - 6, across.label, "middle"))
    parts += [_line(line, x, y) for line in lines if line.points]
    return "".join(parts) + "</svg>" + _legend(lines)


def _line(line: Line, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    points = [(x(a), y(b)) for a, b in line.points]
    if len(points) == 1:
        (at, height), *_ = points
        return f'<circle class="dot {line.look}" cx="{at:.1f}" cy="{height:.1f}" r="3"/>'
    path = "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
    return f'<path class="line {line.look}" d="M{path}"/>'


def _text(x: float, y: float, said: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'


def _legend(lines: Sequence[Line]) -> str:
    keys = "".join(
        f'<li><svg width="26" height="10" aria-hidden="true"><path class="line {line.look}"'
        f' d="M0 5H26"/></svg>{escape(line.name)}</li>'
        for line in lines
        if line.points
    )
    return f'<ul class="legend">{keys}</ul>'
