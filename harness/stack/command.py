"""Starts an adopter's own service by the command that its profile names (`[target] start`)."""

from __future__ import annotations

import contextlib
import shlex
import urllib.parse
from typing import TYPE_CHECKING

from harness.errors import StackError
from harness.stack.process import Child, probe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SHELL_WORDS = frozenset({"&&", "||", ";", "|", "&", "<", ">", ">>"})
PROBE_TIMEOUT_S = 2.0


def start_command(  # noqa: PLR0913, PLR0917 - a profile states each of these
    command: str, ready: str, base_url: str, env: Mapping[str, str], folder: Path, deadline_s: float
) -> Child:
    """Start `command` in the current folder; return once `base_url` + `ready` answers a success.

    No shell reads the command: it is split as a shell would split it, nothing more. `env` is its
    whole environment; its log is ``target.log`` in `folder`. Raises StackError where it cannot be
    run, ends early, or is not ready within `deadline_s` seconds; nothing of it is left then.
    """
    argv = _split(command)
    url = ready if "://" in ready else f"{base_url.rstrip('/')}/{ready.lstrip('/')}"
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise StackError(f"{url} is no HTTP address", hint="Mend base_url or start.ready.")
    answer, answered = probe(url, PROBE_TIMEOUT_S)
    if answered:
        raise StackError(
            f"something answers at {url} already ({answer}), before the target was started",
            hint="Stop it, or leave `start` out of the profile to test what runs there.",
        )
    with contextlib.ExitStack() as undo:
        child = Child("target", argv, env=env, log=folder / "target.log")
        undo.callback(child.stop)
        child.wait_ready(url, deadline_s)
        undo.pop_all()
    return child


def _split(command: str) -> list[str]:
    """Split a command line into words, and refuse what only a shell understands."""
    try:
        argv = shlex.split(command)
    except ValueError as error:
        raise StackError(
            f"the start command cannot be read: {error}", hint="Mend the quotes in start.command."
        ) from error
    if not argv or SHELL_WORDS.intersection(argv):
        raise StackError(
            f"the start command is not one program with its arguments: {command!r}",
            hint="""Wrap shell syntax: sh -c "…".""",
        )
    return argv
