from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.stack.processes import STANDIN_PROGRAM, eventually, linux_only, marked

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = linux_only


@contextlib.contextmanager
def leash(
    *command: str, options: tuple[str, ...] = (), pass_fds: tuple[int, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Start a command on a leash, as a module: `-I -S` and a path would hide it from coverage."""
    with subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-m",
            "harness.stack.leash",
            "--grace",
            "0.3",
            *options,
            "--",
            *command,
        ],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        pass_fds=pass_fds,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(*command: str, options: tuple[str, ...] = ()) -> tuple[int, str, str]:
    """Let a command end by itself; return status, standard output and standard error."""
    with leash(*command, options=options) as process:
        process.wait(timeout=30)
        output, error = process.communicate(timeout=30)
        return process.returncode, output, error


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -15 $$", 143)]
)
def test_the_status_of_the_command_is_passed_on(script: str, status: int, marker: str) -> None:
    """A leash ends with the status of its command, and by 128 plus the signal that ended it."""
    assert marker
    assert finish("sh", "-c", script) == (status, "", "")


def test_a_command_that_cannot_be_run_is_named(tmp_path: os.PathLike[str], marker: str) -> None:
    """A missing program gives 127 and one that may not be run 126, each with its name."""
    assert marker
    missing = "cannot run no-such-program-anywhere: No such file or directory\n"
    forbidden = f"cannot run {tmp_path}: Permission denied\n"
    assert finish("no-such-program-anywhere") == (127, "", missing)
    assert finish(str(tmp_path)) == (126, "", forbidden)


def test_an_option_that_it_does_not_know_is_refused() -> None:
    """A misspelt option is an error, never a command that runs without it."""
    status, _, error = finish("true", options=("--no-such",))
    assert (status, error) == (1, "leash: unknown option --no-such\n")


def test_end_of_file_ends_a_command_that_ignores_sigterm(
    marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once its pipe is closed, a command that ignores SIGTERM is killed after the grace."""
    monkeypatch.setenv("STANDIN", "stubborn,daemon")
    with leash(*STANDIN_PROGRAM, "sleep") as process:
        assert eventually(lambda: len(marked(marker)) == 3)
        assert process.stdin
        process.stdin.close()
        assert process.wait(timeout=30) == 137
        assert not marked(marker)


def test_sigterm_to_the_leash_ends_the_command(marker: str) -> None:
    """A leash that is asked to end passes that on; SIGINT and SIGHUP it leaves to its parent."""
    with leash(*STANDIN_PROGRAM, "sleep") as process:
        assert eventually(lambda: len(marked(marker)) == 2)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 143
        assert not marked(marker)


def test_a_daemon_does_not_outlive_the_command_that_left_it(
    marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grandchild in a session of its own is ended when the command ends by itself."""
    monkeypatch.setenv("STANDIN", "daemon")
    with leash(*STANDIN_PROGRAM, "migrate") as process:
        assert process.wait(timeout=30) == 0
        assert not marked(marker)


def test_killing_the_leash_takes_the_command_along(marker: str) -> None:
    """A kill -9 of the leash itself leaves no orphan."""
    with leash(*STANDIN_PROGRAM, "sleep") as process:
        assert eventually(lambda: len(marked(marker)) == 2)
        process.kill()
        assert eventually(lambda: not marked(marker))


def test_signals_that_the_leash_ignores_reach_the_command(marker: str) -> None:
    """The command starts with the default actions, so that Ctrl-C and broken pipes work in it."""
    assert marker
    _, ignored, _ = finish("grep", "SigIgn", "/proc/self/status")
    own = (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM, signal.SIGXFSZ)
    assert not [number for number in own if int(ignored.split()[1], 16) >> (number - 1) & 1]


def test_the_port_dies_with_the_command(marker: str) -> None:
    """The command has the named socket, and nobody else holds it: once it is dead, it refuses."""
    assert marker
    listener = socket.create_server(("127.0.0.1", 0))
    number, address = str(listener.fileno()), listener.getsockname()
    command = (*STANDIN_PROGRAM, "serve", "--fd", number)
    with leash(*command, options=("--fd", number), pass_fds=(listener.fileno(),)) as process:
        listener.close()
        with socket.create_connection(address, timeout=20) as client:
            client.sendall(b"GET /pid HTTP/1.0\r\n\r\n")
            reply = b"".join(iter(lambda: client.recv(1000), b""))
        process.send_signal(signal.SIGSTOP)  # so that it cannot end, and would still hold a socket
        os.kill(int(reply.split()[-1]), signal.SIGKILL)
        assert eventually(lambda: refuses(address))
        process.send_signal(signal.SIGCONT)
        assert process.wait(timeout=30) == 137


def refuses(address: tuple[str, int]) -> bool:
    """Tell whether nobody listens there."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(address) == errno.ECONNREFUSED
