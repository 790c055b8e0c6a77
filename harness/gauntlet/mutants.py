"""What is hunted: the reference's defects, or an adopter's own mutants."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from harness.errors import GauntletError

if TYPE_CHECKING:
    from collections.abc import Sequence

KILL_MATRIX = "kill_matrix.json"
PLACEHOLDER = "{defect}"
_LISTING = (sys.executable, "-P", "-m", "simulators.billing", "defects")
_LISTING_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Mutant:
    """A target with one mistake.

    `found_by` names the checks and test functions that find it for the right reason; where it names
    none, as for an adopter's own mutants, any finding is one. `command` starts the target with the
    mistake, None where the reference makes it.
    """

    name: str
    group: str = "own"
    mistake: str = ""
    invariant: str = ""
    found_by: tuple[str, ...] = ()
    command: str | None = None


def reference_mutants() -> list[Mutant]:
    """List the mistakes that the reference service can make. Raises `GauntletError`."""
    try:
        told = subprocess.run(  # noqa: S603 - our own interpreter and module
            _LISTING, capture_output=True, text=True, timeout=_LISTING_TIMEOUT_S, check=True
        )
        return [_read(json.loads(line)) for line in told.stdout.splitlines()]
    except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
        raise GauntletError(
            f"the reference does not list its defects: {error}",
            hint=f"Run it by hand: {' '.join(_LISTING[1:])}",
        ) from None


def likely_killers(mutant: Mutant) -> tuple[str, ...]:
    """Name the tests to try first: those that it is for, and the one that killed it last time."""
    last = _last_killers().get(mutant.name)
    return (*mutant.found_by, last) if last else mutant.found_by


@lru_cache(maxsize=1)
def _last_killers() -> dict[str, str]:
    """Read the matrix that the documentation shows; only the order of tests hangs on it."""
    from harness.target.load import fixtures_folder  # which reads profiles, as few commands do

    try:
        text = (fixtures_folder() / KILL_MATRIX).read_text("utf-8")
        defects = json.loads(text)["defects"]
        return {d["name"]: d["killed_by"]["test"] for d in defects if d["killed_by"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def own_mutants(command: str, names: Sequence[str]) -> list[Mutant]:
    """Make mutants of an adopter's own from a command with `{defect}` in it and their names."""
    if PLACEHOLDER not in command:
        raise GauntletError(
            f"the target's command does not say where the defect goes: {command}",
            hint=f"Put {PLACEHOLDER} into it, for example: serve --mutant {PLACEHOLDER}",
        )
    if not names:
        raise GauntletError(
            "a target of your own has no list of defects",
            hint="Name each mutant by --defect NAME; it takes the place of {defect}.",
        )
    return [Mutant(name, command=command.replace(PLACEHOLDER, name)) for name in names]


def chosen(mutants: Sequence[Mutant], names: Sequence[str], groups: Sequence[str]) -> list[Mutant]:
    """Give those asked for, all where nothing is. Raises `GauntletError` for what is not there."""
    known = {mutant.name for mutant in mutants}, {mutant.group for mutant in mutants}
    for what, asked, there in (
        ("defect", names, known[0]),
        ("group of defects", groups, known[1]),
    ):
        wrong = [name for name in asked if name not in there]
        if wrong:
            raise GauntletError(
                f"there is no {what} {', '.join(map(repr, wrong))}",
                hint=f"There are: {', '.join(sorted(there))}.",
            )
    if not (names or groups):
        return list(mutants)
    return [m for m in mutants if m.name in names or m.group in groups]


def _read(data: dict[str, object]) -> Mutant:
    return Mutant(
        name=str(data["name"]),
        group=str(data["group"]),
        mistake=str(data["mistake"]),
        invariant=str(data["invariant"]),
        found_by=tuple(data["found_by"]),  # type: ignore[arg-type]  # a list of names, from JSON
    )
