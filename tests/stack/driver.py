"""Runs a stack until its standard input ends: what `up` does, to be killed.

The argument is `real`, `postgres` or `standin`.
"""

from __future__ import annotations

import sys

from harness.stack import Stack, StackOptions
from tests.stack.processes import STANDIN_PROGRAM

if __name__ == "__main__":
    standins = StackOptions(stripe_program=STANDIN_PROGRAM, billing_program=STANDIN_PROGRAM)
    real = StackOptions(database="postgres" if sys.argv[1] == "postgres" else "sqlite")
    with Stack(standins if sys.argv[1] == "standin" else real) as stack:
        print(stack.addresses.to_json(), flush=True)  # noqa: T201 - what it is for
        sys.stdin.read()
