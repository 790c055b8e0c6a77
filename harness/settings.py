"""One frozen settings object for a run: options over environment variables over defaults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from harness.errors import SettingsError
from harness.partition import Partition, parse_partition, partition_of

PREFIX = "BILLING_HARNESS_"
_OPTIONS = {
    "suites": "--suite",
    "json_file": "--json",
    "defects": "--defect",
    "tests": "--test",
    "groups": "--group",
    "production_host": "--i-know-this-is-production",
}


def _listed(value: object) -> object:
    """Take lists as people write them: names with commas between, in the environment or not."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, (list, tuple)) or not all(isinstance(entry, str) for entry in given):
        return value
    return tuple(name.strip() for entry in given for name in entry.split(",") if name.strip())


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]


class RunSettings(BaseSettings):
    """What a run was asked to do.

    Each field is also read from the environment (`BILLING_HARNESS_SEED`, …; several suites with
    commas between); an option wins.
    `suites` may name `smoke`, a quick selection of all; `groups` keeps the tests of these groups.
    `tests` keeps those with one of these words in their name or file's; none keeps all.
    `workers` of 0 runs the tests in this process. `seed` of None draws one. `database` is that of
    the reference service, where the run starts it, and `defects` are mistakes it is to make.
    `target_command` starts the target instead of its profile's own command. `first` names tests to
    run before the others; the run stops once a check or test of `stop_at` has found something.
    `shrink` has what was found told to the target again, for the shortest way there.
    `partition` (2/4) keeps one share of the tests, cut by the costs in the file `durations`; where
    None, the CI system's own variables decide. `rerun_failed` runs bad tests again, alone; None
    does so in a partition. `coverage` measures the reference service. `seeded` leads a customer
    into each state of `fixtures/customers.toml` first, and compares. `production_host` is
    production that a person named in so many words, and never a variable: then only tests that are
    safe for it run, and nothing is sent that writes.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    target: Annotated[str, Field(min_length=1)] = "reference"
    suites: Names = ()
    groups: Names = ()
    tests: Names = ()
    workers: Annotated[int, Field(ge=0, le=64)] = 0
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    database: Literal["sqlite", "postgres"] = "sqlite"
    defects: Names = ()
    target_command: str | None = None
    first: Names = ()
    stop_at: Names = ()
    shrink: bool = True
    partition: Annotated[str, Field(min_length=1)] | None = None
    durations: Path = Path("reports/ci/durations.json")
    rerun_failed: bool | None = None
    coverage: bool = False
    seeded: bool = False
    production_host: Annotated[str, Field(min_length=1)] | None = None
    report: Path = Path("reports/latest")
    json_file: Path | None = None

    @property
    def only_reads(self) -> bool:
        """Whether it is production that is run against."""
        return self.production_host is not None

    @property
    def share(self) -> Partition | None:
        """Which share of the tests to run; None for the whole. Raises `SettingsError`."""
        if self.partition:
            return parse_partition(self.partition)
        return partition_of(os.environ)


def run_settings(**options: Any) -> RunSettings:
    """Validate a run's settings once. Raises `SettingsError` with every mistake."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        settings = RunSettings(**given)
    except ValidationError as error:
        lines = [
            f"  {_named(details['loc'], given)}: {details['msg'][0].lower()}{details['msg'][1:]}"
            f", not {details['input']!r}"
            for details in error.errors()
        ]
        count = len(lines)
        raise SettingsError(
            "\n".join([f"{count} setting{'s' if count > 1 else ''} cannot be used:", *lines]),
            hint="billing-harness run --help lists every option.",
        ) from None
    return _checked(settings, is_named="production_host" in given)


def _checked(settings: RunSettings, *, is_named: bool) -> RunSettings:
    """Hold a run on production to what a person said in so many words. Raises `SettingsError`."""
    if settings.production_host is None:
        return settings
    if not is_named:
        raise SettingsError(
            f"{PREFIX}PRODUCTION_HOST is set, and production is never run against by a variable",
            hint="Say --i-know-this-is-production HOST, each time anew.",
        )
    if settings.seeded or settings.defects or settings.target_command or settings.coverage:
        raise SettingsError(
            "production is only read: it goes without --seeded, --defect, --coverage and"
            " --target-command",
            hint="Leave them out, or run against a staging.",
        )
    return settings


def _named(location: tuple[int | str, ...], given: dict[str, Any]) -> str:
    field = str(location[0])
    return _OPTIONS.get(field, f"--{field}") if field in given else f"{PREFIX}{field.upper()}"
