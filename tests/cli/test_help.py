"""What a person reads before the first run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.stack.processes import linux_only

if TYPE_CHECKING:
    from tests.cli.command import Command

pytestmark = linux_only


@pytest.mark.parametrize("name", ["", "run", "up", "doctor"])
def test_help_names_every_default_and_status(command: Command, name: str) -> None:
    """Help ends with 0, shows what an option is when nobody gives it, and never loses a line."""
    finished = command.run(*name.split(), "--help")
    assert (finished.status, finished.err) == (0, "")
    assert "Usage: billing-harness" in finished.out
    if name != "up":
        assert "Exit status: 0 valid; 1 invalid; 2 unknown" in finished.out
    if name == "run":
        for default in ("(reference)", "(all)", "(drawn anew)", "(reports/latest)"):
            assert f"[default: {default}]" in finished.out
        assert "on this machine, with a Stripe simulator beside it." in finished.out


def test_a_crash_is_no_verdict(command: Command) -> None:
    """A fault of the harness ends with 2, never with the 1 that Python gives and CI reads."""
    script = "import harness.cli as cli; cli.build_app = lambda: 1 / 0; cli.main()"
    finished = command.run("-P", "-c", script, program=(sys.executable,))
    assert finished.status == 2
    assert "ZeroDivisionError" in finished.err
    assert "a fault of the harness, and no verdict" in finished.err


@pytest.mark.parametrize("words", ["runn", "run --sed 1", "run -n many"])
def test_a_slip_is_told_with_the_way_to_help(command: Command, words: str) -> None:
    """A command or option that does not exist ends with 2 and points at the help."""
    finished = command.run(*words.split())
    assert (finished.status, finished.out) == (2, "")
    assert "-h' for help" in finished.err
    assert "Traceback" not in finished.err
