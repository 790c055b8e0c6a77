"""Draws a proof as one HTML file that opens offline, prints, and is light or dark as its reader."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, FunctionLoader, StrictUndefined

from dashboards.proof.telling import figures, group, headline, truths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboards.proof.prove import Course, Proof

WIDTH, HEIGHT = 260, 56
_TEMPLATE = "page.html.j2"
_COURSES_MAX = 6


def render(proof: Proof) -> str:
    """Give the page."""
    environment = Environment(
        loader=FunctionLoader(_source), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["figures"] = figures
    environment.filters["truths"] = truths
    found = group(proof)
    names = dict.fromkeys(line.dashboard for line in found)
    return environment.get_template(_TEMPLATE).render(
        proof=proof,
        headline=headline(proof),
        began=datetime.fromtimestamp(proof.began_s, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        different=[line for line in found if not line.is_equal],
        dashboards=[(name, [line for line in found if line.dashboard == name]) for name in names],
        pictures={key: picture(courses) for key, courses in proof.courses.items()},
        width=WIDTH,
        height=HEIGHT,
    )


def _source(name: str) -> str:
    package = "harness.report" if name == "style.css" else "dashboards.proof"
    return (files(package) / name).read_text("utf-8")


def picture(courses: Sequence[Course]) -> list[tuple[str, str]]:
    """Give the lines of a small chart, each as a name and the points of an SVG polyline.

    All share one scale, from the least (or 0) to the greatest. What has no points has no line.
    """
    shown = [c for c in courses if c.points and any(value for _, value in c.points)][:_COURSES_MAX]
    points = [point for course in shown for point in course.points if point[1] == point[1]]
    if not points:
        return []
    times, values = [at for at, _ in points], [value for _, value in points]
    begins, ends = min(times), max(times)
    low, high = min(0.0, *values), max(values)

    def place(at: float, value: float) -> str:
        across = (at - begins) / ((ends - begins) or 1)
        up = (value - low) / ((high - low) or 1)
        return f"{2 + across * (WIDTH - 4):.1f},{HEIGHT - 3 - up * (HEIGHT - 6):.1f}"

    return [
        (course.name, " ".join(place(at, v) for at, v in course.points if v == v))  # noqa: PLR0124 - NaN
        for course in shown
    ]
