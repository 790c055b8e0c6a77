"""`billing-harness dashboards`: light to import; what draws and checks is loaded when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dashboards.live_commands import push, validate
from dashboards.proof_commands import Named, Thresholds, names_of, prove

if TYPE_CHECKING:
    from dashboards.checks import Finding, Skipped

app = typer.Typer(
    help="Generate Grafana dashboards and Prometheus rules, and check them."
    " Guide: docs/DASHBOARDS.md.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
Out = Annotated[Path, typer.Option(help="Where to write to.", metavar="DIR")]
Docs = Annotated[
    Path | None,
    typer.Option(help="Where the page for people goes.", metavar="DIR", show_default="--out"),
]
BuildInfo = Annotated[
    str,
    typer.Option(
        help="A metric with a label version: each new one is marked as a deployment."
        ' Empty ("") marks none.',
        metavar="METRIC",
    ),
]


@app.command(epilog="Exit status: 0 written, or as committed; 1 stale; 2 not able to run.")
def build(  # noqa: PLR0913, PLR0917 - typer turns parameters into options
    out: Out = Path("dashboards/generated"),
    docs: Docs = None,
    datasource: Annotated[
        str, typer.Option(help="The Prometheus data source chosen at first.", metavar="UID")
    ] = "prometheus",
    build_info: BuildInfo = "billing_build_info",
    owner: Annotated[str, typer.Option(help="The label `owner` of every alert.")] = "billing",
    runbooks: Annotated[
        str, typer.Option(help="The page with every alert's runbook.", metavar="URL")
    ] = "docs/DASHBOARDS.md",
    threshold: Thresholds = None,
    target: Named = None,
    check: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--check", help="Write nothing; tell which files are stale.")
    ] = False,
) -> int:
    """Write dashboards, rules, their tests, an Alertmanager example and the reference page.

    Try it: `billing-harness dashboards build --out my-dashboards --threshold coverage_min=0.9`
    """
    from dashboards.build import Wanted, artefacts, places, stale, write
    from dashboards.grafana import Drawing
    from dashboards.objectives import read_objectives
    from dashboards.rules import Pager

    objectives, drawing = read_objectives(threshold or ()), Drawing(datasource, build_info)
    files = artefacts(Wanted(objectives, drawing, Pager(owner, runbooks), names_of(target)))
    where = places(files, out, docs)
    if check:
        old = stale(files, where)
        for name in old:
            typer.echo(f"{where[name]}: stale")
        typer.echo(f"{len(files)} files, {len(old)} stale")
        return 1 if old else 0
    write(files, where)
    for name in files:
        typer.echo(str(where[name]))
    return 0


@app.command("check", epilog="Exit status: 0 nothing found; 1 something; 2 not able to run.")
def check_all(
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Read a service's metrics and tell what it lacks or names otherwise; with"
            " METRICS_TOKEN as bearer token. Only reads.",
            metavar="URL",
        ),
    ] = None,
    threshold: Thresholds = None,
    target: Named = None,
    as_json: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--json", help="Print the facts as JSON.")
    ] = False,
) -> int:
    """Check definitions, dashboards and rules offline, and with --metrics a service's own metrics.

    Try it: `billing-harness dashboards check`
    """
    from dashboards.checking import check_everything, check_service
    from dashboards.objectives import read_objectives

    if metrics is not None:
        found, skipped = check_service(metrics, names_of(target))
    else:
        found, skipped = check_everything(read_objectives(threshold or ()), names_of(target))
    _tell(found, skipped, as_json=as_json)
    return 1 if found else 0


def _tell(found: list[Finding], skipped: list[Skipped], *, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    if as_json:
        facts = {
            "verdict": "invalid" if found else "valid",
            "findings": [asdict(each) for each in found],
            "skipped": [asdict(each) for each in skipped],
        }
        typer.echo(json.dumps(facts, indent=2))
        return
    for each in found:
        typer.echo(f"{each.check}: {each.where}: {each.what}")
    for skip in skipped:
        typer.echo(f"skipped {skip.check}: {skip.reason}")
    typer.echo(f"{len(found)} found, {len(skipped)} checks skipped")


app.command(epilog="Exit status: 0 all equal; 1 a panel or alert differs; 2 not able to run.")(
    prove
)
app.command(epilog="Exit status: 0 done; 1 something is wrong, all is as it was; 2 not able to.")(
    push
)
app.command(epilog="Exit status: 0 all is seen; 1 something is wrong; 2 not able to, or not all.")(
    validate
)
