"""Runs promtool and amtool over what was generated, where they are on the PATH."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dashboards.checks import Finding, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEADLINE_S = 120.0
_LINES_MAX = 40


def check_rules(files: Mapping[str, str]) -> tuple[list[Finding], list[Skipped]]:
    """Let promtool check and test the rules, and amtool check the example."""
    found: list[Finding] = []
    skipped: list[Skipped] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        for check, command in _commands(files):
            if shutil.which(command[0]) is None:
                skipped.append(Skipped(check, f"{command[0]} is not on the PATH"))
            elif trouble := run(command, folder):
                found.append(Finding(check, command[-1], trouble))
    return found, skipped


def _commands(files: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    rules = [name for name in files if name.endswith("_rules.yml")]
    yield from (("promtool check rules", ["promtool", "check", "rules", name]) for name in rules)
    tests = [name for name in files if name.endswith("_tests.yml")]
    yield from (("promtool test rules", ["promtool", "test", "rules", name]) for name in tests)
    yield "amtool check-config", ["amtool", "check-config", "alertmanager_example.yml"]


def run(command: list[str], folder: str, given: str | None = None) -> str:
    """Run a program to its end or the deadline; give what it complains of, or nothing."""
    try:
        ended = subprocess.run(  # noqa: S603 - a program of the PATH, by a name of ours
            command,
            cwd=folder,
            input=given,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end within {DEADLINE_S:g} s"
    if ended.returncode == 0:
        return ""
    lines = (ended.stdout + ended.stderr).strip().splitlines()
    return "\n".join(line for line in lines if line.strip())[: _LINES_MAX * 200] or "it failed"
