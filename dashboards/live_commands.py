"""`dashboards push` and `dashboards validate`: what speaks with a running Grafana or service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dashboards.pushing import Pushed
    from dashboards.validating import Validated

GrafanaUrl = Annotated[
    str | None,
    typer.Option(
        "--grafana", help="Grafana's address; its token is GRAFANA_TOKEN.", metavar="URL",
        show_default="GRAFANA_URL",
    ),
]  # fmt: skip
From = Annotated[
    Path | None,
    typer.Option(
        "--from", help="A folder that `build` wrote.", metavar="DIR", show_default="built anew"
    ),
]
Source = Annotated[
    str, typer.Option(help="The uid of Grafana's Prometheus data source.", metavar="UID")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")]


def push(  # noqa: PLR0913, PLR0917 - typer turns parameters into options
    grafana: GrafanaUrl = None,
    folder: Annotated[
        str, typer.Option(help="The uid of the folder; made where it is not there.", metavar="UID")
    ] = "billing-harness",
    folder_title: Annotated[str, typer.Option(help="Its title, where it is made.")] = "Billing",
    datasource: Source = "prometheus",
    source: From = None,
    dry_run: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--dry-run", help="Only tell what would change.")
    ] = False,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> int:
    """Bring the dashboards into a Grafana: all of them, or none.

    Tells the difference, saves under the same uids, reads everything back, runs every panel's
    query, and puts back what was there if anything fails. Refuses production: there, let Grafana
    read the files (provisioning). Never run against a real Grafana yet: docs/DASHBOARDS.md.

    Try it: `GRAFANA_TOKEN=… billing-harness dashboards push --grafana URL --dry-run`
    """
    import os

    from dashboards.grafana_api import Grafana, from_environment
    from dashboards.pushing import Place, built, read_dashboards
    from dashboards.pushing import push as bring
    from harness.guard import Aimed, refuse_production

    with from_environment(grafana, Grafana) as there:
        refuse_production(Aimed(url=there.url), os.environ)
        files = built(datasource) if source is None else read_dashboards(source)
        place = Place(folder, folder_title, datasource)
        pushed = bring(there, files, place, dry_run=dry_run)
    _tell(pushed, dry_run=dry_run, as_json=as_json)
    return 1 if pushed.findings else 0


def _tell(pushed: Pushed, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        import json

        typer.echo(json.dumps(_facts(pushed, dry_run=dry_run), indent=2))
        return
    for each in pushed.differences:
        typer.echo(f"{each.title} ({each.uid}): {'' if each.lines else 'as it should be'}".rstrip())
        for line in each.lines:
            typer.echo(f"  {line}")
    for finding in pushed.findings:
        typer.echo(f"{finding.check}: {finding.where}: {finding.what}")
    for line in pushed.restored:
        typer.echo(f"put back: {line}")
    typer.echo(_summary(pushed, dry_run=dry_run))


def _summary(pushed: Pushed, *, dry_run: bool) -> str:
    changed = sum(bool(each.lines) for each in pushed.differences)
    if dry_run:
        return f"{changed} of {len(pushed.differences)} would change; nothing was written"
    if pushed.findings:
        return f"{len(pushed.findings)} found: nothing was left behind"
    empty = sum(not each.values for each in pushed.answers)
    return (
        f"{changed} of {len(pushed.differences)} changed on Grafana {pushed.version};"
        f" {len(pushed.answers)} queries ran, {empty} without data"
    )


def _facts(pushed: Pushed, *, dry_run: bool) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "verdict": "invalid" if pushed.findings else "valid",
        "dry_run": dry_run,
        "grafana": pushed.version,
        "dashboards": [asdict(each) for each in pushed.differences],
        "findings": [asdict(each) for each in pushed.findings],
        "restored": pushed.restored,
        "queries": len(pushed.answers),
        "without_data": [f"{e.panel} {e.ref}" for e in pushed.answers if not e.values],
    }


LookInto = Annotated[
    str | None,
    typer.Option(
        help="Look into this Grafana's panels, too; its token is GRAFANA_TOKEN.", metavar="URL"
    ),
]
Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        help="How long an event may take to be seen, in seconds.",
        metavar="S",
        min=0.0,
        max=600.0,
    ),
]


def validate(  # noqa: PLR0913, PLR0917 - typer turns parameters into options
    target: Annotated[
        str, typer.Option(help="A target whose profile tells its metrics.", metavar="TARGET")
    ] = "reference",
    grafana: LookInto = None,
    datasource: Source = "prometheus",
    source: From = None,
    wait_s: Wait = 30.0,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> int:
    """Validate a staging: structure, critical panels, instrumentation, and six events.

    Makes two customers of its own with test cards, lets six representative things happen, looks
    for each in the target's metrics (with --grafana in the panels, too), and closes the customers.
    Refuses production. Grafana takes a scrape or two to see them: give --wait 90.

    Try it: `billing-harness dashboards validate --target reference`
    """
    from contextlib import ExitStack

    from dashboards.grafana_api import Grafana, from_environment
    from dashboards.pushing import built, read_dashboards
    from dashboards.validating import Asked
    from dashboards.validating import validate as look

    files = built(datasource) if source is None else read_dashboards(source)
    with ExitStack() as undo:
        there = undo.enter_context(from_environment(grafana, Grafana)) if grafana else None
        told = look(Asked(target, files, datasource, wait_s), there)
    _tell_validated(told, as_json=as_json)
    if told.findings:
        return 1
    return 2 if told.missing else 0


def _tell_validated(told: Validated, *, as_json: bool) -> None:
    if as_json:
        import json
        from dataclasses import asdict

        verdict = "invalid" if told.findings else "unknown" if told.missing else "valid"
        typer.echo(json.dumps({"verdict": verdict, **asdict(told)}, indent=2))
        return
    for name, places in told.seen.items():
        typer.echo(f"seen: {name}: {', '.join(places)}")
    for name, why in told.missing.items():
        typer.echo(f"not tried: {name}: {why}")
    for finding in told.findings:
        typer.echo(f"{finding.check}: {finding.where}: {finding.what}")
    tried = f"{len(told.seen)} events seen, {len(told.missing)} not tried"
    typer.echo(f"{len(told.findings)} found; {tried}")
