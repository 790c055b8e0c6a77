"""Start Acme: `python -m tests.targets.acme --port N`, with its secrets in the environment."""

from __future__ import annotations

import argparse
import os

from tests.targets.acme import tariffs
from tests.targets.acme.api import build
from tests.targets.acme.books import Books
from tests.targets.acme.cashier import Cashier
from tests.targets.acme.clerk import Clerk
from tests.targets.acme.contracts import Contracts
from tests.targets.acme.desk import Office
from tests.targets.plumbing import serve

BUGS = {"double-welcome": ("WELCOME_UNITS", 2 * tariffs.WELCOME_UNITS)}


def main() -> None:
    """Serve on a loopback port until told to end."""
    parser = argparse.ArgumentParser(prog="acme", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bug", choices=BUGS, help="a mistake to make, for the gauntlet")
    options = parser.parse_args()
    port = options.port
    if options.bug:
        name, value = BUGS[options.bug]
        setattr(tariffs, name, value)
    needed = ("STRIPE_API_BASE", "STRIPE_API_KEY", "WEBHOOK_SECRET", "OPERATOR_PASSWORD")
    given = {name: os.environ.get(f"ACME_{name}", "") for name in needed}
    if missing := [f"ACME_{name}" for name, value in given.items() if not value]:
        parser.error(f"set {', '.join(missing)} in the environment")
    books = Books(os.environ.get("ACME_DATABASE", ":memory:"))
    cashier = Cashier(given["STRIPE_API_BASE"], given["STRIPE_API_KEY"])
    contracts = Contracts(books, cashier)
    clerk = Clerk(books, cashier, contracts)
    office = Office(
        *(books, cashier, contracts, clerk),
        operator_password=given["OPERATOR_PASSWORD"],
        webhook_secret=given["WEBHOOK_SECRET"],
    )
    serve(build(office), port)


if __name__ == "__main__":
    main()
