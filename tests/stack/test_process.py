from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from harness.errors import StackError
from harness.stack.ports import reserve, url_of
from harness.stack.process import Child, describe_status
from tests.stack.processes import STANDIN_PROGRAM, linux_only

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = linux_only
NOBODY = "http://127.0.0.1:1/ready"


@pytest.fixture
def start(tmp_path: Path, marker: str) -> Iterator[Callable[..., Child]]:
    """Start stand-ins by their command line; stop them at the end."""
    assert marker
    children: list[Child] = []

    def start_one(*arguments: str, **env: str) -> Child:
        log = tmp_path / "child.log"
        argv = [*STANDIN_PROGRAM, *arguments]
        children.append(Child("child", argv, env={**os.environ, **env}, log=log, grace_s=0.3))
        return children[-1]

    yield start_one
    for child in children:
        child.stop()


def test_an_early_end_is_told_with_status_and_log(start: Callable[..., Child]) -> None:
    """A child that ends before it is ready is reported at once: its status, its last 15 lines."""
    child = start("listen", "0", STANDIN="fail", STANDIN_SECRET="whsec_do_not_print")
    with pytest.raises(StackError) as caught:
        child.wait_ready(NOBODY, 30)
    text = str(caught.value)
    assert "child ended before it was ready; exit status 1. The end of its log:" in text
    assert text.count("\nline ") == 14
    assert text.endswith("line 19\ncannot: [secret]")
    assert "child.log" in str(caught.value.hint)


def test_a_start_that_never_becomes_ready_ends_at_its_deadline(start: Callable[..., Child]) -> None:
    """A child that lives but never answers a success is reported with what it last answered."""
    child = start("sleep")
    with pytest.raises(
        StackError, match=r"not ready within 0\.1 s .*refused.*still running"
    ) as caught:
        child.wait_ready(NOBODY, 0.1)
    assert "(it wrote nothing)" in str(caught.value)


def test_what_a_child_answered_last_is_told(start: Callable[..., Child]) -> None:
    """A child that answers, but never a success, is reported with the status that it gave."""
    with reserve(0, "a test") as listener:
        url = url_of(listener)
    child = start("listen", url.rpartition(":")[2], STANDIN="never_ready")
    child.wait_ready(f"{url}/pid", 30)
    with pytest.raises(StackError, match=r"not ready within 1 s \(.*/ready: status 503\)"):
        child.wait_ready(f"{url}/ready", 1)


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """A command that cannot be run is reported by its name."""
    child = Child("ghost", ["no-such-program"], env=os.environ, log=tmp_path / "ghost.log")
    with pytest.raises(StackError, match=r"no such program\).*\n.*cannot run no-such-program"):
        child.finish(30)
    child.stop()


def test_a_child_that_should_end_and_does_not_is_an_error(start: Callable[..., Child]) -> None:
    """A step that hangs is reported at its deadline, and one that works is not."""
    start("migrate").finish(30)
    with pytest.raises(StackError, match=r"child did not finish within 0\.1 s"):
        start("sleep").finish(0.1)


def test_stopping_twice_is_harmless(start: Callable[..., Child]) -> None:
    """A child is stopped for good, may be stopped again, and then is dead with a status."""
    child = start("sleep", STANDIN="stubborn")
    assert child.dead() is None
    child.stop()
    child.stop()
    dead = child.dead()
    assert dead
    assert (dead.name, dead.status) == ("child", child.status())
    assert describe_status(dead.status) in {"ended by SIGKILL", "ended by SIGTERM"}


def test_a_killed_leash_is_told_like_any_other_end(start: Callable[..., Child]) -> None:
    """A leash that was killed counts as a dead child, by the signal's number."""
    child = start("sleep")
    os.kill(child.pid, 9)
    with pytest.raises(StackError, match="ended by SIGKILL"):
        child.finish(30)


def test_passwords_and_lists_of_secrets_stay_out_of_what_is_shown(
    start: Callable[..., Child],
) -> None:
    """Each secret of a list and the password of an address are replaced where the log is shown."""
    env = {
        "A_SECRETS": '["whsec_first","whsec_second"]',
        "DATABASE_URL": "postgresql://me:pw@host/db",
    }
    child = start("migrate", **env)
    child.finish(30)
    child.log.write_text(f"{env['A_SECRETS']} {env['DATABASE_URL']}")
    assert child.log_tail() == '["[secret]","[secret]"] postgresql://me:[secret]@host/db'
