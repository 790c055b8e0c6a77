"""`billing-harness doctor`: tells whether a profile fits its target."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from harness.cli.console import errors, output
from harness.ground import Ground, Plan
from harness.naming import new_run_id, new_seed
from harness.operations import covers_core
from harness.report.results import EXIT_UNKNOWN, EXIT_VALID
from harness.running import running
from harness.target.load import find_target

if TYPE_CHECKING:
    from harness.doctor import Diagnosis

_STYLES = {
    "works": "green",
    "mismatch": "bold red",
    "refused": "yellow",
    "missing": "dim",
    "not tried": "dim",
}


def doctor(
    target: Annotated[
        str,
        typer.Option(
            help="A target: a name, a profile's FILE.toml, or module:Class.", metavar="TARGET"
        ),
    ] = "reference",
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")] = False,
) -> int:
    """Try every operation of a profile on the live target, with one customer made for it.

    For each operation that does not fit it shows what was sent, what was expected, what came back
    and why. Exit status: 0 where all that is mapped works, 2 otherwise.
    """
    source = find_target(target)
    seed = new_seed()
    if not as_json:
        errors.print(f"examining {target} …", style="dim")
    with running(source, seed) as up:
        ground = Ground(Plan(target, seed, new_run_id(), folder="", variables=up.variables))
        try:
            found = _examine(ground)
        finally:
            ground.close()
    bad = [entry for entry in found if entry.state in {"mismatch", "refused"}]
    works = frozenset(entry.operation for entry in found if entry.state == "works")
    core = covers_core(works)
    if as_json:
        told = {"target": target, "core": core, "operations": [asdict(entry) for entry in found]}
        typer.echo(json.dumps(told, indent=2))
    else:
        _show(found, core=core)
    return EXIT_UNKNOWN if bad or not core else EXIT_VALID


def _examine(ground: Ground) -> list[Diagnosis]:
    from harness.doctor import Diagnosis, diagnose

    redact = ground.redactor.text
    return [
        Diagnosis(
            entry.operation,
            entry.state,
            redact(entry.why),
            redact(entry.sent),
            redact(entry.received),
        )
        for entry in diagnose(ground.session("doctor"))
    ]


def _show(found: list[Diagnosis], *, core: bool) -> None:
    counts = Counter(entry.state for entry in found)
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    enough = "enough for a verdict" if core else "not enough for a verdict"
    output.print(Text(f"{told}; {enough}", style="bold"))
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("operation")
    table.add_column("state")
    table.add_column("why")
    for entry in found:
        table.add_row(
            entry.operation, Text(entry.state, style=_STYLES[entry.state]), Text(entry.why)
        )
    output.print(table)
    for entry in found:
        if entry.state in {"mismatch", "refused"}:
            output.print(Text(f"\n{entry.operation}: {entry.why}", style="bold"))
            output.print(Text(f"  sent      {entry.sent}"))
            output.print(Text(f"  received  {entry.received}"))
