"""`billing-harness up`: a local stack that keeps running, for trying things out."""

from __future__ import annotations

import json
import os
import time
from typing import Annotated

import typer
from rich.table import Table

from harness.cli.console import errors, output
from harness.errors import StackError
from harness.guard import Aimed, refuse_production
from harness.naming import new_seed
from harness.running import asked_events
from harness.stack.notice import posted
from harness.stack.observers import Observers, observers, read_names
from harness.stack.stack import Stack, StackOptions
from harness.target.load import find_target

_WATCH_S = 0.5


def up(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when it is ready.")
    ] = False,
    port: Annotated[
        int, typer.Option(help="The billing service's port; 0 takes a free one.", metavar="PORT")
    ] = 0,
    stripe_port: Annotated[
        int, typer.Option(help="The Stripe simulator's port; 0 takes a free one.", metavar="PORT")
    ] = 0,
    database: Annotated[
        str,
        typer.Option(
            help="sqlite, postgres (a server of its own), or a PostgreSQL URL.", metavar="KIND"
        ),
    ] = "sqlite",
    seed: Annotated[
        int | None,
        typer.Option(
            help="Repeat an earlier stack's ids.", metavar="N", min=0, show_default="drawn anew"
        ),
    ] = None,
    beside: Annotated[
        str,
        typer.Option(
            "--with",
            help="Start these beside it, from the PATH: prometheus, pushgateway, alertmanager.",
            metavar="NAMES",
            show_default="none",
        ),
    ] = "",
) -> int:
    """Start the Stripe simulator and the reference billing service, and keep them running.

    With Prometheus the service's metrics are scraped, and the rules of the dashboards evaluated.

    Ctrl-C stops everything and leaves nothing behind. The keys that it prints were made for this
    stack and open nothing else.
    """
    chosen = new_seed() if seed is None else seed
    names = read_names(beside)
    events = asked_events(find_target("reference").file.profile)
    options = StackOptions(
        billing_port=port, stripe_port=stripe_port, seed=chosen, database=database, events=events
    )
    _refuse_production(database)
    if not as_json:
        errors.print("starting the stack …", style="dim")
    with (
        Stack(options) as stack,
        posted(stack.addresses),
        observers(names, stack.addresses) as seen,
    ):
        _tell(stack, seen, chosen, as_json=as_json)
        try:
            _watch(stack, seen)
        except KeyboardInterrupt:
            errors.print("stopping the stack …", style="dim")
    return 0


def _refuse_production(database: str) -> None:
    """Refuse a database of production, which would be migrated and written to."""
    url = database if "://" in database else None
    refuse_production(Aimed(database_url=url), os.environ, ask=True)


def _tell(stack: Stack, seen: Observers, seed: int, *, as_json: bool) -> None:
    if as_json:
        urls = {f"{name}_url": url for name, url in seen.urls.items()}
        typer.echo(json.dumps({**json.loads(stack.addresses.to_json()), **urls}))
    else:
        _show(stack, seen, seed)


def _show(stack: Stack, seen: Observers, seed: int) -> None:
    addresses = stack.addresses
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in (
        ("billing API", addresses.billing_url),
        ("its documentation", addresses.api_docs_url),
        ("operator key", addresses.operator_key),
        ("Stripe simulator", addresses.stripe_url),
        ("Stripe API key", addresses.stripe_api_key),
        ("webhooks go to", addresses.webhook_url),
        ("webhook secret", addresses.webhook_secret),
        ("metrics", f"{addresses.billing_url}/metrics"),
        ("metrics token", addresses.metrics_token),
        *((name.capitalize(), url) for name, url in seen.urls.items()),
        ("logs and database", addresses.folder),
        ("seed", str(seed)),
    ):
        table.add_row(name, value)
    output.print(table)
    output.print("running; Ctrl-C stops it", style="dim")


def _watch(stack: Stack, seen: Observers) -> None:
    """Wait until somebody stops the stack; raise `StackError` when a part of it dies."""
    while not (ended := [*stack.dead(), *seen.dead()]):
        time.sleep(_WATCH_S)
    dead = ended[0]
    raise StackError(
        f"{dead.name} ended with status {dead.status}; the end of its log:\n{dead.log_tail}",
        hint="Start it again; report this if it comes back.",
    )
