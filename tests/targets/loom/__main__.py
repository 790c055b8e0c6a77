"""Start Loom: `python -m tests.targets.loom --port N`, with its secrets in the environment."""

from __future__ import annotations

import argparse
import os

from tests.targets.loom.accounts import Accounts
from tests.targets.loom.api import Loom, build
from tests.targets.loom.effects import worker
from tests.targets.loom.store import Store
from tests.targets.loom.till import Till
from tests.targets.loom.weaving import Weaving
from tests.targets.plumbing import serve


def main() -> None:
    """Serve on a loopback port until told to end."""
    parser = argparse.ArgumentParser(prog="loom", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    needed = ("STRIPE_API_BASE", "STRIPE_API_KEY", "WEBHOOK_SECRET", "OPERATOR_KEY")
    given = {name: os.environ.get(f"LOOM_{name}", "") for name in needed}
    if missing := [f"LOOM_{name}" for name, value in given.items() if not value]:
        parser.error(f"set {', '.join(missing)} in the environment")
    store = Store(os.environ.get("LOOM_DATABASE", ":memory:"))
    till = Till(given["STRIPE_API_BASE"], given["STRIPE_API_KEY"])
    accounts = Accounts(store, till)
    weaving = Weaving(store, till, accounts)
    keys = {"operator_key": given["OPERATOR_KEY"], "webhook_secret": given["WEBHOOK_SECRET"]}
    serve(build(Loom(store, weaving, accounts, worker(store, weaving, accounts), **keys)), port)


if __name__ == "__main__":
    main()
