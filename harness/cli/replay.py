"""`billing-harness replay`: tell a story that a run wrote down, and judge how it ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from harness.cli.console import COLOURS, errors, output
from harness.errors import HistoryError
from harness.report.results import EXIT_INVALID, EXIT_UNKNOWN, EXIT_VALID

if TYPE_CHECKING:
    from harness.ground import Ground
    from harness.replay.story import Story

_Story = Annotated[
    Path, typer.Argument(help="A story: replay-1.json beside a report.", metavar="FILE")
]
_Target = Annotated[
    str | None,
    typer.Option(
        help="A target: a name, a profile's FILE.toml, or module:Class.",
        metavar="TARGET",
        show_default="the story's own",
    ),
]
_Defect = Annotated[
    list[str] | None,
    typer.Option(help="Have the reference make this mistake on purpose.", metavar="NAME"),
]
_Commands = Annotated[
    str | None,
    typer.Option("--as", help="Print what was sent, too: curl or python.", metavar="KIND"),
]


def replay(
    file: _Story, target: _Target = None, defect: _Defect = None, kind: _Commands = None
) -> int:
    """Tell a story of a run again, and judge whether its breach is still there.

    Try it: `billing-harness replay reports/latest/replay-1.json`

    Against what was mended: `billing-harness replay replay-1.json --target acme.toml`
    """
    from harness.ground import Ground, Plan
    from harness.naming import new_run_id, new_seed
    from harness.replay.story import read_story
    from harness.running import StartOptions, running
    from harness.target.load import find_target

    if kind not in {None, "curl", "python"}:
        raise HistoryError(f"nothing is written as {kind!r}", hint="Say --as curl or --as python.")
    story = read_story(file)
    story = replace(story, target=target or story.target)
    plan = Plan(story.target, new_seed(), new_run_id(), folder="")
    errors.print(f"starting {story.target} …", style="dim")
    how = StartOptions(defects=tuple(defect or ()))
    with running(find_target(story.target), plan.seed, how) as up:
        ground = Ground(replace(plan, variables=up.variables))
        try:
            return _tell(ground, story, kind)
        finally:
            ground.close()


def _tell(ground: Ground, story: Story, kind: str | None) -> int:
    from harness.replay.reproduce import told_again

    told = told_again(story, ground)
    wrong = [finding for verdict in told.verdicts for finding in verdict.findings]
    doubts = [verdict for verdict in told.verdicts if verdict.kind == "unknown"]
    verdict = "invalid" if wrong else "unknown" if doubts else "valid"
    output.print(
        Text.assemble(
            (verdict.upper(), COLOURS[verdict]),
            f"  {len(story.steps)} steps, {len(told.commands)} requests"
            f" · the run had found: {story.message}",
        )
    )
    for finding in wrong:
        output.print(Text.assemble(("  ✗ ", "red"), str(finding)))
    for doubt in doubts:
        output.print(Text.assemble(("  ? ", "yellow"), f"{doubt.check}: {doubt.reason}"))
    if kind:
        written = told.commands.curl() if kind == "curl" else told.commands.python()
        output.print(written, markup=False, highlight=False, soft_wrap=True)
    return {"invalid": EXIT_INVALID, "unknown": EXIT_UNKNOWN, "valid": EXIT_VALID}[verdict]
