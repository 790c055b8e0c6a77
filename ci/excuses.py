"""Tests that are excused for a while, each with who answers for it, why, and until when.

Quarantined: flaky, being mended; a pass on the second try lets it pass. Known to fail: written
before what they test; unknown as long as they fail, a failure once they pass. Money and security
are never excused, and nothing is beyond its deadline.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ci.reading import Unreadable, read_toml
from harness.errors import SettingsError
from harness.flaky import MONEY, SECURITY, is_critical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from harness.report.results import TestResult

_Text = Annotated[str, Field(min_length=1)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    test: _Text
    deadline: date

    @property
    def expired(self) -> bool:
        """Whether its deadline has passed, by the date in UTC."""
        return datetime.now(UTC).date() > self.deadline


class Quarantined(_Entry):
    """A test that is flaky, and being mended by its owner."""

    owner: _Text
    reason: _Text


class KnownFailing(_Entry):
    """A test that was written before what it tests."""

    issue: _Text


class Excuses(BaseModel):
    """The file: `[[quarantine]]` and `[[known_failing]]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quarantine: tuple[Quarantined, ...] = ()
    known_failing: tuple[KnownFailing, ...] = ()

    @property
    def expired(self) -> list[str]:
        """Say of each entry whose deadline has passed that it no longer counts."""
        return [
            f"{entry.test} is excused no longer: its deadline was {entry.deadline}"
            for entry in (*self.quarantine, *self.known_failing)
            if entry.expired
        ]

    def strangers(self, tests: Mapping[str, TestResult]) -> list[str]:
        """Say which entries are about no test of this selection: renamed, perhaps."""
        return [
            f"{entry.test} is excused, and no test is called so here"
            for entry in (*self.quarantine, *self.known_failing)
            if entry.test not in tests
        ]

    def excused(self, test: TestResult) -> TestResult:
        """Give a test as it counts: a flaky one may pass, one known to fail is unknown or amiss."""
        known = self.known(test.id)
        if known and test.result == "failed":
            told = f"known to fail ({known.issue}, until {known.deadline}): {test.reason}"
            return replace(test, result="unknown", reason=told, findings=())
        if known and test.result == "passed":
            told = f"it is known to fail ({known.issue}), and passes: take it off the list"
            return replace(test, result="failed", reason=told)
        kept = self.quarantined(test.id)
        if kept and test.flaky and test.result == "unknown" and not is_critical(test):
            told = (
                f"in quarantine until {kept.deadline} ({kept.owner}: {kept.reason}); {test.reason}"
            )
            return replace(test, result="passed", reason=told)
        return test

    def quarantined(self, test: str) -> Quarantined | None:
        """Give the entry that excuses a flaky test now, if there is one."""
        return next((e for e in self.quarantine if e.test == test and not e.expired), None)

    def known(self, test: str) -> KnownFailing | None:
        """Give the entry that knows a test to fail now, if there is one."""
        return next((e for e in self.known_failing if e.test == test and not e.expired), None)


def read_excuses(path: Path | None) -> Excuses:
    """Read the file; nothing is excused where there is none. Raises `SettingsError`, all at once.

    A file that was named must exist: a mistyped name would excuse nothing, and say nothing.
    """
    if path is None:
        return Excuses()
    try:
        return Excuses.model_validate(read_toml(path))
    except Unreadable as error:
        raise SettingsError(str(error), hint="Mend it, or leave --excuses out.") from None
    except ValidationError as error:
        lines = [f"  {_place(found['loc'])}: {found['msg']}" for found in error.errors()]
        raise SettingsError(
            "\n".join([f"{path} has mistakes:", *lines]),
            hint="Each entry of [[quarantine]] has test, owner, reason, deadline (a date);"
            " of [[known_failing]] test, issue, deadline.",
        ) from None


def check_excuses(excuses: Excuses, tests: Mapping[str, TestResult], path: Path | None) -> None:
    """Raise `SettingsError` where the file excuses what cannot be excused."""
    wrong = list(_wrong(excuses, tests))
    if wrong:
        raise SettingsError(
            "\n".join([f"{path} excuses what cannot be excused:", *(f"  {w}" for w in wrong)]),
            hint="Mend the test, or what it tests; and take the entry out.",
        )


def _wrong(excuses: Excuses, tests: Mapping[str, TestResult]) -> Iterator[str]:
    names = [entry.test for entry in (*excuses.quarantine, *excuses.known_failing)]
    yield from (f"{name}: it stands here twice" for name in set(names) if names.count(name) > 1)
    for entry in excuses.quarantine:
        test = tests.get(entry.test)
        if test and is_critical(test):
            about = ", ".join(sorted(MONEY & set(test.requirements))) or SECURITY
            yield f"{entry.test}: it is about money or security ({about})"


def _place(location: tuple[Any, ...]) -> str:
    return ".".join(str(part + 1) if isinstance(part, int) else str(part) for part in location)
