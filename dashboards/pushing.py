"""Brings dashboards into a Grafana: the difference first, and all of them or none.

Before anything is written, what is there is kept in memory. A dashboard is saved over the version
that was looked at and no other; then all are read back and every query is run. Whatever fails puts
back what was there, newest first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dashboards.asking import Answer, ask_panels
from dashboards.checks import Finding
from dashboards.difference import changes, lost
from dashboards.grafana_api import MaybeDone
from harness.errors import GrafanaError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from dashboards.grafana_api import Grafana

MESSAGE = "billing-harness dashboards push"
RESTORED = "billing-harness dashboards push: what was there before"
_LOST_MAX = 5


@dataclass(frozen=True, slots=True)
class Place:
    """Where dashboards go: a folder by its uid, and the data source that their queries use."""

    folder: str = "billing-harness"
    title: str = "Billing"
    datasource: str = "prometheus"


@dataclass(frozen=True, slots=True)
class Difference:
    """What an import does to one dashboard; `lines` is empty where it is as it should be."""

    uid: str
    title: str
    lines: tuple[str, ...]


@dataclass(slots=True)
class Pushed:
    """What came of an import: differences, what was found wrong, and what was put back."""

    version: str
    differences: list[Difference]
    findings: list[Finding] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)


def read_dashboards(folder: Path) -> list[dict[str, Any]]:
    """Read what `build` has written into a folder. Raises `SettingsError`."""
    found = []
    for path in sorted(folder.glob("*_dashboard.json")):
        try:
            data = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise SettingsError(f"{path} is no dashboard: {error}", hint=_BUILD) from None
        if not isinstance(data, dict) or not data.get("uid") or not data.get("title"):
            raise SettingsError(f"{path} is a dashboard without uid or title", hint=_BUILD)
        found.append(data)
    if not found:
        raise SettingsError(f"there is no dashboard in {folder}", hint=_BUILD)
    return found


def built(datasource: str) -> list[dict[str, Any]]:
    """Give the dashboards as they are by default, for a data source."""
    from dashboards.build import Wanted, artefacts
    from dashboards.grafana import Drawing

    files = artefacts(Wanted(drawing=Drawing(datasource)))
    return [json.loads(text) for name, text in files.items() if name.endswith("_dashboard.json")]


_BUILD = "Write them by: billing-harness dashboards build --out DIR"


def push(
    grafana: Grafana, dashboards: Sequence[dict[str, Any]], place: Place, *, dry_run: bool = False
) -> Pushed:
    """Import dashboards; findings mean that everything was put back as it was.

    Raises `GrafanaError` where Grafana does not do what it is asked; then too.
    """
    version = grafana.version()
    grafana.check_datasource(place.datasource)
    has_folder = grafana.folder(place.folder) is not None
    before = {each["uid"]: grafana.dashboard(each["uid"]) for each in dashboards}
    _refuse_provisioned(before)
    pushed = Pushed(version, [_difference(each, before[each["uid"]], place) for each in dashboards])
    if dry_run:
        return pushed
    undo = _Undo(grafana)
    try:
        if not has_folder:
            _make_folder(grafana, place, undo)
        changed = {difference.uid for difference in pushed.differences if difference.lines}
        for each in dashboards:
            if each["uid"] in changed:
                _save(grafana, each, before[each["uid"]], place, undo)
        for each in dashboards:
            pushed.findings += _look(grafana, each, place, pushed.answers)
    except BaseException as error:
        told = undo.all()
        if isinstance(error, GrafanaError):
            raise GrafanaError(f"{error.message}; {_told(told)}", hint=error.hint) from None
        raise
    if pushed.findings:
        pushed.restored = undo.all()
    return pushed


def _refuse_provisioned(before: Mapping[str, Mapping[str, Any] | None]) -> None:
    for uid, found in before.items():
        if found and (found.get("meta") or {}).get("provisioned"):
            raise GrafanaError(
                f"the dashboard {uid} is provisioned from a file there, and cannot be saved over",
                hint="Put the new files where that Grafana reads its own. Nothing was written.",
            )


def _difference(
    new: Mapping[str, Any], found: Mapping[str, Any] | None, place: Place
) -> Difference:
    lines = changes(found["dashboard"] if found else None, new)
    was = _folder_of(found)
    if found and was != place.folder:
        lines.append(f"~ folder: from {was or 'the root'} to {place.folder}")
    return Difference(new["uid"], new["title"], tuple(lines))


def _folder_of(found: Mapping[str, Any] | None) -> str:
    return str(((found or {}).get("meta") or {}).get("folderUid") or "")


def _make_folder(grafana: Grafana, place: Place, undo: _Undo) -> None:
    def drop() -> None:
        grafana.drop_folder(place.folder)

    try:
        grafana.make_folder(place.folder, place.title)
    except MaybeDone:
        undo.will("folder", place.folder, drop)
        raise
    undo.will("folder", place.folder, drop)


def _save(
    grafana: Grafana,
    new: Mapping[str, Any],
    found: Mapping[str, Any] | None,
    place: Place,
    undo: _Undo,
) -> None:
    """Save one dashboard over the version that was looked at, and remember how to take it back."""
    uid, old = new["uid"], found["dashboard"] if found else None
    own = {"id": old.get("id"), "version": old.get("version")} if old else {"id": None}

    def put_back() -> None:
        if old is None:
            grafana.drop_dashboard(uid)
        else:
            grafana.save(old, _folder_of(found), RESTORED, overwrite=True)

    try:
        grafana.save({**new, **own}, place.folder, MESSAGE)
    except MaybeDone:
        if _may_hold(grafana, new):
            undo.will("dashboard", uid, put_back)
        raise
    undo.will("dashboard", uid, put_back)


def _may_hold(grafana: Grafana, new: Mapping[str, Any]) -> bool:
    """Whether what is there may be ours: somebody else's is not ours to take back."""
    try:
        found = grafana.dashboard(new["uid"])
    except GrafanaError:
        return True
    return found is not None and not list(lost(new, found["dashboard"]))


def _look(
    grafana: Grafana, sent: Mapping[str, Any], place: Place, answers: list[Answer]
) -> list[Finding]:
    """Read a dashboard back, compare it with what was sent, and run its queries."""
    title = sent["title"]
    back = grafana.dashboard(sent["uid"])
    if back is None:
        return [Finding("read back", title, "it is not there after it was saved")]
    found = [
        Finding("read back", title, f"{path} did not come back as it was sent")
        for path in list(lost(sent, back["dashboard"]))[:_LOST_MAX]
    ]
    if _folder_of(back) != place.folder:
        found.append(Finding("read back", title, f"it is not in the folder {place.folder}"))
    told = list(ask_panels(grafana, back["dashboard"], place.datasource))
    answers += told
    failed = [each for each in told if each.error]
    found += [Finding("query", f"{title}/{e.panel} {e.ref}", e.error or "") for e in failed]
    return found


class _Undo:
    """How to take back what was done, newest first."""

    def __init__(self, grafana: Grafana) -> None:
        self._grafana = grafana
        self._steps: list[tuple[str, Callable[[], None]]] = []

    def will(self, kind: str, uid: str, act: Callable[[], None]) -> None:
        """Remember how to take something back."""
        self._steps.append((f"{kind} {uid}", act))

    def all(self) -> list[str]:
        """Take everything back; say of each how that went."""
        told = []
        while self._steps:
            what, act = self._steps.pop()
            try:
                act()
                told.append(f"{what} is as it was")
            except GrafanaError as error:
                told.append(f"{what} is NOT AS IT WAS ({error.message}): see its versions there")
        return told


def _told(restored: Sequence[str]) -> str:
    return "; ".join(restored) if restored else "nothing was changed"
