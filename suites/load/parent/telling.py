"""How a load speaks: a clear first line, its progress, one verdict with what is behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from harness.cli.console import COLOURS, errors, output
from suites.load.measuring.result import RESULT_FILE
from suites.load.report.charts import ms
from suites.load.report.writing import PAGE_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from suites.load.measuring.result import Result
    from suites.load.plan import Plan

_SHOWN = 12
_PARTS = 10
_COLOURS = {**COLOURS, "void": "bold yellow", "missed": "bold red"}


class Terminal:
    """Tells on standard error: a bar where a person watches, a line now and then in a log."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._bar = Progress(
            *columns, console=errors, transient=True, disable=not errors.is_terminal
        )
        self._task = self._bar.add_task("", total=None, visible=False)
        self._told = 0

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        self._bar.stop()

    def say(self, line: str) -> None:
        """Tell a line; what follows is a new step, without a bar until it shows one."""
        self._told = 0
        self._bar.update(self._task, visible=False)
        errors.print(Text(line, style="dim"))

    def show(self, result: Result, plan: Plan) -> None:
        """Show how far the load has come."""
        at = max((interval["t"] for interval in result.series if interval["sent"]), default=0.0)
        figures = result.latency_ms
        said = f"{result.completed:,} answered"
        if figures.get("count"):
            said += f", p99 {ms(figures['p99'])}"
        if result.errors:
            said += f", {result.errors:,} errors"
        self._bar.update(
            self._task, visible=True, description=said, completed=at, total=plan.duration_s
        )
        part = int(_PARTS * at / plan.duration_s)
        if not errors.is_terminal and part > self._told:
            self._told = part
            errors.print(f"{at:.0f} of {plan.duration_s:.0f} s: {said}")


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
        _line("·", "dim", f"{name} {value:.4g}")
    page = (folder / PAGE_FILE).resolve()
    output.print(f"seed {data['seed']} · report: {page}", style="dim")


def _tell_breaches(data: Mapping[str, Any], folder: Path) -> None:
    for told in data["thresholds"]:
        if told["passed"] is False:
            mark = ("?", "yellow") if data["void_reasons"] else ("✗", "red")
            _line(*mark, f"{told['expression']}: it is {told['value']:.4g}")
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
        said = f" {step['rate']:8.4g} a second  p95 {ms(figures.get('p95', 0.0)):>8}"
        said += f"  p99 {ms(figures.get('p99', 0.0)):>8}  {', '.join(step['broke'])}"
        output.print(Text.assemble("  ", word, said))
