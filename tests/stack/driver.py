"""Runs a stack of stand-ins until its standard input ends: what `up` does, to be killed."""

from __future__ import annotations

import sys

from harness.stack import Stack, StackOptions
from tests.stack.processes import STANDIN_PROGRAM

if __name__ == "__main__":
    options = StackOptions(stripe_program=STANDIN_PROGRAM, billing_program=STANDIN_PROGRAM)
    with Stack(options) as stack:
        print(stack.addresses.to_json(), flush=True)  # noqa: T201 - what it is for
        sys.stdin.read()
