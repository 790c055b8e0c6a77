"""Writes down every SQL statement of a process, and finds in them what came from outside.

``python -m tests.billing.capturing serve …`` is ``python -m simulators.billing serve …`` with its
statements captured in the file that the environment names; without that variable it only runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
from typing import TYPE_CHECKING

from sqlalchemy import event
from sqlalchemy.engine import Engine

from simulators.billing.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE = "TESTS_OF_BILLING_STATEMENTS"

_paused = threading.Event()
_LITERAL = re.compile(r"'((?:[^']|'')*)'")
# A word of an input that no statement of ours has reason to hold: ids, addresses, canaries.
_INPUT = re.compile(
    r"@example|canary|\b(?:cust|cus|evt|sub|in|pm|txn|pay|att|req)_[A-Za-z0-9]{12,}|bk_[A-Za-z0-9]",
    re.IGNORECASE,
)


def install() -> None:
    """Have each statement that is new to this process appended to the file, if one is named."""
    if not (path := os.environ.get(FILE)):
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    seen: set[str] = set()

    @event.listens_for(Engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement not in seen and not _paused.is_set():
            seen.add(statement)
            os.write(descriptor, json.dumps(statement).encode() + b"\n")


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Capture nothing in this process meanwhile: a service that is broken on purpose is at work."""
    _paused.set()
    try:
        yield
    finally:
        _paused.clear()


def captured(path: Path) -> set[str]:
    """Give the statements that were captured so far; a line that a kill cut short is none."""
    found = set()
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.endswith('"'):
            found.add(json.loads(line))
    return found


def with_inputs(statements: set[str]) -> Iterator[str]:
    """Give those in which something stands that only an input can have brought."""
    return (each for each in sorted(statements) if _INPUT.search(each))


def literals(statements: set[str]) -> set[str]:
    """Give all strings that stand in statements, rather than beside them as parameters."""
    return {found for each in statements for found in _LITERAL.findall(each)}


if __name__ == "__main__":
    install()
    sys.exit(main())
