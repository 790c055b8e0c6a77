"""Options that several commands of `billing-harness ci` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", help="The merged report's folder.", metavar="DIR")]
Partitions = Annotated[
    int | None,
    typer.Option(help="How many partitions there must be.", metavar="N", min=1, max=1000),
]
CoverageMin = Annotated[
    float,
    typer.Option(
        help="The share of the target's code that must be executed; 0 for no gate.",
        metavar="X",
        min=0,
        max=1,
    ),
]
WebhooksMin = Annotated[
    float,
    typer.Option(
        help="The same of the webhook handlers; 0 for no gate.", metavar="X", min=0, max=1
    ),
]
WebhookFile = Annotated[
    list[str] | None,
    typer.Option(
        help="A pattern of the files that handle webhooks; may be given several times.",
        metavar="GLOB",
        show_default="the reference's",
    ),
]
CoverageFile = Annotated[
    Path | None,
    typer.Option(
        help="What the owner of a target that is not the reference measured: coverage.py data or"
        " Cobertura XML.",
        metavar="FILE",
    ),
]
Excuses = Annotated[
    Path | None,
    typer.Option(
        help="Tests in quarantine or known to fail, each with a deadline.", metavar="FILE.toml"
    ),
]
Record = Annotated[
    Path | None,
    typer.Option(help="The record of the branch's runs; this one is added.", metavar="FILE.jsonl"),
]
Durations = Annotated[
    Path | None,
    typer.Option(help="Record here what tests cost, for the next run's shares.", metavar="FILE"),
]
Gates = Annotated[
    list[str] | None,
    typer.Option("--gate", help="A gate that `ci gate` must have left word of.", metavar="NAME"),
]
MatrixFile = Annotated[
    Path | None,
    typer.Option("--matrix", help="The gauntlet's matrix, for the kill score.", metavar="FILE"),
]
KillMin = Annotated[float, typer.Option(help="The least kill score.", metavar="X", min=0, max=1)]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the facts to this file.", metavar="FILE")
]
Merged = Annotated[Path, typer.Argument(help="The merged report, or its folder.", metavar="REPORT")]
Whole = Annotated[
    bool, typer.Option("--whole", help="Run everything in one piece, too, and compare.")
]
LoadFile = Annotated[
    Path | None,
    typer.Option(
        "--load",
        help="The loads' summary, results/load-summary.json.",
        metavar="FILE",
        show_default="what the merge took up",
    ),
]
Comment = Annotated[
    bool, typer.Option("--comment", help="Also write it as the pull request's one comment.")
]
