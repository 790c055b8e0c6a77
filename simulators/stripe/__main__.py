"""``python -m simulators.stripe serve``."""

import argparse
import sys
import time
from pathlib import Path

from simulators.stripe.faults.commands import add_fault_commands, read_faults, run_fault_command
from simulators.stripe.faults.kinds import BadFault
from simulators.stripe.settings import CLOCK_CUSTOMERS, CLOCK_INTERVALS, Settings
from simulators.stripe.versions import NEWEST, OLDEST, SUPPORTED
from simulators.webhooks.delivery import SCHEDULES, DeliverySettings

_EXAMPLES = """\
examples:
  python -m simulators.stripe serve                     # http://127.0.0.1:12111
  python -m simulators.stripe serve --port 0 --seed 7   # a free port, told on standard output
  curl -u sk_test_any: http://127.0.0.1:12111/v1/customers -d email=a@example.com
  curl http://127.0.0.1:12111/simulator/journal
  python -m simulators.stripe serve --store account.db  # goes on where it was, also after kill -9
  python -m simulators.stripe faults add error --path '/v1/payment_intents*' --count 2

When it answers requests, it prints one line: {"ready": true, "url": "http://127.0.0.1:12111"}
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(
        prog="python -m simulators.stripe",
        description="A Stripe API that keeps state, sends webhooks and lets you move time.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser(
        "serve",
        help="serve the API until interrupted",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_place(serve)
    _add_behaviour(serve)
    add_fault_commands(commands)
    return parser


def _add_place(serve: argparse.ArgumentParser) -> None:
    """Add where it serves, and where it keeps what it knows."""
    where = serve.add_mutually_exclusive_group()
    where.add_argument("--port", type=int, default=12111, help="0 takes a free one (12111)")
    where.add_argument("--fd", type=int, help="a listening socket inherited from the parent")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    serve.add_argument("--seed", type=int, help="makes ids repeatable; drawn and told if absent")
    serve.add_argument(
        "--store", type=Path, metavar="FILE", help="keep the account in a file, also when killed"
    )


def _add_behaviour(serve: argparse.ArgumentParser) -> None:
    """Add how the account behaves."""
    serve.add_argument(
        "--clock", choices=["running", "still"], default="running", help="how virtual time goes"
    )
    serve.add_argument(
        "--test-clocks",
        choices=["stripe", "unlimited"],
        default="stripe",
        help="how many customers a test clock takes, and how far it goes at once (as at stripe)",
    )
    serve.add_argument(
        "--after-dunning",
        choices=["cancel", "past_due", "unpaid"],
        default="cancel",
        help="what becomes of a subscription after the last retry of its payment (cancel)",
    )
    serve.add_argument(
        "--retries",
        choices=sorted(SCHEDULES),
        default="sandbox",
        help="how failed deliveries are tried again (sandbox)",
    )
    serve.add_argument(
        "--delivery-timeout",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="how long a receiver may take to answer (20)",
    )
    serve.add_argument(
        "--api-version",
        default=NEWEST,
        choices=sorted(SUPPORTED),
        metavar="VERSION",
        help=f"the account's own version, from {OLDEST} ({NEWEST})",
    )
    serve.add_argument(
        "--rate-limit", type=int, metavar="N", help="answer N requests a second (25 in a sandbox)"
    )
    serve.add_argument(
        "--faults", type=Path, metavar="FILE", help="faults in force from the start, as JSON"
    )


def main(arguments: list[str] | None = None) -> int:
    """Do one command; return 2, with a sentence, when something stands in its way."""
    given = build_parser().parse_args(arguments)
    if given.command == "faults":
        return run_fault_command(given)
    return _serve(given)


def _serve(given: argparse.Namespace) -> int:
    from simulators.stripe.app import create_app
    from simulators.stripe.persist import CannotStore, Persistence
    from simulators.stripe.server import CannotListen, inherit_socket, open_socket, serve

    settings = Settings(
        seed=int(time.time()) if given.seed is None else given.seed,
        api_version=given.api_version,
        rate_limit_per_s=given.rate_limit,
        running=given.clock == "running",
        after_dunning=given.after_dunning,
        clock_customers_max=None if given.test_clocks == "unlimited" else CLOCK_CUSTOMERS,
        clock_intervals_max=None if given.test_clocks == "unlimited" else CLOCK_INTERVALS,
        delivery=DeliverySettings(
            timeout_s=given.delivery_timeout, retries_s=SCHEDULES[given.retries]
        ),
    )
    try:
        faults = read_faults(given.faults) if given.faults else []
        persistence = Persistence(given.store) if given.store else None
        listener = (
            open_socket(given.host, given.port) if given.fd is None else inherit_socket(given.fd)
        )
        app = create_app(settings, persistence=persistence)
        app.state.simulator.faults.add_all(faults)
    except CannotListen as error:
        return _fail(f"{error}. Choose another with --port, or --port 0.")
    except (CannotStore, BadFault) as error:
        return _fail(f"{error}.")
    sys.stderr.write(f"seed {settings.seed}\n")
    serve(app, listener)
    return 0


def _fail(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
