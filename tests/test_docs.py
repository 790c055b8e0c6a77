"""What the documentation shows is what the program does."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from simulators.billing.defects import DEFECTS
from tools.docs_tables import TABLES, fresh, untried

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
COMMAND = re.compile(r"^\$ (billing-harness\b[^#\n]*)", re.MULTILINE)
MAKE = re.compile(r"^\$ make (\w+)", re.MULTILINE)


def documented() -> list[str]:
    """Give every `billing-harness` command line that a document shows."""
    return [
        line.strip()
        for document in DOCUMENTS
        for line in COMMAND.findall(document.read_text(encoding="utf-8"))
    ]


@functools.cache
def help_of(command: tuple[str, ...]) -> str:
    """Give what a command says of itself, wide enough for its options to stand in one piece."""
    asked = subprocess.run(
        [sys.executable, "-m", "harness.cli", *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "200", "TERM": "dumb", "PATH": ""},
        timeout=60,
    )
    return asked.stdout


@pytest.mark.parametrize("line", documented())
def test_every_documented_command_exists_with_its_options(line: str) -> None:
    """A command line in a document names a command and options that `--help` lists."""
    words = line.split()[1:]
    deep = 2 if words[0] in {"webhooks", "ci", "dashboards", "load", "staging"} else 1
    command = tuple(word for word in words[:deep] if not word.startswith("-"))
    shown = help_of(command)
    for word in words:
        if re.match(r"--?[a-z]", word):
            assert re.search(rf"(^|\s){re.escape(word)}\b", shown), f"{word} is not in the help"


def test_some_commands_are_documented() -> None:
    """The documents do show commands: an empty list would prove nothing."""
    assert any("doctor" in line for line in documented())


def test_every_documented_make_target_exists() -> None:
    """A `make` target in a document is one of the Makefile's."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    shown = {name for d in DOCUMENTS for name in MAKE.findall(d.read_text(encoding="utf-8"))}
    assert {"run", "test"} <= shown <= targets


@pytest.mark.parametrize("name", TABLES)
def test_tables_in_the_documents_follow_the_code(name: str) -> None:
    """A generated table is what `python -m tools.docs_tables` would write."""
    _, text, expected = fresh(name)
    assert text == expected


def test_every_requirement_of_a_suite_is_documented() -> None:
    """Each id that a suite names stands in docs/REQUIREMENTS.md."""
    known = (ROOT / "docs" / "REQUIREMENTS.md").read_text(encoding="utf-8")
    named = {
        name
        for path in (ROOT / "suites").rglob("*.py")
        for call in re.findall(r"mark\.requirement\(([^)]*)\)", path.read_text(encoding="utf-8"))
        for name in re.findall(r'"([^"]+)"', call)
    }
    assert named
    assert not {name for name in named if f"| {name} |" not in known}


def test_a_defect_that_no_whole_gauntlet_met_is_named() -> None:
    """The matrix tells what is younger than it is, and nothing where nothing is."""
    known = set(DEFECTS)
    (told, _) = untried(known - {"retry-under-a-new-key"})
    assert "`retry-under-a-new-key`." in told
    assert not list(untried(known))
