"""Start Brook: `python -m tests.targets.brook --port N`, with its secrets in the environment."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from tests.targets.brook.api import build
from tests.targets.brook.bank import Bank
from tests.targets.brook.books import Books
from tests.targets.brook.counter import Counter
from tests.targets.brook.desk import Brook
from tests.targets.brook.till import Till
from tests.targets.plumbing import Worker, serve

if TYPE_CHECKING:
    from starlette.applications import Starlette


def assemble() -> Starlette:
    """Put Brook together out of the environment; raises `SystemExit` where something is missing."""
    needed = ("STRIPE_API_BASE", "STRIPE_API_KEY", "WEBHOOK_SECRET", "OPERATOR_KEY")
    given = {name: os.environ.get(f"BROOK_{name}", "") for name in needed}
    if missing := [f"BROOK_{name}" for name, value in given.items() if not value]:
        raise SystemExit(f"set {', '.join(missing)} in the environment")
    books = Books(os.environ.get("BROOK_DATABASE", ":memory:"))
    bank = Bank(given["STRIPE_API_BASE"], given["STRIPE_API_KEY"])
    till = Till(books, bank)
    counter = Counter(books, bank, till)
    does = {
        "invoice": till.paid,
        "refund": till.given_back,
        "dispute": till.disputed,
        "subscription": counter.look_again,
        "usage": counter.use_again,
    }
    keys = {"operator_key": given["OPERATOR_KEY"], "webhook_secret": given["WEBHOOK_SECRET"]}
    return build(Brook(books, counter, till, Worker(books, does), **keys))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="brook", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    serve(assemble(), parser.parse_args().port)
