from __future__ import annotations

import contextlib
import fcntl
import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.command import ACME, CHECKOUT, Command
from tests.stack.processes import eventually, marked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SEED = 4242


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """Give the command line; fail the test if a process of it outlives the test."""
    made = Command(tmp_path, uuid.uuid4().hex)
    yield made
    assert made.nothing_left(), f"left behind: {made.left()}"


@pytest.fixture(scope="session")
def together(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Give a folder that all test processes of this session share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "command-line"
    folder.mkdir(exist_ok=True)
    return folder


def _once(folder: Path, make: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Do something once for all test processes, and give what it found."""
    folder.mkdir(exist_ok=True)
    facts = folder / "facts.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not facts.exists():
            facts.write_text(json.dumps(make(folder)), "utf-8")
    found: dict[str, Any] = json.loads(facts.read_text("utf-8"))
    return found


@pytest.fixture(scope="session")
def reference_run(together: Path) -> dict[str, Any]:
    """Run the reference once; give status, output, the secrets of its stack, and folders."""
    return _once(together / "reference", _run_reference)


def _run_reference(folder: Path) -> dict[str, Any]:
    command = Command(folder, uuid.uuid4().hex)
    arguments = ("--seed", str(SEED), "--report", folder / "report", "--json", folder / "out.json")
    with command.start("run", *arguments) as running:
        running.until("suites: ")
        (service, *_) = marked(command.mark, "simulators.billing", "serve")
        secrets = _secrets_of(service)
        finished = running.finish()
    return {**vars(finished), "secrets": secrets, "folder": str(folder), "left": command.left()}


def _secrets_of(process: int) -> list[str]:
    """Read the secrets that a process was given by its environment."""
    words = ("KEY", "SECRET", "TOKEN")
    entries = Path(f"/proc/{process}/environ").read_text("utf-8").split("\0")
    pairs = (entry.partition("=")[::2] for entry in entries if entry.startswith("BILLING_"))
    return [value for name, value in pairs if any(word in name for word in words)]


@pytest.fixture(scope="session")
def two_runs(together: Path) -> dict[str, Any]:
    """Run the reference in two processes and Acme beside it, at the same time."""
    return _once(together / "two", _run_two)


def _run_two(folder: Path) -> dict[str, Any]:
    command = Command(folder, uuid.uuid4().hex)
    seed = ("--seed", str(SEED))
    with contextlib.ExitStack() as undo:
        both: dict[str, tuple[str | Path, ...]] = {
            "reference": ("run", "-n", "2", *seed, "--report", folder / "reference"),
            "acme": ("run", "--target", ACME, *seed, "--report", folder / "acme"),
        }
        started = {
            name: undo.enter_context(command.start(*arguments, cwd=CHECKOUT))
            for name, arguments in both.items()
        }
        finished = {name: vars(running.finish()) for name, running in started.items()}
    eventually(lambda: not command.left())
    return {**finished, "folder": str(folder), "left": command.left()}
