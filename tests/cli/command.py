"""Runs the real command, waits for what it says, and finds what it left behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.stack.processes import MARKER, eventually, marked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHECKOUT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("billing-harness")
ACME = CHECKOUT / "tests" / "targets" / "acme.toml"
REFERENCE = CHECKOUT / "fixtures" / "profiles" / "reference.toml"
REPORT_FILES = {"history.jsonl", "junit.xml", "report.html", "report.json"}
DEADLINE_S = 120.0
# Both suites, and no more of them than shows what a run does: `make run` tries them whole.
FEW = "test_trial,test_paid,test_subscription,test_webhook_signatures"
# The keys of a local stack, those that it gives customers, and the endpoint's secret.
SECRET = re.compile(r"(op|tc|sk)_test_[0-9a-f]{48}|whsec_\w{16,}|bk_[\w-]{43}|acme_tok_\w{16,}")


@dataclass(frozen=True)
class Finished:
    """What a command left: its exit status, and what it wrote."""

    status: int
    out: str
    err: str

    def refused(self, *words: str) -> str:
        """Give what was said to whoever asked for what cannot be; fail unless it is all of that."""
        assert self.status == 2, self
        assert "Traceback" not in self.err
        assert "cannot go on: " in self.err
        assert "\n  → " in self.err, f"no next step: {self.err}"
        for word in words:
            assert word in self.err
        return self.err


class Running:
    """A command that runs, in a process group of its own as a shell would start it."""

    def __init__(self, popen: subprocess.Popen[bytes], folder: Path) -> None:
        self.popen = popen
        self._folder = folder

    @property
    def said(self) -> str:
        """What it wrote to standard error until now."""
        return (self._folder / "stderr").read_text("utf-8")

    @property
    def printed(self) -> str:
        """What it wrote to standard output until now."""
        return (self._folder / "stdout").read_text("utf-8")

    def until(self, text: str) -> None:
        """Wait until it has said so on standard error."""
        assert eventually(lambda: text in self.said or self.ended, DEADLINE_S), self.said
        assert text in self.said, self.said

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.popen.poll() is not None

    def interrupt(self) -> None:
        """Press Ctrl-C: the foreground process group is told."""
        os.killpg(self.popen.pid, signal.SIGINT)

    def finish(self) -> Finished:
        """Wait for its end."""
        status = self.popen.wait(DEADLINE_S)
        return Finished(status, self.printed, self.said)


@dataclass(frozen=True)
class Command:
    """The command line in an environment of its own; all that it starts carries the mark."""

    folder: Path
    mark: str

    @contextlib.contextmanager
    def start(
        self,
        *arguments: str | Path,
        program: tuple[str | Path, ...] = (PROGRAM,),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Iterator[Running]:
        """Start it; whatever happens, it is ended when the block ends."""
        place = self.folder / f"command-{len(list(self.folder.glob('command-*')))}"
        place.mkdir()
        own = {k: v for k, v in os.environ.items() if not k.startswith("BILLING_HARNESS_")}
        own |= {
            "BILLING_HARNESS_TESTS": FEW,
            "BILLING_HARNESS_SHRINK": "0",
            MARKER: self.mark,
            "TMPDIR": str(place),
            "COLUMNS": "200",
            "NO_COLOR": "1",
        }
        with (place / "stdout").open("wb") as out, (place / "stderr").open("wb") as err:
            popen = subprocess.Popen(
                [*program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={name: v for name, v in {**own, **(env or {})}.items() if v},
                cwd=cwd or self.folder,
                process_group=0,
            )
        try:
            yield Running(popen, place)
        finally:
            if popen.poll() is None:
                popen.kill()
                popen.wait()

    def run(self, *arguments: str | Path, **how: Any) -> Finished:
        """Run it to its end."""
        with self.start(*arguments, **how) as running:
            return running.finish()

    def left(self) -> dict[int, str]:
        """Give the processes that it started and that live."""
        return marked(self.mark)

    def nothing_left(self) -> bool:
        """Wait for every process that it started to end."""
        return eventually(lambda: not self.left())


def report_of(folder: Path) -> dict[str, Any]:
    """Read a run's facts."""
    facts: dict[str, Any] = json.loads((folder / "report.json").read_text("utf-8"))
    return facts


def history_of(folder: Path) -> list[dict[str, Any]]:
    """Read a run's history, a line each."""
    return [json.loads(line) for line in (folder / "history.jsonl").read_text("utf-8").splitlines()]


def secrets_in(folder: Path, *known: str) -> list[str]:
    """Give what looks like a secret, or is a known one, in any file of a folder."""
    found = []
    for file in folder.rglob("*"):
        if file.is_file():
            text = file.read_text("utf-8", "replace")
            found += [f"{file.name}: {match[0]}" for match in SECRET.finditer(text)]
            found += [f"{file.name}: {secret}" for secret in known if secret in text]
    return found
