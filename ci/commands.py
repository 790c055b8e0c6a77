"""`billing-harness ci`: light to import; what merges, measures and sends is loaded when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ci import options as of  # noqa: TC001 - typer reads the annotations

EXIT = (
    "Exit status: 0 valid and every gate passed; 1 invalid; 99 a gate missed and nothing invalid;"
    " 2 unknown, a hole, or not able to run."
)
app = typer.Typer(
    help="Merge a pipeline's partitions into one verdict, and tell of it. Guide: docs/CI.md.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.command(epilog=EXIT)
def merge(  # noqa: PLR0913, PLR0917 - typer turns parameters into options
    folders: Annotated[
        list[Path], typer.Argument(help="Where the partitions' reports lie.", metavar="DIR...")
    ],
    out: of.Out = Path("reports/merged"),
    partitions: of.Partitions = None,
    coverage_min: of.CoverageMin = 0.8,
    coverage_webhooks_min: of.WebhooksMin = 1.0,
    webhook_file: of.WebhookFile = None,
    coverage_file: of.CoverageFile = None,
    excuses: of.Excuses = None,
    record: of.Record = None,
    durations: of.Durations = None,
    gate: of.Gates = None,
    matrix: of.MatrixFile = None,
    kill_min: of.KillMin = 0.8,
    json_file: of.JsonFile = None,
) -> int:
    """Make one verdict, one JUnit, one history and one coverage of all partitions.

    Whatever is missing, cut, or of another run is told, and the verdict is then *unknown*.

    Try it: `billing-harness ci local --partitions 4`, then
    `billing-harness ci merge reports/ci/parts`
    """
    from ci.merge import MergeOptions
    from ci.merge import merge as merge_parts
    from ci.telling import tell

    wanted = MergeOptions(
        partitions=partitions,
        coverage_min=coverage_min,
        coverage_webhooks_min=coverage_webhooks_min,
        coverage_file=coverage_file,
        excuses=excuses,
        record=record,
        durations=durations,
        gates=tuple(gate or ()),
        matrix=matrix,
        kill_min=kill_min,
        **({"webhook_files": tuple(webhook_file)} if webhook_file else {}),
    )
    merged = merge_parts(folders, out, wanted)
    if json_file:
        _copy(out / "report.json", json_file)
    tell(merged, out)
    return merged.exit_status


@app.command(epilog=EXIT)
def local(  # noqa: PLR0913, PLR0917 - typer turns parameters into options
    partitions: Annotated[int, typer.Option(help="How many.", metavar="N", min=1, max=64)] = 4,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", help="So many at a time.", metavar="N", min=1, max=64)
    ] = 2,
    whole: of.Whole = False,  # noqa: FBT002 - a flag of the command line
    suite: Annotated[
        list[str] | None, typer.Option(help="Only this suite.", metavar="NAME")
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option(help="Only tests with this in their name.", metavar="NAME")
    ] = None,
    database: Annotated[str, typer.Option(help="sqlite, or postgres.", metavar="KIND")] = "sqlite",
    seed: Annotated[int | None, typer.Option(help="Repeat an earlier run.", metavar="N")] = None,
    coverage_min: of.CoverageMin = 0.8,
    coverage_webhooks_min: of.WebhooksMin = 1.0,
    excuses: of.Excuses = None,
    out: Annotated[Path, typer.Option(help="Folder of everything.", metavar="DIR")] = Path(
        "reports/ci"
    ),
    json_file: of.JsonFile = None,
) -> int:
    """Run the whole matrix on this machine, merge included, as the pipeline does it.

    The reference is measured and seeded with the customers of the fixture in every partition. What
    tests cost is recorded, so that the next run's shares are of one length.

    Try it: `billing-harness ci local --partitions 4`
    """
    from ci.local import Wish, run_locally

    wish = Wish(
        partitions=partitions,
        jobs=jobs,
        whole=whole,
        suites=tuple(suite or ()),
        tests=tuple(test or ()),
        database=database,
        seed=seed,
        coverage_min=coverage_min,
        coverage_webhooks_min=coverage_webhooks_min,
        excuses=excuses,
        out=out,
        json_file=json_file,
    )
    return run_locally(wish)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="Exit status: the command's own; 2 where it cannot be run.",
)
def gate(
    name: Annotated[str, typer.Argument(help="The gate, as `ci merge --gate` names it.")],
    command: Annotated[list[str], typer.Argument(help="What decides it, after --.")],
    out: Annotated[Path, typer.Option(help="Where to leave word of it.", metavar="DIR")] = Path(
        "reports/gates"
    ),
) -> int:
    """Run a command whose exit status is a gate, and leave word of it for the merge.

    Try it: `billing-harness ci gate lint -- ruff check .`
    """
    import json

    from ci.gates import gate_file, is_name, run_gate
    from harness.errors import SettingsError
    from harness.report.write import write_whole

    if not is_name(name):
        raise SettingsError(
            f"a gate cannot be called {name!r}", hint="Use a-z, 0-9 and hyphens, from a letter on."
        )
    came_to, status = run_gate(name, command, out)
    write_whole(gate_file(out, name), json.dumps(came_to.to_json()) + "\n")
    return status


metrics = typer.Typer(help="The metrics of a merged run, for Prometheus.", no_args_is_help=True)
app.add_typer(metrics, name="metrics")


@metrics.command("push")
def metrics_push(
    report: of.Merged = Path("reports/merged"),
    matrix: of.MatrixFile = None,
    load: of.LoadFile = None,
) -> int:
    """Push them once to the Pushgateway of PUSHGATEWAY_URL; one that is dead fails nothing.

    HTTP Basic authentication by PUSHGATEWAY_USER and PUSHGATEWAY_PASSWORD.

    Try it: `PUSHGATEWAY_URL=http://127.0.0.1:9091 billing-harness ci metrics push`
    """
    import os

    from ci.metrics import read_merged, read_registry
    from ci.pushing import JOB, grouping_key, repository_of
    from harness.cli.console import errors
    from harness.pushing import gateway_of, push

    gateway = gateway_of(os.environ)
    if gateway.in_the_clear:
        errors.print("the password crosses the network in the clear: use https", style="yellow")
    branch = read_merged(report)["branch"]
    key = grouping_key(branch, repository_of(os.environ))
    trouble = push(gateway, JOB, read_registry(report, matrix, load), key)
    if trouble:
        errors.print(f"the metrics were not pushed: {trouble}", style="bold yellow")
    else:
        errors.print(f"pushed to {gateway.url}: {', '.join(key.values())}")
    return 0


@metrics.command("write")
def metrics_write(
    file: Annotated[Path, typer.Argument(help="Where node_exporter looks.", metavar="FILE.prom")],
    report: of.Merged = Path("reports/merged"),
    matrix: of.MatrixFile = None,
    load: of.LoadFile = None,
) -> int:
    """Write them to a file, for the textfile collector of node_exporter."""
    from prometheus_client import generate_latest

    from ci.metrics import read_registry
    from harness.report.write import prepare_file, write_whole

    prepare_file(file)
    write_whole(file, generate_latest(read_registry(report, matrix, load)).decode())
    return 0


@app.command()
def summary(
    report: of.Merged = Path("reports/merged"),
    out: Annotated[
        Path | None,
        typer.Option(
            help="Append the Markdown to this file.", show_default="GITHUB_STEP_SUMMARY, or print"
        ),
    ] = None,
    comment: of.Comment = False,  # noqa: FBT002 - a flag of the command line
    pull_request: Annotated[
        int | None, typer.Option(help="Its number, where the event does not say.", metavar="N")
    ] = None,
) -> int:
    """Sum a merged run up in Markdown, for the job's page and a comment on the pull request.

    A token that may not comment fails nothing; it is told.
    """
    import os

    from ci.github import GitHub, NotAllowed, place_of
    from ci.metrics import read_merged
    from ci.summary import summary as markdown
    from harness.cli.console import errors

    text = markdown(read_merged(report))
    _append(text, out or os.environ.get("GITHUB_STEP_SUMMARY"))
    if comment:
        place = place_of(os.environ, pull_request)
        try:
            errors.print(f"commented: {GitHub(place).comment(text)}")
        except NotAllowed as error:
            errors.print(f"no comment was written: {error}", style="bold yellow")
    return 0


@app.command()
def annotate(report: of.Merged = Path("reports/merged")) -> int:
    """Annotate the commit with what failed: by a check run, else by lines of the job's log."""
    import os

    from ci.github import GitHub, NotAllowed, place_of, workflow_commands
    from ci.metrics import read_merged
    from ci.summary import summary as markdown
    from harness.cli.console import errors

    merged = read_merged(report)
    try:
        told = GitHub(place_of(os.environ)).check(merged, markdown(merged))
        errors.print(f"check run: {told}")
    except NotAllowed as error:
        errors.print(f"no check run was made: {error}", style="bold yellow")
        for line in workflow_commands(merged):
            typer.echo(line)
    return 0


def _append(text: str, place: Path | str | None) -> None:
    """Append to a file, as GitHub asks of a job's summary, or print."""
    if place is None:
        typer.echo(text)
        return
    from harness.report.write import prepare_file

    prepare_file(Path(place))
    with Path(place).open("a", encoding="utf-8") as file:
        file.write(text)


def _copy(source: Path, target: Path) -> None:
    from harness.report.write import prepare_file, write_whole

    prepare_file(target)
    write_whole(target, source.read_text("utf-8"))
