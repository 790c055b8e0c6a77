"""Which tests a run is of: suites, groups within them, the smoke selection, words in names."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import pytest

    from harness.settings import RunSettings

SMOKE = "smoke"
PRODUCTION = "production"
_WORD = re.compile(r"[\w.:+\-\[\]\\/]+")  # what pytest's -k takes for a name
_GROUP = re.compile(r"\bmark\.group\(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Selection:
    """What a run is of. `smoke` keeps the tests so marked; no `groups` and no `words` keep all.

    `production` keeps those that are safe for production, which send nothing or only read.
    """

    suites: tuple[str, ...]
    smoke: bool = False
    groups: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    production: bool = False

    def __str__(self) -> str:
        """Say it in a line."""
        parts = [", ".join(self.suites)]
        if self.smoke:
            parts.append("smoke tests only")
        if self.production:
            parts.append("only what is safe for production")
        if self.groups:
            parts.append(f"only the group {' and '.join(self.groups)}")
        if self.words:
            parts.append(f"only {' or '.join(self.words)}")
        return " · ".join(parts)

    def arguments(self) -> list[str]:
        """Give it as pytest, with the harness's plugin, is told."""
        told = [f"--harness-group={name}" for name in self.groups]
        if self.smoke:
            told.append("--harness-smoke")
        if self.production:
            told.append("--harness-production")
        if self.words:
            told += ["-k", " or ".join(self.words)]
        return [*told, "--pyargs", *(f"suites.{name}" for name in self.suites)]


def selection(settings: RunSettings) -> Selection:
    """Give what the settings ask for. Raises `TargetError` for what does not exist."""
    suites = chosen_suites(tuple(name for name in settings.suites if name != SMOKE))
    known = group_names(suites)
    wrong = [name for name in settings.groups if name not in known]
    if wrong:
        raise TargetError(
            f"there is no group {', '.join(map(repr, wrong))} in {', '.join(suites)}",
            hint=f"Groups: {', '.join(known) or 'none'}.",
        )
    odd = [word for word in settings.tests if not _WORD.fullmatch(word)]
    if odd:
        raise TargetError(
            f"{', '.join(map(repr, odd))} can be in no test's name",
            hint="Say a part of a test's or a file's name to --test: test_trial, refund.",
        )
    smoke = SMOKE in settings.suites
    return Selection(tuple(suites), smoke, settings.groups, settings.tests, settings.only_reads)


def chosen_suites(asked: tuple[str, ...]) -> list[str]:
    """Give the suites to run. Raises `TargetError` for one that does not exist."""
    known = suite_names()
    wrong = [name for name in asked if name not in known]
    if wrong:
        raise TargetError(
            f"there is no suite {', '.join(map(repr, wrong))}",
            hint=f"Suites: {', '.join(known)}; {SMOKE} is a quick selection of all.",
        )
    return list(asked) or known


def suite_names() -> list[str]:
    """Name the suites that are installed, without importing any."""
    return sorted(folder.name for folder in _folders())


def group_names(suites: Collection[str]) -> list[str]:
    """Name the groups of these suites, as their tests' markers write them."""
    texts = (
        file.read_text("utf-8")
        for folder in _folders()
        if folder.name in suites
        for file in folder.glob("*.py")
    )
    return sorted(
        {name for text in texts for told in _GROUP.findall(text) for name in _names(told)}
    )


def kept(
    item: pytest.Item, *, smoke: bool, groups: Collection[str], production: bool = False
) -> bool:
    """Whether a test is of the selection."""
    if production and item.get_closest_marker(PRODUCTION) is None:
        return False
    if smoke and item.get_closest_marker(SMOKE) is None:
        return False
    own = {name for marker in item.iter_markers("group") for name in marker.args}
    return not groups or bool(own & set(groups))


def _folders() -> Iterator[Path]:
    found = importlib.util.find_spec("suites")
    places = found.submodule_search_locations if found else None
    folders = [entry for place in places or () for entry in Path(place).iterdir()]
    return (folder for folder in folders if (folder / "__init__.py").is_file())


def _names(told: str) -> list[str]:
    return re.findall(r"[\"']([\w-]+)[\"']", told)
