"""Writes a run's results where they were asked for: whole files, or none."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ReportError
from harness.gauntlet.matrix import summary
from harness.report.junit import junit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.redact import Redactor
    from harness.report.results import RunResults

_TITLE = re.compile(r"^\| ([^|]+?) \| ([^|]+?) \|$", re.MULTILINE)
_HINT = "Give a folder that you may write to: --report DIR"
_OWN = ("history*.jsonl", "report.html", "report.json", "junit.xml", "replay-*")


def prepare_folder(folder: Path) -> None:
    """Make the report's folder and clear what an earlier run left in it. Raises `ReportError`.

    Done before anything starts, so that nobody learns after a long run that it cannot be kept.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for pattern in _OWN:
            for left in folder.glob(pattern):
                left.unlink()
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ReportError(
            f"the report cannot be written to {folder}: {error.strerror}", hint=_HINT
        ) from None


def write_ways(data: Mapping[str, Any], folder: Path) -> None:
    """Write the shortest ways to what was found, as stories and as programs."""
    for number, way in enumerate(data["reproductions"], start=1):
        for kind, text in (("json", way["story"]), ("sh", way["curl"]), ("py", way["python"])):
            if text:
                write_whole(folder / f"replay-{number}.{kind}", text)


def prepare_file(path: Path) -> None:
    """Make sure that a file can be written. Raises `ReportError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ReportError(
            f"{path} cannot be written: {error.strerror}", hint="Give another path to --json."
        ) from None


def write_report(results: RunResults, folder: Path, redactor: Redactor) -> None:
    """Write page, JSON, JUnit and the ways to what was found, each whole or not at all."""
    from harness.report.page import page  # whose templates few commands need

    data = redactor.data(results.to_json()) | {
        "kill_matrix": _last_matrix(),
        "titles": requirement_titles(),
    }
    write_ways(data, folder)
    write_whole(folder / "report.json", json.dumps(data, indent=2, default=str) + "\n")
    write_whole(folder / "report.html", page(data))
    write_whole(folder / "junit.xml", junit(data))


def _last_matrix() -> dict[str, Any] | None:
    """Give what the last gauntlet came to, which travels with the suites that it tried."""
    from harness.target.load import fixtures_folder

    try:
        text = (fixtures_folder() / "kill_matrix.json").read_text("utf-8")
        return summary(json.loads(text))
    except (OSError, ValueError, KeyError):
        return None


def requirement_titles() -> dict[str, str]:
    """Give what each requirement's id stands for, as `docs/REQUIREMENTS.md` has it."""
    from harness.target.load import fixtures_folder

    folder = fixtures_folder()
    packaged = folder / "requirements.md"
    path = packaged if packaged.is_file() else folder.parent / "docs" / "REQUIREMENTS.md"
    try:
        return dict(_TITLE.findall(path.read_text("utf-8")))
    except OSError:
        return {}


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
        Path(name).chmod(0o644)
        os.replace(name, path)  # noqa: PTH105 - its atomicity is the point
    except OSError as error:
        raise ReportError(f"{path} cannot be written: {error.strerror}", hint=_HINT) from None
