"""How deliveries are told: a line each for people, one JSON document for machines."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.text import Text

from harness.cli.console import errors, output
from simulators.webhooks.commands.posting import OUTCOMES, Delivery, Signing, exit_status

if TYPE_CHECKING:
    from collections.abc import Iterable

VERDICTS = {0: "valid", 1: "invalid", 2: "unknown"}
INTERRUPTED = 130

_STYLES = {"accepted": "green", "refused": "red", "unknown": "yellow"}


def printable(text: str) -> str:
    """Give text of a stranger's without what could steer a terminal.

    >>> printable("ok" + chr(27) + "[2J")
    'ok�[2J'
    """
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def warn(text: str) -> None:
    """Tell what is no error, on standard error."""
    errors.print(Text(text, style="yellow"))


def tell_delivery(delivery: Delivery) -> None:
    """Tell one delivery in a line; what was not accepted says why."""
    status = "no answer" if delivery.status is None else str(delivery.status)
    why = "" if delivery.outcome == "accepted" else printable(delivery.answer)
    line = Text.assemble(
        (f"{delivery.outcome:<8}", _STYLES[delivery.outcome]),
        f"  {status:<9}  {delivery.type}  {printable(delivery.id)}  {delivery.elapsed_ms:.0f} ms",
    )
    output.print(Text.assemble(line, f"  {why}") if why else line)


def counts_of(deliveries: Iterable[Delivery]) -> dict[str, int]:
    """Count deliveries by outcome."""
    found = Counter(delivery.outcome for delivery in deliveries)
    return {outcome: found[outcome] for outcome in OUTCOMES}


def summary(deliveries: list[Delivery], how: Signing, *, is_cut_short: bool) -> str:
    """Say in a line what came of all deliveries."""
    counts = counts_of(deliveries)
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    wanted = "" if how.is_valid else "; none of them should be accepted"
    stopped = "; interrupted" if is_cut_short else ""
    return f"{len(deliveries)} sent: {told or 'nothing came back'}{wanted}{stopped}"


def document(
    url: str, deliveries: list[Delivery], how: Signing, *, is_cut_short: bool
) -> dict[str, Any]:
    """Give machines what came of all deliveries."""
    return {
        "verdict": VERDICTS[exit_status(deliveries, how)],
        "to": url,
        "counts": counts_of(deliveries),
        "interrupted": is_cut_short,
        "deliveries": [delivery.data() for delivery in deliveries],
    }
