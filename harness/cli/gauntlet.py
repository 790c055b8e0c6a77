"""`billing-harness gauntlet`: whether the suites find what is broken on purpose."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from harness.cli.console import errors, output
from harness.gauntlet import mutants as of
from harness.gauntlet.hunt import CLEAN, Ground, Hunt, Hunter
from harness.gauntlet.matrix import Matrix
from harness.guard import Aimed, refuse_production
from harness.naming import new_seed
from harness.report.write import prepare_file, prepare_folder, write_whole
from harness.selection import chosen_suites
from harness.target.load import find_target

if TYPE_CHECKING:
    from harness.gauntlet.mutants import Mutant

EXIT = (
    "Exit status: 0 every defect was killed as intended; 1 a false alarm on the clean target;"
    " 99 too few were killed; 2 partial, or not able to run; 130 interrupted."
)
QUICK = ("e2e", "security", "contract")
_DEADLINE_S = 600.0
_CORES = os.cpu_count() or 1
_COLOURS = {
    "killed": "green",
    "incidental": "yellow",
    "survived": "red",
    "unknown": "bold yellow",
}


_Defect = Annotated[
    list[str] | None,
    typer.Option(help="Only this defect; may be given several times.", metavar="NAME"),
]
_Group = Annotated[
    list[str] | None,
    typer.Option(help="Only the defects of this group.", metavar="NAME"),
]
_Suite = Annotated[
    list[str] | None,
    typer.Option(help="Only this suite; may be given several times.", metavar="NAME"),
]
_Quick = Annotated[bool, typer.Option("--quick", help=f"Only the suites {', '.join(QUICK)}.")]
_Listing = Annotated[
    bool, typer.Option("--list", help="Name the defects and what each gets wrong; run nothing.")
]
_Target = Annotated[str, typer.Option(help="The target to break, as for `run`.", metavar="TARGET")]
_TargetCommand = Annotated[
    str | None,
    typer.Option(
        help="Start a mutant of your own by this command; {defect} is its --defect NAME.",
        metavar="COMMAND",
    ),
]
_Jobs = Annotated[
    int,
    typer.Option("--jobs", "-j", help="So many defects at a time.", metavar="N", min=1, max=64),
]
_Seed = Annotated[
    int | None,
    typer.Option(help="Repeat the choices of an earlier gauntlet.", metavar="N", min=0),
]
_MinScore = Annotated[
    float,
    typer.Option(help="The share that must be killed, from 0 to 1.", metavar="X", min=0, max=1),
]
_Deadline = Annotated[float, typer.Option(help="Seconds for each defect.", metavar="S", min=1)]
_JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the matrix to this file.", metavar="FILE")
]


def gauntlet(
    defect: _Defect = None,
    group: _Group = None,
    suite: _Suite = None,
    quick: _Quick = False,
    listing: _Listing = False,
    target: _Target = "reference",
    target_command: _TargetCommand = None,
    jobs: _Jobs = _CORES,
    seed: _Seed = None,
    min_score: _MinScore = 1.0,
    deadline: _Deadline = _DEADLINE_S,
    report: Annotated[Path, typer.Option(help="The report's folder.", metavar="DIR")] = Path(
        "reports/gauntlet"
    ),
    json_file: _JsonFile = None,
) -> int:
    """Break the reference on purpose, one mistake at a time, and see whether the suites notice.

    A green run means as much as the mistakes that would have turned it red. Each run stops at the
    first finding of the check or test that the defect is for; the clean target comes last.

    Try it: `billing-harness gauntlet --defect canary`

    Your own service: `billing-harness gauntlet --target acme.toml --defect double-charge
    --target-command "python -m acme --bug {defect}"`
    """
    from harness.report.page import matrix_page

    wanted = _mutants(defect or [], group or [], target_command)
    if listing:
        _list(wanted)
        return 0
    refuse_production(Aimed(find_target(target).file.profile), os.environ)
    ground = Ground(
        target=target,
        suites=tuple(chosen_suites(tuple(suite or (QUICK if quick else ())))),
        seed=new_seed() if seed is None else seed,
        deadline_s=deadline,
        folder=report,
    )
    prepare_folder(report)
    if json_file:
        prepare_file(json_file)
    matrix = _run(ground, wanted, jobs, min_score)
    data = matrix.to_json()
    text = json.dumps(data, indent=2) + "\n"
    write_whole(report / "matrix.json", text)
    write_whole(report / "matrix.html", matrix_page(data))
    if json_file:
        write_whole(json_file, text)
    _tell(matrix, report / "matrix.html")
    return matrix.exit_status


def _mutants(names: list[str], groups: list[str], command: str | None) -> list[Mutant]:
    if command is not None:
        return of.own_mutants(command, names)
    return of.chosen(of.reference_mutants(), names, groups)


def _run(ground: Ground, wanted: list[Mutant], jobs: int, min_score: float) -> Matrix:
    """Hunt every mutant and the clean target; Ctrl-C keeps what is known."""
    began_at, began = time.time(), time.monotonic()
    done: dict[str, Hunt] = {}
    interrupted = False
    hunter = Hunter(ground)
    pool = ThreadPoolExecutor(jobs)
    try:
        errors.print(
            f"{len(wanted)} defects, then the clean target · suites: {', '.join(ground.suites)}"
            f" · seed {ground.seed} · {jobs} at a time",
            style="dim",
        )
        hunts = [pool.submit(hunter.hunt, m, of.likely_killers(m)) for m in [*wanted, CLEAN]]
        for future in as_completed(hunts):
            hunt = future.result()
            done[hunt.mutant.name] = hunt
            _progress(hunt, len(done), len(hunts))
    except KeyboardInterrupt:
        interrupted = True
        # Ending takes moments, is bounded, and must not be cut off: the matrix would be lost.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        errors.print("ending what runs …", style="bold yellow")
    finally:
        hunter.stop()
        pool.shutdown()
    return Matrix(
        target=ground.target,
        seed=ground.seed,
        suites=ground.suites,
        hunts=tuple(done.get(m.name, Hunt(m, "unknown", reason="not tried")) for m in wanted),
        clean=done.get(CLEAN.name),
        started_at=began_at,
        duration_s=time.monotonic() - began,
        min_score=min_score,
        interrupted=interrupted,
    )


def _progress(hunt: Hunt, number: int, total: int) -> None:
    if hunt.mutant is CLEAN:
        word, colour = ("false alarm", "red") if hunt.findings else ("no alarm", "green")
    else:
        word, colour = hunt.status, _COLOURS[hunt.status]
    by = hunt.killer.check or hunt.killer.test if hunt.killer else hunt.reason or ""
    errors.print(
        Text.assemble(
            (f"{number:>3}/{total} ", "dim"),
            (f"{word:<11}", colour),
            f" {hunt.mutant.name:<34} {hunt.seconds:5.1f} s  {hunt.operations:>4} operations  ",
            (by.splitlines()[0] if by else "", "dim"),
        )
    )


def _list(mutants: list[Mutant]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("defect", "group", "what it gets wrong"):
        table.add_column(heading)
    for mutant in mutants:
        table.add_row(mutant.name, mutant.group, mutant.mistake)
    output.print(table)


def _tell(matrix: Matrix, page: Path) -> None:
    """Print the score, what was missed, and where the rest stands."""
    colour = "bold green" if matrix.exit_status == 0 else "bold red"
    killed = len(matrix.hunts) - len(matrix.survivors)
    score = f"KILLED {killed} OF {len(matrix.hunts)}"
    output.print(Text.assemble((score, colour), "  ", matrix.headline()))
    for hunt in matrix.survivors:
        ought = ", ".join(hunt.mutant.found_by) or "anything"
        told = f"{hunt.mutant.name} {hunt.status}: {hunt.mutant.mistake}"
        output.print(Text.assemble(("  ✗ ", "red"), told, (f" (for {ought})", "dim")))
    for finding in matrix.false_alarms:
        output.print(Text.assemble(("  ✗ ", "red"), f"false alarm: {finding['message']}"))
    for gap in matrix.gaps:
        output.print(Text.assemble(("  ? ", "yellow"), gap))
    told = f"{matrix.duration_s:.0f} s · seed {matrix.seed} · report: {page.resolve()}"
    output.print(told, style="dim")
