"""Prints what a merge came to, for the person who reads a job's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from harness.cli.console import COLOURS, output
from harness.report.results import EXIT_INVALID, EXIT_VALID

if TYPE_CHECKING:
    from pathlib import Path

    from ci.merge import Merged

_SHOWN = 12
_COLOUR = {"invalid": "invalid", "valid": "unknown", "unknown": "unknown"}
_GATE = {
    "passed": ("✓", "green"),
    "missed": ("✗", "red"),
    "invalid": ("✗", "red"),
    "unknown": ("?", "yellow"),
}


def tell(merged: Merged, out: Path) -> None:
    """Print verdict, doubts, gates, and what is worth knowing of tests."""
    results = merged.results
    # A gate that was not passed must not stand under a green word.
    word = {EXIT_VALID: "valid", EXIT_INVALID: "invalid"}.get(merged.exit_status)
    colour = COLOURS[word or _COLOUR[results.verdict]]
    output.print(Text.assemble((merged.outcome.upper(), colour), "  ", results.headline()))
    _lines("  ✗ ", "red", [f["message"] for f in results.findings])
    _lines("  ? ", "yellow", results.doubts)
    for gate in merged.gates:
        sign, colour = _GATE[gate.status]
        output.print(Text.assemble((f"  {sign} ", colour), f"{gate.name}: {gate.reason}"))
    flaky = [test for test in results.tests if test.flaky]
    _lines("  ~ ", "yellow", [f"flaky now: {test.id}" for test in flaky])
    rates = [
        f"flaky in {flake.rate:.0%} of {flake.runs} runs, first at {flake.first_seen}: {flake.test}"
        for flake in merged.flakes
    ]
    _lines("  ~ ", "yellow", rates)
    slow = [f"{s.now_s:.1f} s, {s.before_s:.1f} s before: {s.test}" for s in merged.slower]
    _lines("  ~ ", "dim", slow)
    _lines("  · ", "dim", merged.notes)
    ratio = merged.slowest_to_mean
    shares = f"{len(merged.parts)} partitions"
    if ratio is not None:
        shares += f", the slowest share {ratio:.2f} times the mean"
    output.print(f"{shares} · report: {(out / 'report.html').resolve()}", style="dim")


def _lines(sign: str, colour: str, lines: list[str] | tuple[str, ...]) -> None:
    for line in lines[:_SHOWN]:
        output.print(Text.assemble((sign, colour), line))
    if len(lines) > _SHOWN:
        output.print(f"  … and {len(lines) - _SHOWN} more in the report")
