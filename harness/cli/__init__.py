"""The command line, `billing-harness`: the frame into which every command registers."""

from __future__ import annotations

import signal
import sys
import traceback
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from typer.core import TyperGroup

from harness.cli.audit import audit
from harness.cli.console import errors, tell_error
from harness.cli.doctor import doctor
from harness.cli.gauntlet import EXIT as GAUNTLET_EXIT
from harness.cli.gauntlet import gauntlet
from harness.cli.profile import profile
from harness.cli.replay import replay
from harness.cli.run import run
from harness.cli.staging import app as staging
from harness.cli.up import up
from harness.errors import HarnessError
from harness.report.results import EXIT_INTERRUPTED, EXIT_UNKNOWN

if TYPE_CHECKING:
    from types import FrameType

_EPILOG = (
    "Exit status: 0 valid; 1 invalid; 2 unknown, or not able to run; 99 a threshold missed and"
    " nothing invalid; 130 interrupted."
)


class _Group(TyperGroup):
    """Turns what a command returns or raises into an exit status, for siblings' commands too.

    A person's mistake is told in a sentence with the next step, never as a traceback.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            status = super().invoke(ctx)
        except HarnessError as error:
            tell_error(error)
            status = EXIT_UNKNOWN
        except KeyboardInterrupt:
            errors.print("interrupted", style="bold yellow")
            status = EXIT_INTERRUPTED
        raise typer.Exit(status if isinstance(status, int) else 0)


def _version(value: bool) -> None:
    if value:
        typer.echo(version("billing-harness"))
        raise typer.Exit


def _frame(
    _: bool = typer.Option(False, "--version", callback=_version, help="Show the version."),
) -> None:
    """Prove that a billing API charges right, keeps strangers out and stays up."""


def build_app() -> typer.Typer:
    """Give the application with its own commands and those that siblings registered."""
    app = typer.Typer(
        name="billing-harness",
        cls=_Group,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        epilog=_EPILOG,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_frame)
    app.command(epilog=_EPILOG)(run)
    app.command(epilog=_EPILOG)(replay)
    app.command()(up)
    app.command()(profile)
    app.command(epilog=_EPILOG)(doctor)
    app.command()(audit)
    app.command(epilog=GAUNTLET_EXIT)(gauntlet)
    app.add_typer(staging, name="staging")
    for entry in entry_points(group="billing_harness.commands"):
        app.add_typer(entry.load(), name=entry.name)
    return app


def main() -> NoReturn:
    """Run the command line; being told to end is as good as Ctrl-C.

    A crash is no verdict: Python's own status for it, 1, would say that the target is invalid.
    """
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        build_app()()
    except Exception:  # noqa: BLE001 - whatever it is, its status must not be read as a verdict
        traceback.print_exc()
        errors.print("a fault of the harness, and no verdict: report it with these lines, please")
        sys.exit(EXIT_UNKNOWN)
    sys.exit(0)


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
