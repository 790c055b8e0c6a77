"""Options that the scenarios of `billing-harness load` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suites.load.parent.wish import SECRET_VARIABLE

_ASKED, _JUDGED, _SPREAD = "The load", "What must hold", "Over several processes or machines"
_GUARDS, _TOLD, _LOCAL = "Guards", "Results", "The target, where it is started here"
_OWN = "the scenario's"

Target = Annotated[
    str | None,
    typer.Option(
        help="A target: a name, a profile's FILE.toml, or module:Class.",
        metavar="TARGET",
        show_default="as of `run`",
        rich_help_panel=_ASKED,
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        help="webhooks only: a receiver's address; then no profile is needed, and no money judged.",
        metavar="URL",
        rich_help_panel=_ASKED,
    ),
]
Secret = Annotated[
    str | None,
    typer.Option(
        help="The receiver's webhook secret. Better by the environment: others read a command.",
        metavar="SECRET",
        envvar=SECRET_VARIABLE,
        rich_help_panel=_ASKED,
    ),
]
Events = Annotated[
    list[str] | None,
    typer.Option(
        "--event",
        help="webhooks only: a type of event; may be given several times. `billing-harness webhooks"
        " events` lists them.",
        metavar="TYPE",
        show_default="paid, failed, updated, deleted",
        rich_help_panel=_ASKED,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        help="open: arrivals keep their schedule, whatever the target does. closed: users who wait"
        " for each answer.",
        metavar="open|closed",
        rich_help_panel=_ASKED,
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        help="Arrivals a second; of a ramp, its peak.",
        metavar="N",
        show_default=_OWN,
        rich_help_panel=_ASKED,
    ),
]
Duration = Annotated[
    float | None,
    typer.Option(help="Seconds in all.", metavar="S", show_default=_OWN, rich_help_panel=_ASKED),
]
Users = Annotated[
    int | None,
    typer.Option(
        help="Users of the closed model (of signup's ramp in either).",
        metavar="N",
        show_default=_OWN,
        rich_help_panel=_ASKED,
    ),
]
Think = Annotated[
    float | None,
    typer.Option(
        help="Closed model: seconds that a user waits between two arrivals.",
        metavar="S",
        show_default=_OWN,
        rich_help_panel=_ASKED,
    ),
]
Scale = Annotated[
    float,
    typer.Option(
        help="Shorten every stage: 0.1 is a tenth of full size.",
        metavar="X",
        rich_help_panel=_ASKED,
    ),
]
Poisson = Annotated[
    bool,
    typer.Option(
        "--poisson",
        help="Draw arrivals as chance brings them, by the seed.",
        rich_help_panel=_ASKED,
    ),
]
Connections = Annotated[
    int | None,
    typer.Option(
        help="Connections over all workers.",
        metavar="N",
        show_default=_OWN,
        rich_help_panel=_ASKED,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        help="Seconds until an answer counts as lost.", metavar="S", rich_help_panel=_ASKED
    ),
]
Lateness = Annotated[
    float,
    typer.Option(
        help="An arrival that had to wait longer than this is dropped, and counted.",
        metavar="S",
        rich_help_panel=_ASKED,
    ),
]
GeneratorLateness = Annotated[
    float,
    typer.Option(
        help="Milliseconds: the load is void where the generator itself is later than this at p99.",
        metavar="MS",
        rich_help_panel=_JUDGED,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        help="Repeat an earlier load's choices.",
        metavar="N",
        show_default="drawn anew",
        rich_help_panel=_ASKED,
    ),
]
With = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        help="An option of the scenario's own (above); may be given several times.",
        metavar="NAME=NUMBER",
        rich_help_panel=_ASKED,
    ),
]
Thresholds = Annotated[
    list[str] | None,
    typer.Option(
        "--threshold",
        help="What must hold besides the scenario's own: 'latency_ms.p99<200', 'errors.ratio<0.01',"
        " 'kind:charge.latency_ms.p95<500'; may be given several times.",
        metavar="NAME<NUMBER",
        rich_help_panel=_JUDGED,
    ),
]
Judged = Annotated[
    bool,
    typer.Option(
        "--thresholds/--no-thresholds",
        help="Whether the scenario's own thresholds count.",
        rich_help_panel=_JUDGED,
    ),
]
Money = Annotated[
    bool,
    typer.Option(
        "--money/--no-money",
        help="Whether the books are judged after the load.",
        rich_help_panel=_JUDGED,
    ),
]
Settle = Annotated[
    float,
    typer.Option(
        help="How long books may take to settle after the load.",
        metavar="S",
        rich_help_panel=_JUDGED,
    ),
]
Processes = Annotated[
    int,
    typer.Option(
        help="Worker processes on this machine.",
        metavar="N",
        min=0,
        max=64,
        rich_help_panel=_SPREAD,
    ),
]
Master = Annotated[
    bool,
    typer.Option(
        "--master",
        help="Wait for workers of other machines: there, `billing-harness load worker`.",
        rich_help_panel=_SPREAD,
    ),
]
ExpectWorkers = Annotated[
    int,
    typer.Option(help="--master: how many.", metavar="N", min=1, rich_help_panel=_SPREAD),
]
Bind = Annotated[
    str,
    typer.Option(
        help="--master: where it listens; port 0 takes a free one.",
        metavar="HOST:PORT",
        rich_help_panel=_SPREAD,
    ),
]
Web = Annotated[
    int | None,
    typer.Option(
        "--web",
        help="Show Locust's page on this port of loopback; it stays until Ctrl-C.",
        metavar="PORT",
        rich_help_panel=_SPREAD,
    ),
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        help="A host that --url may name though it is not this machine.",
        metavar="HOST",
        rich_help_panel=_GUARDS,
    ),
]
RateCap = Annotated[
    float,
    typer.Option(
        help="Arrivals a second that may not be exceeded.", metavar="N", rich_help_panel=_GUARDS
    ),
]
Database = Annotated[
    str,
    typer.Option(help="sqlite, or postgres.", metavar="KIND", rich_help_panel=_LOCAL),
]
Defect = Annotated[
    list[str] | None,
    typer.Option(
        help="A mistake that it is to make on purpose (`gauntlet --list` names them).",
        metavar="NAME",
        rich_help_panel=_LOCAL,
    ),
]
TargetCommand = Annotated[
    str | None,
    typer.Option(
        help="Start it by this command instead of its profile's own.",
        metavar="COMMAND",
        rich_help_panel=_LOCAL,
    ),
]
TargetProcesses = Annotated[
    int,
    typer.Option(
        help="So many processes of the reference serve, and do its background work.",
        metavar="N",
        min=1,
        max=64,
        rich_help_panel=_LOCAL,
    ),
]
Results = Annotated[
    Path,
    typer.Option(
        "--results", help="The folder of all results.", metavar="DIR", rich_help_panel=_TOLD
    ),
]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", help="Write the facts to this file.", metavar="FILE", rich_help_panel=_TOLD
    ),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        help="Serve live metrics for Prometheus on this port of loopback; 0 takes a free one.",
        metavar="PORT",
        rich_help_panel=_TOLD,
    ),
]
Trace = Annotated[
    bool,
    typer.Option(
        "--trace", help="Keep a line for every arrival in trace-*.csv.", rich_help_panel=_TOLD
    ),
]
Documents = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Loads' facts (load.json).",
        metavar="[DOCUMENT]...",
        show_default="results/*/load.json",
    ),
]
Baseline = Annotated[Path, typer.Argument(help="The baseline's file.", metavar="FILE")]
