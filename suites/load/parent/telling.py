"""How a load speaks: a clear first line, its progress, one verdict with what is behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from harness.cli.bar import Bar
from harness.cli.console import COLOURS, errors, output
from suites.load.measuring.result import RESULT_FILE, figure
from suites.load.report.charts import ms
from suites.load.report.writing import PAGE_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from suites.load.measuring.result import Result
    from suites.load.plan import Plan

_SHOWN = 12
_PARTS = 10
_COLOURS = {**COLOURS, "void": "bold yellow", "missed": "bold red"}


class Terminal(Bar):
    """Tells on standard error: lines, and how far the load has come."""

    def __init__(self) -> None:
        super().__init__("", parts=_PARTS)

    def say(self, line: str) -> None:
        """Tell a line; what follows is a new step, without a bar until it shows one."""
        self.hide()
        errors.print(Text(line, style="dim"))

    def progress(self, what: str, done: int, whole: int) -> None:
        """Show how much of something is done; what follows that is a new step."""
        said = f"{what}: {done:,} of {whole:,}"
        self.show(done, whole, said, said)
        if done == whole:
            self.hide()

    def follow(self, result: Result, plan: Plan) -> None:
        """Show how far the load has come."""
        at = max((interval["t"] for interval in result.series if interval["sent"]), default=0.0)
        figures = result.latency_ms
        said = f"{result.completed:,} answered"
        if figures.get("count"):
            said += f", p99 {ms(figures['p99'])}"
        if result.errors:
            said += f", {result.errors:,} errors"
        whole_s = plan.duration_s
        self.show(at, whole_s, f"{at:.0f} of {whole_s:.0f} s: {said}", said)


def tell_worker(line: str) -> None:
    """Tell what a worker is at; its figures are the master's to tell."""
    errors.print(Text(line, style="dim"))


def tell_verdict(data: Mapping[str, Any], folder: Path) -> None:
    """Print the verdict, what is behind it, and where the rest stands."""
    word = data["outcome"]
    output.print(
        Text.assemble(
            (word.upper(), _COLOURS.get(word, "bold")), f"  {data['scenario']}: {data['headline']}"
        )
    )
    _tell_breaches(data, folder)
    _tell_doubts(data)
    for name, value in data.get("measures", {}).items():
        _line("·", "dim", f"{name} {figure(value)}")
    page = (folder / PAGE_FILE).resolve()
    output.print(f"seed {data['seed']} · report: {page}", style="dim")


def _tell_breaches(data: Mapping[str, Any], folder: Path) -> None:
    for told in data["thresholds"]:
        if told["passed"] is False:
            mark = ("?", "yellow") if data["void_reasons"] else ("✗", "red")
            _line(*mark, f"{told['expression']}: it is {figure(told['value'])}")
    for finding in data["findings"]:
        surely = finding["verdict"] == "invalid"
        _line(*(("✗", "red") if surely else ("?", "yellow")), finding["what"])
    money = data["money"]
    for finding in money.get("findings", [])[:_SHOWN]:
        by = f" [{finding['operation']}, call {finding['call']}]" if finding["call"] else ""
        _line("✗", "red", f"{finding['said']}{by}")
    left = money.get("findings_count", 0) - _SHOWN
    if left > 0:
        output.print(f"  … and {left} more: {folder / RESULT_FILE}")


def _tell_doubts(data: Mapping[str, Any]) -> None:
    reasons = [*data["void_reasons"], *data["unknown_reasons"]]
    if data["money"]["verdict"] == "unknown":
        reasons += data["money"].get("reasons", [])
    if data["aborted"]:
        reasons.append(f"ended early: {data['aborted']}")
    for reason in dict.fromkeys(reasons):
        _line("?", "yellow", reason)
    for reason, count in sorted(data["error_reasons"].items(), key=lambda pair: -pair[1])[:3]:
        _line("·", "dim", f"{count:,} arrivals: {reason}")


def _line(mark: str, colour: str, said: str) -> None:
    output.print(Text.assemble((f"  {mark} ", colour), said))


def tell_capacity(capacity: Mapping[str, Any]) -> None:
    """Print the table that a search for the breaking point makes."""
    for step in capacity["steps"]:
        figures = step["latency_ms"]
        word = ("held ", "green") if step["held"] else ("broke", "red")
        said = f" {figure(step['rate']):>8} a second  p95 {ms(figures.get('p95', 0.0)):>8}"
        said += f"  p99 {ms(figures.get('p99', 0.0)):>8}  {', '.join(step['broke'])}"
        output.print(Text.assemble("  ", word, said))
