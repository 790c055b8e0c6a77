"""Plain pytest, for an engineer who works on a suite or uses the plugin."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from harness.session import Customer
from tests.cli.command import ACME, CHECKOUT
from tests.cli.targets import serving
from tests.stack.processes import linux_only

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Command

pytestmark = linux_only
PYTEST = (sys.executable, "-P", "-m", "pytest")
PLUGIN = ("-p", "harness.pytest_plugin", "-p", "no:cacheprovider")


def test_suites_run_under_plain_pytest(command: Command) -> None:
    """`pytest suites/… --target …` starts the target and passes."""
    arguments = ("suites/e2e/test_trial.py", "--target", ACME, "-q", "-p", "no:cacheprovider")
    finished = command.run(*arguments, program=PYTEST, cwd=CHECKOUT)
    assert finished.status == 0, finished
    assert re.search(r"\d+ passed", finished.out)


@pytest.mark.nightly
def test_suites_run_beside_somebody_elses_harness(command: Command) -> None:
    """By import name, from a folder with a package called `harness`, the suites still run."""
    own = command.folder / "project" / "harness"
    own.mkdir(parents=True)
    (own / "__init__.py").write_text('raise RuntimeError("not this one")\n', "utf-8")
    chosen = ("-q", "-k", "forged and stale", "--pyargs", "suites.security")
    arguments = ("--import-mode=importlib", *PLUGIN, *chosen)
    finished = command.run(*arguments, program=PYTEST, cwd=own.parent)
    assert finished.status == 0, finished
    assert "1 passed" in finished.out


@pytest.mark.nightly
def test_a_run_takes_no_options_from_pytests_environment(command: Command) -> None:
    """`PYTEST_ADDOPTS` and a plugin of the caller's cannot change what a run tries."""
    env = {"PYTEST_ADDOPTS": "-k nothing", "PYTEST_PLUGINS": "no_such_plugin", "ODD_KEY": "k" * 9}
    folder = command.folder / "report"
    with serving("hang", after=3) as odd:
        profile = odd.profile(command.folder, timeout_s=0.2)
        arguments = ("--target", profile, "--suite", "e2e", "--report", folder)
        finished = command.run("run", *arguments, env=env)
    assert "UNKNOWN  odd: " in finished.out, finished
    assert re.search(r"\d\d unknown|\d unknown", finished.out)


def test_unknown_is_shown_as_itself(command: Command) -> None:
    """A target that falls silent gives U, not F or E, and what other plugins write has no key."""
    env = {"ODD_KEY": "key-of-the-operator"}
    junit = command.folder / "junit.xml"
    with serving("hang", after=3) as odd:
        profile = odd.profile(command.folder, timeout_s=0.2)
        arguments = ("--target", profile, f"--junitxml={junit}", "-p", "no:cacheprovider")
        where = "suites/e2e/test_trial.py"
        finished = command.run(where, "-v", *arguments, program=PYTEST, cwd=CHECKOUT, env=env)
    assert finished.status == 1
    assert "UNKNOWN" in finished.out
    assert "FAILED" not in finished.out.split("short test summary")[0]
    assert "key-of-customer" not in junit.read_text("utf-8") + finished.out


def test_a_traceback_shows_no_credential() -> None:
    """What pytest prints of a failed test's customer leaves the credential out."""
    assert "key-of-ada" not in repr(Customer("c1", "key-of-ada", None))


def _project(folder: Path) -> Path:
    folder.mkdir()
    text = """
        import pytest
        def test_short(): pass
        @pytest.mark.nightly
        def test_long(): pass
    """
    lines = [line.removeprefix(" " * 8) for line in text.splitlines()]
    (folder / "test_both.py").write_text("\n".join(lines), "utf-8")
    return folder


@pytest.mark.nightly
def test_what_takes_long_waits_for_the_night(command: Command) -> None:
    """Nightly tests are left out and counted as such, unless `-m` speaks of them."""
    project = _project(command.folder / "project")
    plain = command.run("-q", *PLUGIN, program=PYTEST, cwd=project)
    assert "1 passed, 1 deselected" in plain.out
    words = "nightly or not nightly"
    everything = command.run("-q", *PLUGIN, "-m", words, program=PYTEST, cwd=project)
    assert "2 passed" in everything.out
