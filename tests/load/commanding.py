"""Runs load commands, on a target started for them or on a service that they call staging."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from harness.running import asked_events
from harness.stack.stack import Stack, StackOptions
from harness.target.reader import read_profile
from tests.cli.command import REFERENCE
from tests.load.making import staging_profile
from tests.proxy import Manners, misbehaving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.command import Command, Finished

PATIENT = ("--generator-lateness", "60000")  # on a busy machine a load is to be judged all the same
LOOSE = ("--no-thresholds", *PATIENT)


def loaded(command: Command, *arguments: str | Path, **how: Any) -> tuple[Finished, dict[str, Any]]:
    """Run a load, and give how it ended with its facts."""
    file = command.folder / f"out-{len(list(command.folder.glob('out-*')))}.json"
    done = command.run("load", *arguments, "--json", file, **how)
    return done, json.loads(file.read_text())


@contextlib.contextmanager
def staging(command: Command, manners: Manners | None = None) -> Iterator[dict[str, Any]]:
    """Have a service of its own, called staging; give how a command is told of it."""
    with contextlib.ExitStack() as undo:
        options = StackOptions(events=asked_events(read_profile(REFERENCE).profile))
        stack = undo.enter_context(Stack(options))
        variables = stack.environment()
        if manners is not None:
            proxy = undo.enter_context(misbehaving(variables["STACK_BILLING_URL"], manners))
            variables |= {"STACK_BILLING_URL": proxy.url}
        yield {"target": staging_profile(command.folder), "env": variables}
