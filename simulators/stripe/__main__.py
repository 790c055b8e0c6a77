"""``python -m simulators.stripe serve``."""

import argparse
import sys
import time

from simulators.stripe.settings import Settings
from simulators.webhooks.delivery import SCHEDULES, DeliverySettings

_EXAMPLES = """\
examples:
  python -m simulators.stripe serve                     # http://127.0.0.1:12111
  python -m simulators.stripe serve --port 0 --seed 7   # a free port, told on standard output
  curl -u sk_test_any: http://127.0.0.1:12111/v1/customers -d email=a@example.com
  curl http://127.0.0.1:12111/simulator/journal

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
    where = serve.add_mutually_exclusive_group()
    where.add_argument("--port", type=int, default=12111, help="0 takes a free one (12111)")
    where.add_argument("--fd", type=int, help="a listening socket inherited from the parent")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    serve.add_argument("--seed", type=int, help="makes ids repeatable; drawn and told if absent")
    serve.add_argument(
        "--clock", choices=["running", "still"], default="running", help="how virtual time goes"
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
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Serve; return 2 when the address cannot be listened on."""
    given = build_parser().parse_args(arguments)
    from simulators.stripe.app import create_app
    from simulators.stripe.server import CannotListen, inherit_socket, open_socket, serve

    seed = int(time.time()) if given.seed is None else given.seed
    try:
        listener = (
            open_socket(given.host, given.port) if given.fd is None else inherit_socket(given.fd)
        )
    except CannotListen as error:
        sys.stderr.write(f"{error}. Choose another with --port, or --port 0.\n")
        return 2
    sys.stderr.write(f"seed {seed}\n")
    delivery = DeliverySettings(
        timeout_s=given.delivery_timeout, retries_s=SCHEDULES[given.retries]
    )
    settings = Settings(seed=seed, running=given.clock == "running", delivery=delivery)
    serve(create_app(settings), listener)
    return 0


if __name__ == "__main__":
    sys.exit(main())
