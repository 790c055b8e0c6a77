"""Writes what a load came to: whole files, also when the disk is full or somebody is in a hurry."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import TYPE_CHECKING, Any

from harness.errors import ReportError
from harness.report.write import write_whole
from suites.load.measuring.result import RESULT_FILE
from suites.load.report.charts import ms
from suites.load.report.exports import SUMMARY_FILE, kinds_csv, prometheus_text, series_csv, summary
from suites.load.report.page import page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from suites.load.measuring.result import Result
    from suites.load.plan import Plan

PAGE_FILE = "report.html"
PROMETHEUS_FILE = "load.prom"
_OWN = ("history-*.jsonl", "trace-*", "load.json", "load.log", "plan.json", "*.csv", PAGE_FILE)
_BALLAST = ".ballast"
_BALLAST_BYTES = 2 * 1024 * 1024
_HINT = "Give a folder that you may write to, on a disk with space: --results DIR"
EXIT_MISSED = 99


@contextlib.contextmanager
def place_for(folder: Path) -> Iterator[None]:
    """Hold a load's folder, emptied of an earlier load's files, with room kept for its end.

    The room is a file that is let go before results are written: a disk that histories have filled
    then still takes them. Raises `ReportError`.
    """
    with contextlib.ExitStack() as undo:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            undo.callback(os.close, held)
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for pattern in _OWN:
                for left in folder.glob(pattern):
                    left.unlink()
            (folder / _BALLAST).write_bytes(bytes(_BALLAST_BYTES))
        except BlockingIOError:
            raise ReportError(
                f"another load writes to {folder}", hint="Give this one a folder: --results DIR"
            ) from None
        except OSError as error:
            with contextlib.suppress(OSError):
                (folder / _BALLAST).unlink(missing_ok=True)
            raise ReportError(
                f"results cannot be written to {folder}: {error.strerror}", hint=_HINT
            ) from None
        undo.callback((folder / _BALLAST).unlink, missing_ok=True)
        yield


def document(result: Result, plan: Plan | None, **more: Any) -> dict[str, Any]:
    """Give all of a load's results as plain data: `--json`, `load.json`, the page's source."""
    data = result.to_data()
    data["stages"] = plan.to_data()["stages"] if plan else []
    data |= more
    data["outcome"] = "missed" if data["exit_status"] == EXIT_MISSED else data["verdict"]
    data["headline"] = headline(data)
    return data


def headline(data: Mapping[str, Any]) -> str:
    """Say a load in a sentence.

    The figures that a reader asks for first: how much of it was answered, how quickly, and whether
    the money was right.
    """
    asked = data["scheduled"] or data["sent"]
    told = [f"{data['completed']:,} of {asked:,} arrivals answered"]
    if data["duration_s"]:
        told[0] += f" in {data['duration_s']:.1f} s"
    if figures := data["latency_ms"]:
        named = (("p50", "median"), ("p95", "p95"), ("p99", "p99"))
        told.append(", ".join(f"{said} {ms(figures[name])}" for name, said in named))
    told.append(f"{100 * data['error_ratio']:.3g} % errors")
    if data["dropped"] or data["not_begun"]:
        told.append(f"{data['dropped'] + data['not_begun']:,} never sent")
    money = data["money"]
    counted = f" for {money['customers']:,} customers" if money.get("customers") else ""
    told.append(f"money {money['verdict']}{counted}")
    return "; ".join(told)


def write_results(folder: Path, data: Mapping[str, Any]) -> list[str]:
    """Write every form of a load's results; give what could not be written.

    The facts come first: where there is room for nothing else, they are there.
    """
    (folder / _BALLAST).unlink(missing_ok=True)
    text = json.dumps(data, indent=1, default=str) + "\n"
    lost = []
    forms: dict[str, Callable[[], str]] = {
        RESULT_FILE: lambda: text,
        "kinds.csv": lambda: kinds_csv(data),
        "series.csv": lambda: series_csv(data),
        PAGE_FILE: lambda: page(json.loads(text)),
    }
    for name, make in forms.items():
        try:
            write_whole(folder / name, make())
        except ReportError as error:
            lost.append(error.message)
    return lost


def write_summary(folder: Path, documents: Sequence[Mapping[str, Any]]) -> None:
    """Write what `billing-harness ci` and Prometheus read of the loads of one command."""
    told = summary(documents)
    write_whole(folder / SUMMARY_FILE, json.dumps(told, indent=1) + "\n")
    write_whole(folder / PROMETHEUS_FILE, prometheus_text(told))
