"""`billing-harness load`: light to import; locust is loaded in the load process alone."""

from __future__ import annotations

import typer

app = typer.Typer(
    help="Put a billing API under load, and check its money afterwards.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
