"""`python -m simulators.billing COMMAND`; the rest of the settings is in the environment."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from simulators.billing import logs
from simulators.billing.environment import ProductionRefusedError, refuse_in_production
from simulators.billing.settings import SettingsError, load_settings
from simulators.billing.storage.migrate import NotMigratedError

if TYPE_CHECKING:
    from simulators.billing.settings import Settings

_NOT_SETTLED = 1
_CANNOT_RUN = 2


def main(arguments: list[str] | None = None) -> int:
    """Run a command; give the exit status: 0, 1 where something is left, 2 when it cannot run."""
    options = _parser().parse_args(arguments)
    if options.command == "defects":
        return _list_defects()
    try:
        settings = load_settings()
        logs.configure(settings.log_level)
        if options.command == "migrate":
            return _migrate(settings)
        if options.command == "reconcile":
            return _reconcile(settings)
        if options.command == "reset-staging":
            return _reset(settings, options)
        return _serve(settings, options)
    except (SettingsError, ProductionRefusedError, NotMigratedError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return _CANNOT_RUN


# Each command imports what it needs: a migration needs neither FastAPI nor Stripe's package.


def _migrate(settings: Settings) -> int:
    from simulators.billing.storage import migrate
    from simulators.billing.storage.database import Database

    database = Database(settings.database_url)
    migrate.upgrade(database)
    migrate.mark(database, settings.environment)
    database.dispose()
    return 0


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    from simulators.billing import serving

    core = serving.build_core(settings)
    listener = serving.listening_socket(options.host, options.port, options.fd)
    if not options.defect:
        serving.serve(core, listener)
        return 0
    from simulators.billing import defects

    try:
        with defects.switched_on(options.defect, settings, core.database) as overlay:
            serving.serve(core, listener, overlay.install)
    except defects.UnknownDefectError as error:
        sys.stderr.write(f"{error}\n")
        return _CANNOT_RUN
    return 0


def _list_defects() -> int:
    """Print each defect with what it declares, as a line of JSON."""
    from simulators.billing.defects import DEFECTS

    for each in DEFECTS.values():
        sys.stdout.write(json.dumps(each.to_data()) + "\n")
    return 0


def _reconcile(settings: Settings) -> int:
    """Make one pass of the reconciler, and print what came of it as a line of JSON."""
    from simulators.billing import serving
    from simulators.billing.reconciler import Reconciler

    core = serving.build_core(settings)
    report = Reconciler(core).run()
    sys.stdout.write(json.dumps(asdict(report)) + "\n")
    core.database.dispose()
    return _NOT_SETTLED if report.findings or report.failed_steps else 0


def _reset(settings: Settings, options: argparse.Namespace) -> int:
    """Put the staging into its ten states, and print what came of it as a line of JSON."""
    from simulators.billing import serving
    from simulators.billing.operations import purge, staging

    core = serving.build_core(settings)
    keys: dict[str, str] = {}
    try:
        refuse_in_production("reset-staging", settings, core.database.marker())
        if options.dry_run:
            doomed = [customer.email for customer in purge.of_test(core)]
            told = {"would_delete": doomed, "would_create": list(staging.STATES)}
            sys.stdout.write(json.dumps(told) + "\n")
            return 0
        done = staging.reset(core, keys)
    except staging.StagingError as error:
        sys.stderr.write(f"staging_incomplete: {error}\n")
        return _CANNOT_RUN
    finally:
        core.database.dispose()
    facts = {name: value for name, value in asdict(done).items() if name != "kept" or value}
    shown = {"keys": keys} if options.show_keys else {}
    sys.stdout.write(json.dumps({**facts, **shown}) + "\n")
    if done.kept:
        sys.stderr.write("Stripe could not be asked about those kept: run it again later\n")
    return _NOT_SETTLED if done.kept else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulators.billing", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="bring the database to the newest revision")
    commands.add_parser("reconcile", help="compare with Stripe once; 1 if something is left")
    commands.add_parser("defects", help="list the mistakes that `serve --defect` can make")
    reset = commands.add_parser(
        "reset-staging",
        help="remove the customers of the test domains, here and at Stripe, and make the ten anew",
    )
    reset.add_argument("--dry-run", action="store_true", help="say what it would do, do nothing")
    reset.add_argument(
        "--show-keys", action="store_true", help="print each new customer's API key as well"
    )
    serve = commands.add_parser("serve", help="serve the API")
    serve.add_argument("--host", default="127.0.0.1")
    place = serve.add_mutually_exclusive_group()
    place.add_argument("--port", type=int, default=8080, help="0 takes a free one")
    place.add_argument("--fd", type=int, help="a bound and listening socket to inherit")
    serve.add_argument(
        "--defect",
        action="append",
        default=[],
        metavar="NAME",
        help="make this mistake on purpose; may be given several times, never in production",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
