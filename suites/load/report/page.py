"""The page of a load: one HTML file, no script, nothing fetched, so that it opens anywhere."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import jinja2

from harness.money import spoken
from harness.report.page import moment
from suites.load.report import charts
from suites.load.schedule import Stage, level

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_POINTS = 240
_ROWS_MAX = 60
_NAMED = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0)


def page(data: Mapping[str, Any]) -> str:
    """Give a load's document (`--json`) as a page. All text of the target's is escaped."""
    series, interval_s = data["series"], data["interval_s"]
    stages = tuple(Stage(**stage) for stage in data.get("stages", ()))
    spectra = {"all arrivals": data["spectrum"]}
    kinds = data["kinds"]
    if len(kinds) > 1:
        spectra |= {name: kind.get("spectrum", []) for name, kind in list(kinds.items())[:3]}
    return _template().render(
        load=data,
        latency=charts.latency_chart(series),
        rate=charts.rate_chart(series, _intended(stages, data), interval_s),
        spectrum=charts.spectrum_chart(spectra),
        rows=_thinned(series),
        steps=_steps(data["spectrum"]),
    )


def _intended(stages: Sequence[Stage], data: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Give the schedule's rate over time; a closed model has users instead, which are no rate."""
    if data["model"] != "open" or not stages:
        return []
    end = sum(stage.duration_s for stage in stages)
    moments = [end * place / _POINTS for place in range(_POINTS)]
    return [(at, rate) for at in moments if (rate := level(stages, at)) is not None]


def _thinned(series: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    step = max(1, -(-len(series) // _ROWS_MAX))
    return list(series[::step])


def _steps(spectrum: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Give the spectrum's value at the percentiles that people ask for."""
    return [
        (name, value)
        for name in _NAMED
        if (value := next((v for p, v in spectrum if p >= name), None)) is not None
    ]


@functools.cache
def _template() -> jinja2.Template:
    loader = jinja2.ChoiceLoader(
        [
            jinja2.PackageLoader("suites.load.report", "."),
            jinja2.PackageLoader("harness.report", "."),
        ]
    )
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"ms": charts.ms, "moment": moment, "money": _money}
    return environment.get_template("page.html.j2")


def _money(amount_minor: int | None, currency: str | None) -> str:
    return "" if amount_minor is None or not currency else spoken(amount_minor, currency)
