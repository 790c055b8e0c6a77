"""`billing-harness doctor`: tells whether a profile fits its target."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from harness.cli.console import errors, output, refusal_data
from harness.errors import HarnessError, SettingsError
from harness.naming import new_run_id, new_seed
from harness.operations import covers_core
from harness.report.results import EXIT_UNKNOWN, EXIT_VALID

if TYPE_CHECKING:
    from harness.doctor import Means
    from harness.ground import Ground

_BAD = frozenset({"mismatch", "refused"})
_STYLES = {
    "works": "green",
    "mismatch": "bold red",
    "refused": "yellow",
    "missing": "dim",
    "not tried": "dim",
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the doctor was asked to do."""

    target: str
    controls: bool = False
    customer: str | None = None
    credential: str | None = None

    @property
    def reads_only(self) -> bool:
        return self.customer is not None


def doctor(
    target: Annotated[
        str,
        typer.Option(
            help="A target: a name, a profile's FILE.toml, or module:Class.", metavar="TARGET"
        ),
    ] = "reference",
    controls: Annotated[
        bool,
        typer.Option("--controls", help="Also try what moves everybody's time."),
    ] = False,
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="Send nothing but GET; allowed on production."),
    ] = False,
    customer: Annotated[
        str | None, typer.Option(help="With --read-only: the customer to read.", metavar="ID")
    ] = None,
    credential_env: Annotated[
        str | None,
        typer.Option(
            help="With --read-only: the environment variable with his credential.", metavar="NAME"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")] = False,
) -> int:
    """Try every operation of a profile on the live target, with one customer made for it.

    Each one works, is missing, was not tried (with the reason), or does not fit: then it is shown
    what was sent, what was expected, what came back and why. The customer is closed at the end.
    Exit status: 0 where all that was tried works, 2 otherwise.
    """
    if not as_json:
        errors.print(f"examining {target} …", style="dim")
    try:
        asked = _asked(target, controls, read_only, customer, credential_env)
        found = _read(asked) if asked.reads_only else _examine(asked)
    except HarnessError as error:
        if as_json:
            typer.echo(json.dumps(refusal_data(error), indent=2))
        raise
    works = frozenset(entry["operation"] for entry in found if entry["state"] == "works")
    core = covers_core(works)
    bad = [entry for entry in found if entry["state"] in _BAD]
    following = _next(asked, bad, works, core=core)
    if as_json:
        facts = {"target": target, "core": core, "operations": found, "next": following}
        typer.echo(json.dumps(facts, indent=2))
    else:
        _show(asked, found, following, core=core)
    good = bool(works) if asked.reads_only else core
    return EXIT_UNKNOWN if bad or not good else EXIT_VALID


def _asked(
    target: str, controls: bool, read_only: bool, customer: str | None, credential_env: str | None
) -> _Asked:
    """Check that the options go together. Raises `SettingsError`."""
    if not read_only:
        if customer or credential_env:
            raise SettingsError(
                "--customer and --credential-env are for --read-only",
                hint="Without it the doctor makes a customer of its own.",
            )
        return _Asked(target, controls)
    if controls or not customer:
        raise SettingsError(
            "--read-only needs --customer ID, and goes without --controls",
            hint="Give the id of a customer that is there, whom it will only read.",
        )
    credential = os.environ.get(credential_env) if credential_env else None
    if credential_env and not credential:
        raise SettingsError(
            f"the environment variable {credential_env} is not set",
            hint="Put the customer's credential into it: secrets are never given on the line.",
        )
    return _Asked(target, customer=customer, credential=credential)


def _examine(asked: _Asked) -> list[dict[str, str]]:
    """Give a diagnosis each operation, as plain data free of secrets."""
    from harness.doctor import diagnose
    from harness.ground import Ground, Plan
    from harness.running import running
    from harness.target.load import find_target

    source = find_target(asked.target)
    seed = new_seed()
    with running(source, seed) as up, contextlib.ExitStack() as undo:
        ground = Ground(Plan(asked.target, seed, new_run_id(), folder="", variables=up.variables))
        undo.callback(ground.close)
        found = diagnose(ground.session("doctor"), _means(ground, controls=asked.controls))
        return [ground.redactor.data(asdict(entry)) for entry in found]


def _means(ground: Ground, *, controls: bool) -> Means:
    from harness.doctor import Means
    from harness.provider import SimulatorProvider

    provider = ground.provider
    if not controls:
        return Means(ground.webhook_secret)
    if isinstance(provider, SimulatorProvider):
        # The payment provider moves first, as in every story of time.
        return Means(ground.webhook_secret, provider.now, lambda to: provider.advance(to, 30.0))
    return Means(ground.webhook_secret, move=lambda _: None)


def _read(asked: _Asked) -> list[dict[str, str]]:
    """Give a diagnosis each reading operation; what runs already is examined, nothing started."""
    from harness.doctor import diagnose_reading
    from harness.ground import Ground, Plan
    from harness.running import reach
    from harness.session import Customer
    from harness.target.load import find_target

    source = find_target(asked.target)
    profile, _ = source.file.resolve(os.environ)
    reach(profile)
    customer = Customer(asked.customer or "", asked.credential, None)
    with contextlib.closing(Ground(Plan(asked.target, 0, new_run_id(), folder=""))) as ground:
        found = diagnose_reading(ground.session("doctor"), customer)
        return [ground.redactor.data(asdict(entry)) for entry in found]


def _next(asked: _Asked, bad: list[dict[str, str]], works: frozenset[str], *, core: bool) -> str:
    """Give the next step."""
    if bad:
        names = ", ".join(f"[operations.{entry['operation']}]" for entry in bad[:3])
        more = " …" if len(bad) > len(names.split(", ")) else ""
        return f"mend {names}{more} in the profile, and run this again"
    if asked.reads_only:
        return "nothing was written; a whole examination needs a test environment"
    if not core:
        lacking = "" if "create_customer" in works else "create_customer, "
        return (
            f"map {lacking}one operation that is paid, and get_balance or list_invoices:"
            " without them there is no verdict"
        )
    return f"billing-harness run --target {asked.target}"


def _show(asked: _Asked, found: list[dict[str, str]], following: str, *, core: bool) -> None:
    counts = Counter(entry["state"] for entry in found)
    told = ", ".join(f"{counts[state]} {state}" for state in _STYLES if counts[state])
    enough = "enough for a verdict" if core else "not enough for a verdict"
    output.print(Text(told if asked.reads_only else f"{told}; {enough}", style="bold"))
    output.print(Text(f"next: {following}"))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("operation", "state", "why"):
        table.add_column(column)
    for entry in found:
        state = entry["state"]
        table.add_row(entry["operation"], Text(state, style=_STYLES[state]), Text(entry["why"]))
    output.print(table)
    for entry in found:
        if entry["state"] in _BAD:
            _explain(entry)


def _explain(entry: dict[str, Any]) -> None:
    output.print(Text(f"\n{entry['operation']}: {entry['why']}", style="bold"))
    for part in ("sent", "expected", "received"):
        output.print(Text(f"  {part:<9} {entry[part]}"))
