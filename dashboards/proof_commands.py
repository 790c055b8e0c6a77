"""`billing-harness dashboards prove`: light to import; the proof is loaded when it runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def prove(  # noqa: PLR0913, PLR0917 - typer turns parameters into options
    seed: Annotated[
        int | None,
        typer.Option(
            help="Repeat an earlier proof's scenario.", metavar="N", min=0, show_default="drawn"
        ),
    ] = None,
    page: Annotated[
        Path, typer.Option(help="The page for people: one file that opens offline.", metavar="FILE")
    ] = Path("reports/dashboards/proof.html"),
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the facts to this file.", metavar="FILE")
    ] = None,
    database: Annotated[
        str, typer.Option(help="The ledger's database: sqlite or postgres.", metavar="KIND")
    ] = "sqlite",
    break_it: Annotated[
        list[str] | None,
        typer.Option("--defect", help="Break the reference so; the proof must see it.",
                     metavar="NAME"),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option("--threshold", help="An objective or limit of yours.", metavar="NAME=VALUE"),
    ] = None,
) -> int:  # fmt: skip
    """Ask every panel and alert of a real Prometheus, and compare with the ledger to the cent.

    A seeded scenario is played on the reference service and the Stripe simulator, while a
    Prometheus scrapes it. Virtual time shows what takes a day or a month.

    Try it: `billing-harness dashboards prove --seed 7`
    """
    from dashboards.objectives import read_objectives
    from dashboards.proof.page import render
    from dashboards.proof.prove import prove as run
    from dashboards.proof.telling import as_facts, headline, lines
    from dashboards.proof.world import Wanted
    from harness.guard import Aimed, refuse_production
    from harness.naming import new_seed
    from harness.report.write import write_whole

    refuse_production(Aimed(), os.environ)
    objectives = read_objectives(threshold or ())
    chosen = new_seed() if seed is None else seed
    typer.echo(f"proving the dashboards, seed {chosen} …", err=True)
    wanted = Wanted(chosen, database, tuple(break_it or ()))
    proof = run(objectives, wanted, lambda title: typer.echo(f"  {title}", err=True))
    for line in lines(proof):
        typer.echo(line)
    pages = {page: render(proof)} | ({json_file: as_facts(proof)} if json_file else {})
    for path, text in pages.items():
        make_folder(path.parent)
        write_whole(path, text)
    typer.echo(f"\n{headline(proof)}\n{page}")
    return 1 if proof.different else 0


def make_folder(folder: Path) -> None:
    """Make the folder of a page. Raises `ReportError`."""
    from harness.errors import ReportError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReportError(
            f"{folder} cannot be made: {error.strerror}",
            hint="Give a file that you may write: --page FILE",
        ) from None
