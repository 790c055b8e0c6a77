"""Validates a staging: what is imported, what the service tells, and that each event is seen.

Writes to the target (customers of its own, test cards), and so refuses production.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dashboards.asking import ask_panel, ask_panels
from dashboards.checks import Finding
from dashboards.checks.lint import check_lint
from dashboards.checks.live import check_page, read_page
from dashboards.emitting import SIX, emit_six
from dashboards.naming import read_naming
from dashboards.objectives import Objectives
from dashboards.observables import CRITICAL, plans
from harness.errors import SettingsError
from harness.ground import Ground, Plan
from harness.naming import new_run_id, new_seed
from harness.running import running
from harness.scrape import scrape
from harness.target.load import find_target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dashboards.grafana_api import Grafana

BILLING = "billing-harness-billing"
_POLL_S = 0.2
_GRAFANA_POLL_S = 2.0
_SINCE = "now-15m"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is validated; `wait_s` bounds how long an event may take to be seen."""

    target: str
    dashboards: Sequence[Mapping[str, Any]]
    datasource: str = "prometheus"
    wait_s: float = 30.0


@dataclass(slots=True)
class Validated:
    """What was found wrong, which events were seen and where, and what could not be tried."""

    findings: list[Finding] = field(default_factory=list)
    seen: dict[str, list[str]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def validate(asked: Asked, grafana: Grafana | None = None) -> Validated:
    """Validate structure, critical panels and instrumentation, and that six events are seen.

    Raises `ProductionRefused` before anything is sent, and every other `HarnessError` where
    something cannot be looked at.
    """
    source, seed = find_target(asked.target), new_seed()
    told = Validated(check_structure(asked.dashboards))
    naming = read_naming(source.file.profile.metrics)
    with running(source, seed) as up, contextlib.ExitStack() as undo:
        plan = Plan(asked.target, seed, new_run_id(), folder="", variables=up.variables)
        ground = Ground(plan)
        undo.callback(ground.close)
        metrics = ground.target.profile.evidence.metrics
        if metrics is None:
            raise SettingsError(
                f"the profile of {asked.target} does not say where its metrics are",
                hint='Write [evidence.metrics] url = "…" into it.',
            )
        page = read_page(metrics.url, headers=metrics.headers)
        told.findings += check_page(page, naming.catalogue())

        def read() -> dict[str, float]:
            reading = scrape(metrics)
            return {event.name: reading.total(naming.expr(event.series)) for event in SIX}

        before = read()
        told.missing = dict(emit_six(ground.session("validate"), ground.webhook_secret))
        _see_in_metrics(told, lambda: _grown(before, read()), asked.wait_s)
        if grafana:
            _see_in_grafana(told, grafana, asked)
    return told


def check_structure(dashboards: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Find what the linter would, and critical panels that are missing or ask nothing."""
    named = {str(each["uid"]).removeprefix("billing-harness-"): each for each in dashboards}
    if "billing" not in named:
        return [Finding("structure", "billing", "the billing dashboard is missing")]
    found = check_lint(named)
    asked = {p.get("title") for p in named["billing"]["panels"] if p.get("targets")}
    for key, title in _titles().items():
        if key in CRITICAL and title not in asked:
            found.append(Finding("critical", title, "a critical panel is missing, or asks nothing"))
    return found


def _titles() -> dict[str, str]:
    return {each.key: each.title for each in plans(Objectives())[0].observables}


def _grown(before: Mapping[str, float], after: Mapping[str, float]) -> set[str]:
    return {name for name, value in after.items() if value > before[name]}


def _see_in_metrics(told: Validated, look: Callable[[], set[str]], wait_s: float) -> None:
    due = {event.name for event in SIX} - set(told.missing)
    seen = _await(lambda: look() & due, due, wait_s, _POLL_S)
    for event in SIX:
        if event.name in seen:
            told.seen[event.name] = ["metrics"]
        elif event.name in due:
            what = f"{event.name}, and {event.series} did not grow within {wait_s:g} s"
            told.findings.append(Finding("event", event.series, what))


def _see_in_grafana(told: Validated, grafana: Grafana, asked: Asked) -> None:
    grafana.version()
    grafana.check_datasource(asked.datasource)
    found = grafana.dashboard(BILLING)
    if found is None:
        what = "it is not in Grafana: bring it there by `dashboards push`"
        told.findings.append(Finding("grafana", BILLING, what))
        return
    titles = _titles()
    panels = {each.get("title"): each for each in found["dashboard"].get("panels", ())}
    told.findings += [
        Finding("query", f"{each.panel} {each.ref}", each.error)
        for each in ask_panels(grafana, found["dashboard"], asked.datasource)
        if each.error
    ]
    wanted = {event.panel for event in SIX if event.name in told.seen} | set(CRITICAL)
    shown = _await(
        lambda: {key for key in wanted if _shows(grafana, panels.get(titles[key]), asked)},
        wanted,
        asked.wait_s,
        _GRAFANA_POLL_S,
    )
    for key in sorted(wanted - shown):
        what = f"it is missing, or shows nothing within {asked.wait_s:g} s"
        told.findings.append(Finding("panel", titles[key], what))
    for event in SIX:
        if event.name in told.seen and event.panel in shown:
            told.seen[event.name].append(f"panel “{titles[event.panel]}”")


def _shows(grafana: Grafana, panel: Mapping[str, Any] | None, asked: Asked) -> bool:
    if panel is None or not panel.get("targets"):
        return False
    answers = ask_panel(grafana, panel, asked.datasource, _SINCE)
    return any(value > 0 for answer in answers for value in answer.values)


def _await(look: Callable[[], set[str]], due: set[str], wait_s: float, poll_s: float) -> set[str]:
    """Look until all that is due is seen, or the deadline; give what was seen."""
    ends_at, seen = time.monotonic() + wait_s, look()
    while not due <= seen and (left_s := ends_at - time.monotonic()) > 0:
        time.sleep(min(poll_s, left_s))
        seen |= look()
    return seen
