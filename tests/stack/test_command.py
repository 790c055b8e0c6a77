from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import pytest

from harness.errors import StackError
from harness.stack import Child, start_command
from harness.stack.ports import reserve, url_of
from tests.stack.processes import STANDIN_PROGRAM, linux_only

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [linux_only, pytest.mark.usefixtures("marker")]


def free_port() -> int:
    """Return a port that was free a moment ago, as an adopter's profile names one."""
    with reserve(0, "a test") as listener:
        return int(listener.getsockname()[1])


def start(command: str, base_url: str, folder: Path, *, ready: str = "/ready", **env: str) -> Child:
    """Start a command with a short deadline, for those that fail."""
    return start_command(command, ready, base_url, {**os.environ, **env}, folder, 20)


def test_a_command_of_the_adopter_is_started_and_stopped(tmp_path: Path) -> None:
    """The command runs until it is stopped, whether its readiness is a path or an address."""
    for ready in ("/ready", "http://127.0.0.1:{port}/ready"):
        port = free_port()
        child = start(
            shlex.join([*STANDIN_PROGRAM, "listen", str(port)]),
            f"http://127.0.0.1:{port}/",
            tmp_path,
            ready=ready.format(port=port),
        )
        assert child.dead() is None
        child.stop()


def test_a_command_that_fails_is_told_with_its_log(tmp_path: Path) -> None:
    """A target that ends at once is an error with its own last words, and nothing of it is left."""
    command = shlex.join([*STANDIN_PROGRAM, "listen", "0"])
    with pytest.raises(
        StackError, match=r"target ended before it was ready; exit status 1(?s:.*)line 19"
    ):
        start(command, "http://127.0.0.1:1", tmp_path, STANDIN="fail")


def test_a_command_that_never_becomes_ready_is_ended(tmp_path: Path) -> None:
    """A target that is not ready at the deadline is an error, and it and its daemon are ended."""
    port = free_port()
    command = shlex.join([*STANDIN_PROGRAM, "listen", str(port)])
    env = {**os.environ, "STANDIN": "never_ready,daemon"}
    with pytest.raises(StackError, match=r"target was not ready within 0\.5 s"):
        start_command(command, "/ready", f"http://127.0.0.1:{port}", env, tmp_path, 0.5)


def test_a_server_that_runs_already_is_not_taken_for_the_target(tmp_path: Path) -> None:
    """Where something answers before the start, the wrong thing would be tested: refused."""
    port = free_port()
    command = shlex.join([*STANDIN_PROGRAM, "listen", str(port)])
    first = start(command, f"http://127.0.0.1:{port}", tmp_path)
    with pytest.raises(StackError, match=r"answers at .* already"):
        start(command, f"http://127.0.0.1:{port}", tmp_path)
    first.stop()


@pytest.mark.parametrize("command", ["", "cd x && serve", "serve > log", "serve 'unclosed"])
def test_what_only_a_shell_understands_is_refused(command: str, tmp_path: Path) -> None:
    """A command is one program with its arguments; the error says how to get a shell."""
    with pytest.raises(StackError) as caught:
        start(command, "http://127.0.0.1:1", tmp_path)
    assert caught.value.hint


def test_only_http_can_be_waited_for(tmp_path: Path) -> None:
    """A readiness address that is not HTTP is refused: a file is there before any server is."""
    with pytest.raises(StackError, match="no HTTP address"):
        start("true", "http://127.0.0.1:1", tmp_path, ready=f"file://{tmp_path}")


def test_a_listening_socket_knows_its_address() -> None:
    """A reserved socket tells the address at which a child will answer."""
    with reserve(0, "a test") as listener:
        assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
