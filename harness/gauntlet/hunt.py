"""Runs the suites against one mutant, and says what they made of it."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.found import ANYTHING, BLIND, function_of, names_of
from harness.gauntlet.mutants import Mutant
from harness.report.results import EXIT_INTERRUPTED
from harness.stack.process import Child, describe_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Status = Literal["killed", "incidental", "survived", "unknown"]

CLEAN = Mutant("clean", group="", mistake="", invariant="")
GRACE_S = 3.0
POLL_S = 0.05
_RUN = (sys.executable, "-P", "-m", "harness.cli", "run")


@dataclass(frozen=True, slots=True)
class Killer:
    """Who found a mistake: the suite, the test function, and the check if one spoke."""

    suite: str
    test: str
    check: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Hunt:
    """What came of one mutant.

    `killed`: found for the right reason; `incidental`: something else was found; `survived`:
    nothing was; `unknown`: the run could not tell, and `reason` says why. `operations` and
    `seconds` count until the run ended, which is at the first intended kill.
    """

    mutant: Mutant
    status: Status
    killer: Killer | None = None
    operations: int = 0
    seconds: float = 0.0
    reason: str | None = None
    findings: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        killer = self.killer
        return {
            "name": self.mutant.name,
            "group": self.mutant.group,
            "mistake": self.mutant.mistake,
            "invariant": self.mutant.invariant,
            "found_by": list(self.mutant.found_by),
            "status": self.status,
            "killed": killer is not None,
            "killed_as_intended": self.status == "killed",
            "killed_by": None
            if killer is None
            else {
                "suite": killer.suite,
                "test": killer.test,
                "check": killer.check,
                "message": killer.message,
            },
            "operations": self.operations,
            "seconds": round(self.seconds, 1),
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Ground:
    """Where hunts take place: the target, which suites, how long, and the folder of their runs."""

    target: str
    suites: tuple[str, ...]
    seed: int
    deadline_s: float
    folder: Path


class Hunter:
    """Hunts mutants, each in a run of its own; `stop` ends those under way, from any thread."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._stopped = False

    def stop(self) -> None:
        """End every run under way, and begin no more."""
        self._stopped = True

    def hunt(self, mutant: Mutant, likely: Sequence[str] = ()) -> Hunt:
        """Run the suites against a mutant, or against the target as it is for `CLEAN`.

        `likely` names tests that run first. Whatever happens to the run is told, never raised.
        """
        if self._stopped:
            return Hunt(mutant, "unknown", reason="stopped before its turn")
        folder = self._ground.folder / mutant.name
        folder.mkdir(parents=True, exist_ok=True)
        facts = folder / "run.json"
        facts.unlink(missing_ok=True)
        began = time.monotonic()
        child = Child(
            mutant.name,
            [*_RUN, *self._options(mutant, likely), "--json", str(facts), "--report", str(folder)],
            env=dict(os.environ),
            log=folder / "run.log",
            grace_s=GRACE_S,
        )
        try:
            trouble = self._wait(child)
        finally:
            child.stop()
        seconds = time.monotonic() - began
        return judge(mutant, _read(facts), seconds=seconds, trouble=trouble, tail=child.log_tail(3))

    def _wait(self, child: Child) -> str | None:
        """Wait for a run to end; say why it is ended before."""
        deadline = time.monotonic() + self._ground.deadline_s
        while child.status() is None:
            if self._stopped:
                return "stopped"
            if time.monotonic() > deadline:
                return f"not done within {self._ground.deadline_s:g} s"
            time.sleep(POLL_S)
        status = child.status()
        if status == EXIT_INTERRUPTED:
            return "interrupted"
        return None if status in {0, 1, 2} else f"the run broke off: {describe_status(status or 0)}"

    def _options(self, mutant: Mutant, likely: Sequence[str]) -> Iterator[str]:
        ground = self._ground
        # The whole, though the gauntlet may run in one of a pipeline's parallel jobs.
        yield from ("--target", ground.target, "--seed", str(ground.seed), "--partition", "1/1")
        yield from ("--no-rerun-failed", "--no-shrink")
        for suite in ground.suites:
            yield from ("--suite", suite)
        if mutant is CLEAN:
            return
        yield from (
            ("--target-command", mutant.command)
            if mutant.command
            else (
                "--defect",
                mutant.name,
            )
        )
        for name in likely:
            yield from ("--first", name)
        for name in mutant.found_by or (ANYTHING,):
            yield from ("--stop-at", name)


def judge(
    mutant: Mutant,
    facts: dict[str, Any] | None,
    *,
    seconds: float,
    trouble: str | None = None,
    tail: str = "",
) -> Hunt:
    """Say from a run's facts what came of a mutant.

    Only a finding kills, an outcome that nobody can interpret does not: a 500 proves nothing.
    """
    if facts is None or "tests" not in facts:
        told = (facts or {}).get("error", {}).get("message") or tail or "the run left no facts"
        return Hunt(mutant, "unknown", seconds=seconds, reason=trouble or told)
    findings = facts["findings"]
    intended = [finding for finding in findings if _is_intended(mutant, finding)]
    first = (intended or findings or [None])[0]
    status: Status = "killed" if intended else "incidental" if findings else "survived"
    broken_off = trouble or next(iter(facts["trouble"]), None)
    if not intended and broken_off:
        # Where nothing looks for a mistake, that it was not found is known without a run.
        status = "survived" if broken_off.startswith(BLIND) else "unknown"
    doubt = next(iter(facts["doubts"]), None)
    return Hunt(
        mutant,
        status,
        killer=_killer(first) if first else None,
        operations=facts["performed"],
        seconds=seconds,
        reason=None if intended else broken_off or doubt,
        findings=tuple(findings),
    )


def _is_intended(mutant: Mutant, finding: dict[str, Any]) -> bool:
    return not mutant.found_by or any(name in mutant.found_by for name in names_of(finding))


def _killer(finding: dict[str, Any]) -> Killer:
    test = finding["test"] or ""
    suite = test.split("/")[1] if test.count("/") > 1 else "the whole run"
    return Killer(suite, function_of(test), finding["check"], finding["message"])


def _read(facts: Path) -> dict[str, Any] | None:
    try:
        data: dict[str, Any] = json.loads(facts.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return data
