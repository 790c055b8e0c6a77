"""How the command line speaks: facts on standard output, progress and trouble on standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from harness.errors import HarnessError

output = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

COLOURS = {
    "valid": "bold green",
    "invalid": "bold red",
    "unknown": "bold yellow",
    "passed": "green",
    "failed": "red",
    "skipped": "dim",
}


def refusal_data(error: HarnessError) -> dict[str, Any]:
    """Give machines what `tell_error` tells people: that nothing could be proven, and why."""
    told = {"code": error.code, "message": error.message, "hint": error.hint}
    return {"verdict": "unknown", "error": told}


def tell_error(error: HarnessError) -> None:
    """Tell what could not be done, and the next step."""
    errors.print(Text.assemble(("cannot go on: ", "bold red"), error.message))
    if error.hint:
        errors.print(Text.assemble(("  → ", "bold"), error.hint))
