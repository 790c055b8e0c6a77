"""`billing-harness doctor`: tells whether a profile fits its target."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from harness.cli.console import errors, output, refusal_data
from harness.errors import HarnessError
from harness.ground import Ground, Plan
from harness.naming import new_run_id, new_seed
from harness.operations import covers_core
from harness.report.results import EXIT_UNKNOWN, EXIT_VALID
from harness.running import running
from harness.target.load import find_target

_BAD = frozenset({"mismatch", "refused"})
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
    if not as_json:
        errors.print(f"examining {target} …", style="dim")
    try:
        found = _examine(target)
    except HarnessError as error:
        if as_json:
            typer.echo(json.dumps(refusal_data(error), indent=2))
        raise
    works = frozenset(entry["operation"] for entry in found if entry["state"] == "works")
    core = covers_core(works)
    if as_json:
        typer.echo(json.dumps({"target": target, "core": core, "operations": found}, indent=2))
    else:
        _show(found, core=core)
    bad = any(entry["state"] in _BAD for entry in found)
    return EXIT_UNKNOWN if bad or not core else EXIT_VALID


def _examine(target: str) -> list[dict[str, str]]:
    """Give a diagnosis each operation, as plain data free of secrets."""
    from harness.doctor import diagnose

    source = find_target(target)
    seed = new_seed()
    with running(source, seed) as up, contextlib.ExitStack() as undo:
        ground = Ground(Plan(target, seed, new_run_id(), folder="", variables=up.variables))
        undo.callback(ground.close)
        session = ground.session("doctor")
        return [ground.redactor.data(asdict(entry)) for entry in diagnose(session)]


def _show(found: list[dict[str, str]], *, core: bool) -> None:
    counts = Counter(entry["state"] for entry in found)
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    enough = "enough for a verdict" if core else "not enough for a verdict"
    output.print(Text(f"{told}; {enough}", style="bold"))
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("operation")
    table.add_column("state")
    table.add_column("why")
    for entry in found:
        state = entry["state"]
        table.add_row(entry["operation"], Text(state, style=_STYLES[state]), Text(entry["why"]))
    output.print(table)
    for entry in found:
        if entry["state"] in _BAD:
            output.print(Text(f"\n{entry['operation']}: {entry['why']}", style="bold"))
            for part in ("sent", "expected", "received"):
                output.print(Text(f"  {part:<9} {entry[part]}"))
