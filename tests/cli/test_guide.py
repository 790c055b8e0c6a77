"""docs/FIFTEEN_MINUTES.md is true: what it types is typed, what it edits is edited."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from harness.stack.ports import reserve
from harness.target.draft import Document, draft_profile
from harness.target.reader import read_profile
from tests.cli.command import CHECKOUT, PROGRAM
from tests.stack.processes import linux_only

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = linux_only

GUIDE = (CHECKOUT / "docs" / "FIFTEEN_MINUTES.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(console|diff)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
PORT = "4300"
DEADLINE_S = 120.0
# What differs from run to run, or grows with the suites; an amount of money is neither.
VOLATILE = re.compile(r"\bws_[0-9a-f]+|call main-\d+|(?<![\d.])\d+(?![\d.]*\d* GBP|[\d.])")


@dataclass(frozen=True)
class Step:
    """A command with the output that the guide shows, or an edit: lines out, lines in."""

    command: str = ""
    shown: list[str] = field(default_factory=list)
    out: list[str] = field(default_factory=list)
    into: list[str] = field(default_factory=list)


def steps() -> Iterator[Step]:
    """Give what the guide says to do, in its order."""
    for kind, text in BLOCKS:
        lines = text.splitlines()
        if kind == "diff":
            yield Step(
                out=[line[1:] for line in lines if line[0] in "- "],
                into=[line[1:] for line in lines if line[0] in "+ "],
            )
            continue
        step: Step | None = None
        for line in lines:
            if line.startswith("$ "):
                if step:
                    yield step
                step = Step(line[2:])
            elif step:
                step.shown.append(line)
        if step:
            yield step


def edit(profile: Path, step: Step, port: str = PORT) -> None:
    """Put lines in the place of others, which must stand there just once."""
    text = profile.read_text("utf-8")
    old, new = ("\n".join(part).replace(PORT, port) + "\n" for part in (step.out, step.into))
    assert text.count(old) == 1, f"not once in the draft:\n{old}"
    profile.write_text(text.replace(old, new), "utf-8")


def plain(line: str) -> str:
    """Give a line without what differs from run to run."""
    return " ".join(VOLATILE.sub("#", line).split())


def hold(shown: list[str], said: str) -> None:
    """Hold that the lines shown came, in that order; others may stand between them."""
    lines = iter([plain(line) for line in said.splitlines()])
    for line in shown:
        assert any(plain(line) == each for each in lines), f"{line}\nis not (any more) in\n{said}"


class Reader:
    """Somebody who follows the guide in a folder of his own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = str(port)
        path = os.pathsep.join([str(PROGRAM.parent), os.environ.get("PATH", os.defpath)])
        kept = {k: v for k, v in os.environ.items() if not k.startswith("BILLING_HARNESS_")}
        self.env = {**kept, "PATH": path, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "200"}
        self.behind: subprocess.Popen[bytes] | None = None

    def do(self, step: Step) -> None:
        """Type a command, or edit the profile."""
        if not step.command:
            edit(self.folder / "loom.toml", step, self.port)
        elif step.command.startswith("export "):
            self.env |= dict(pair.split("=", 1) for pair in shlex.split(step.command)[1:])
        elif step.command.endswith(" &"):
            self._start(step.command.removesuffix(" &"))
        elif step.command == "kill %1":
            self.leave()
        else:
            hold(step.shown, self._run(step.command).replace(self.port, PORT))

    def _start(self, command: str) -> None:
        words = shlex.split(command.replace(PORT, self.port))
        program = sys.executable if words[0] == "python" else words[0]
        self.behind = subprocess.Popen([program, *words[1:]], env=self.env, cwd=self.folder)
        ends_at = time.monotonic() + DEADLINE_S
        while time.monotonic() < ends_at and self.behind.poll() is None:
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/", trust_env=False)
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"{command} never answered")

    def _run(self, command: str) -> str:
        ended = subprocess.run(
            ["bash", "-c", command.replace(PORT, self.port)],
            env=self.env,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        return ended.stdout

    def leave(self) -> None:
        """End what was started in the background."""
        if self.behind:
            self.behind.terminate()
            self.behind.wait(DEADLINE_S)


@pytest.mark.nightly
def test_the_guide_is_followed_word_by_word(tmp_path: Path) -> None:
    """Each command does what is shown, each edit fits, and it ends with a verdict and a finding."""
    with reserve(0, "Loom") as held:
        port = held.getsockname()[1]
    reader = Reader(tmp_path, port)
    try:
        for step in steps():
            reader.do(step)
    finally:
        reader.leave()


def test_the_edits_of_the_guide_fit_the_draft(tmp_path: Path) -> None:
    """What the guide edits stands in today's draft, and what comes of it is a whole profile."""
    from tests.targets.loom.api import Loom, build

    nothing: Any = None
    app = build(Loom(nothing, nothing, nothing, nothing, operator_key="k", webhook_secret="s"))
    found = Document(json.loads(json.dumps(app.openapi())), f"http://127.0.0.1:{PORT}")
    profile = tmp_path / "loom.toml"
    profile.write_text(draft_profile(found, "openapi.json").text, "utf-8")
    for step in steps():
        if step.command.startswith("sed -i"):
            subprocess.run(["bash", "-c", step.command], cwd=tmp_path, check=True, timeout=60)
        elif not step.command:
            edit(profile, step)
    read = read_profile(profile).profile
    written = read_profile(CHECKOUT / "tests/targets/loom.toml").profile
    assert read.catalog == written.catalog
    assert read.payment_provider == written.payment_provider
    assert read.webhooks
    assert set(written.operations) <= set(read.operations)
    assert not [line for line in GUIDE.splitlines() if len(line) > 100 and line.startswith("#")]


def test_the_guide_types_drafts_asks_and_runs() -> None:
    """The guide has commands and edits at all: an empty list would prove nothing."""
    typed = [step.command for step in steps()]
    for begin in ("profile --from-openapi http", "doctor --target", "run --target"):
        assert any(command.startswith(f"billing-harness {begin}") for command in typed)
    assert sum(not command for command in typed) > 5
