"""`billing-harness staging`: ten customers in known states, whenever somebody asks for them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from harness.cli.console import errors, output, refusal_data
from harness.errors import HarnessError
from harness.report.results import EXIT_INVALID, EXIT_UNKNOWN, EXIT_VALID

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.staging.footing import Footing
    from harness.staging.states import Done, Seen, Ten

EXIT = "Exit status: 0 done, and read back as due; 2 not able to; 130 interrupted."
STATUS_EXIT = "Exit status: 0 all are as due; 1 some are missing or differ; 2 not known."
_COLOURS = {"as due": "green", "differs": "bold red", "missing": "yellow", "unknown": "bold yellow"}
_LOOK_S = 3.0

app = typer.Typer(
    help="Ten customers in known states on a staging: made, read back, put back.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
keys = typer.Typer(
    help="Further API keys of the ten, for load tests.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.add_typer(keys, name="keys")

_Target = Annotated[
    str,
    typer.Option(
        help="A staging that runs: a profile's FILE.toml, module:Class, or `reference` for what"
        " `billing-harness up` keeps running.",
        metavar="TARGET",
    ),
]
_Record = Annotated[
    Path | None,
    typer.Option(
        help="Where the ten and their credentials are written down, for your eyes only.",
        metavar="FILE",
        show_default="one for each target in your state folder",
        dir_okay=False,
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")]
_Dry = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@app.command(epilog=EXIT)
def reset(
    target: _Target = "reference",
    dry_run: _Dry = False,
    record: _Record = None,
    as_json: _Json = False,
) -> int:
    """Remove the customers of the test domains, make the ten anew, and read each back.

    Only customers of `@test.example.com` and `@example.com` are ever touched. It may be cut off at
    any moment and run again, as often as you like. Production is refused by any sign of it.

    Try it: `billing-harness up` in one shell, `billing-harness staging reset` in another.
    """
    return _write(target, record, dry_run, as_json, "reset")


@app.command(epilog=EXIT)
def seed(
    target: _Target = "reference",
    dry_run: _Dry = False,
    record: _Record = None,
    as_json: _Json = False,
) -> int:
    """Make those of the ten that are not there; nobody is removed, and who is there is kept."""
    return _write(target, record, dry_run, as_json, "seed")


@app.command(epilog=STATUS_EXIT)
def status(target: _Target = "reference", record: _Record = None, as_json: _Json = False) -> int:
    """Read the ten back, and say how each stands. Only reads, so production may be asked."""

    def look(footing: Footing) -> int:
        from harness.staging.states import Ten

        cut_off = footing.record.under_way
        seen = Ten(footing).look(_LOOK_S)
        if as_json:
            facts = {"target": footing.name, "cut_off": cut_off, "states": _data(seen)}
            typer.echo(json.dumps(facts, indent=2))
        else:
            _show(seen, footing.name, cut_off)
        kinds = {each.standing for each in seen}
        if "unknown" in kinds:
            return EXIT_UNKNOWN
        return EXIT_VALID if kinds == {"as due"} else EXIT_INVALID

    return _on(target, record, as_json, look, reads=True)


@keys.command("create", epilog=EXIT)
def create(
    target: _Target = "reference",
    state: Annotated[
        list[str] | None,
        typer.Option(
            help="Of the customer in this state; may be repeated.",
            metavar="STATE",
            show_default="all",
        ),
    ] = None,
    record: _Record = None,
    as_json: _Json = False,
) -> int:
    """Make a further API key for customers of the ten, and print it, this once.

    The customers' own keys stay as they are; `staging keys revoke` takes these back.
    """

    def make(footing: Footing) -> int:
        from harness.staging.keys import create_keys

        made = create_keys(footing, state or [])
        if as_json:
            typer.echo(json.dumps({"keys": [asdict(each) for each in made]}, indent=2))
        else:
            for each in made:
                output.print(f"{each.state} {each.customer} {each.credential}", markup=False)
        return EXIT_VALID

    return _on(target, record, as_json, make)


@keys.command("revoke", epilog=EXIT)
def revoke(target: _Target = "reference", record: _Record = None, as_json: _Json = False) -> int:
    """Revoke every key that `staging keys create` made here and that is not revoked yet."""

    def take_back(footing: Footing) -> int:
        from harness.staging.keys import revoke_keys

        count = revoke_keys(footing)
        told = f"{count} key{'' if count == 1 else 's'} revoked"
        typer.echo(json.dumps({"revoked": count}) if as_json else told)
        return EXIT_VALID

    return _on(target, record, as_json, take_back)


def _on(
    target: str,
    record: Path | None,
    as_json: bool,
    work: Callable[[Footing], int],
    *,
    reads: bool = False,
) -> int:
    """Do something on a staging; machines are told of a refusal, too."""
    from harness.staging.footing import standing

    try:
        with standing(target, record, reads=reads) as footing:
            return work(footing)
    except HarnessError as error:
        if as_json:
            typer.echo(json.dumps(refusal_data(error), indent=2))
        raise


def _write(target: str, record: Path | None, dry_run: bool, as_json: bool, command: str) -> int:
    def work(footing: Footing) -> int:
        from harness.staging.states import Ten

        ten = Ten(footing)
        if dry_run:
            _tell_plan(ten, command, as_json)
            return EXIT_VALID
        if not as_json:
            _announce(footing, command)
        try:
            done = ten.reset() if command == "reset" else ten.seed()
        except KeyboardInterrupt:
            errors.print(f"cut off; so far: {ten.done}", style="bold yellow")
            errors.print("  → billing-harness staging reset begins anew", markup=False)
            raise
        _tell(done, ten, as_json)
        return EXIT_VALID

    return _on(target, record, as_json, work)


def _announce(footing: Footing, command: str) -> None:
    cut_off = footing.record.under_way
    if cut_off and command == "reset":
        errors.print(f"an earlier {cut_off} was cut off; its remains go first", style="yellow")
    if footing.shares_time:
        errors.print(
            f"time on {footing.name} will move by a month, for everybody: the target has no test"
            " clocks of its own customers",
            style="yellow",
        )
    errors.print(f"{command} of {footing.name} …", style="dim")


def _tell_plan(ten: Ten, command: str, as_json: bool) -> None:
    doomed = ten.doomed() if command == "reset" else []
    there = {each.state for each in ten.look() if each.standing != "missing"}
    make = [key for key in ten.to_make() if command == "reset" or key not in there]
    facts = {"would_delete": doomed, "would_create": make, "left_out": ten.done.left_out}
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    output.print(f"would remove {len(doomed)}: {', '.join(doomed) or 'nobody'}", markup=False)
    output.print(f"would make {len(make)}: {', '.join(make) or 'nobody'}", markup=False)
    _tell_left_out(ten.done)


def _tell(done: Done, ten: Ten, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(done.to_json(), indent=2))
        return
    record = ten.footing.record
    output.print(Text(str(done), style="bold"))
    for key in done.created:
        if entry := record.of(key):
            output.print(f"{key:<21} {entry.email:<40} {entry.customer}", markup=False)
    if done.kept:
        output.print(f"kept as they stand: {', '.join(done.kept)}", markup=False)
    _tell_left_out(done)
    for email in done.lost:
        told = f"{email} may be left of an earlier command that was cut off: take it away by hand"
        errors.print(told, style="yellow", markup=False)
    output.print(f"credentials: {record.path}", style="dim", markup=False)


def _tell_left_out(done: Done) -> None:
    for key, why in done.left_out.items():
        output.print(f"left out: {key}, for {why}", style="yellow", markup=False)


def _show(seen: list[Seen], name: str, cut_off: str | None) -> None:
    good = sum(each.standing == "as due" for each in seen)
    output.print(Text(f"{name}: {good} of {len(seen)} as due", style="bold"))
    if cut_off:
        output.print(
            f"a {cut_off} is under way, or was cut off: staging reset begins anew", style="yellow"
        )
    for each in seen:
        # One line each, however narrow the window: ids are there to be copied.
        told = Text(f"{each.state:<21} ")
        told.append(f"{each.standing:<8}", style=_COLOURS[each.standing])
        told.append(f" {each.email:<40} {each.customer or '-'}")
        output.print(told)
        for why in each.why:
            output.print(Text(f"{'':<22}{why}"))


def _data(seen: list[Seen]) -> dict[str, Any]:
    return {
        each.state: {
            "standing": each.standing,
            "email": each.email,
            "customer": each.customer,
            "why": list(each.why),
        }
        for each in seen
    }
