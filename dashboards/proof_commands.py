"""`billing-harness dashboards prove`: light to import; the proof is loaded when it runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from dashboards.naming import Naming


Seed = Annotated[
    int | None,
    typer.Option(
        help="Repeat an earlier proof's scenario.", metavar="N", min=0, show_default="drawn"
    ),
]
Page = Annotated[
    Path, typer.Option(help="The page for people: one file that opens offline.", metavar="FILE")
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the facts to this file.", metavar="FILE")
]
Database = Annotated[Literal["sqlite", "postgres"], typer.Option(help="Where the ledger is kept.")]
Defects = Annotated[
    list[str] | None,
    typer.Option("--defect", help="Break the reference so; the proof must see it.", metavar="NAME"),
]
Thresholds = Annotated[
    list[str] | None,
    typer.Option("--threshold", help="An objective or limit of yours.", metavar="NAME=VALUE"),
]
Named = Annotated[
    str | None,
    typer.Option(
        "--target",
        help="A target whose profile says in [metrics] what it calls them.",
        metavar="TARGET",
        show_default="our names",
    ),
]


def prove(  # noqa: PLR0913, PLR0917 - typer turns parameters into options
    seed: Seed = None,
    page: Page = Path("reports/dashboards/proof.html"),
    json_file: JsonFile = None,
    database: Database = "sqlite",
    break_it: Defects = None,
    threshold: Thresholds = None,
    target: Named = None,
) -> int:
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
    naming = names_of(target)
    objectives = read_objectives(threshold or ())
    chosen = new_seed() if seed is None else seed
    typer.echo(f"proving the dashboards, seed {chosen} …", err=True)
    wanted = Wanted(chosen, database, tuple(break_it or ()))
    proof = run(objectives, wanted, lambda title: typer.echo(f"  {title}", err=True), naming)
    for line in lines(proof):
        typer.echo(line)
    pages = {page: render(proof)} | ({json_file: as_facts(proof)} if json_file else {})
    for path, text in pages.items():
        make_folder(path.parent)
        write_whole(path, text)
    typer.echo(f"\n{headline(proof)}\n{page}")
    return 1 if proof.different else 0


def names_of(target: str | None) -> Naming:
    """Give what a target calls its metrics; its variables need not be set. Raises on mistakes."""
    from dashboards.naming import OURS, read_naming
    from harness.target.load import find_target

    return read_naming(find_target(target).file.profile.metrics) if target else OURS


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
