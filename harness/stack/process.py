"""One leashed subprocess: start it, wait until it is ready, tell why it is not, end it.

Linux and macOS; Windows is out of scope. What the leash promises is told in ``leash.py``.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEASH = Path(__file__).with_name("leash.py")
LOG_LINES = 15
POLL_S = 0.02
ANSWER_TIMEOUT_S = 2.0
TIMED_OUT = "timed out"
SECRET_LENGTH_MIN = 8
SECRET_NAMES = ("KEY", "SECRET", "TOKEN", "PASSWORD", "DSN", "CREDENTIAL")

# No proxy from the environment stands between a stack and its loopback addresses.
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class DeadChild(NamedTuple):
    """A process that ended without being asked to."""

    name: str
    status: int
    log_tail: str


class Child:
    """A subprocess on a leash, with a log of its own.

    `argv` is readable to everyone on the machine: secrets go by `env`, which is the whole
    environment of the child. Whatever ends this process ends the child.
    """

    def __init__(  # noqa: PLR0913 - what starts a process is one fact each
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path,
        pass_fds: Sequence[int] = (),
        grace_s: float = 5.0,
    ) -> None:
        self.name = name
        self.log = log
        self._argv = list(argv)
        self._secrets = _secret_values(env)
        self._grace_s = grace_s
        named = [part for fd in pass_fds for part in ("--fd", str(fd))]
        leash = [sys.executable, "-I", "-S", str(LEASH), "--grace", str(grace_s), *named, "--"]
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - starting what it is given is its purpose
                [*leash, *argv],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=dict(env),
                pass_fds=pass_fds,
                start_new_session=True,  # Ctrl-C is for the parent to handle
                bufsize=0,
            )

    @property
    def pid(self) -> int:
        """The leash's process id."""
        return self._process.pid

    def status(self) -> int | None:
        """Return the exit status (128 plus the signal that ended it), or None while it runs."""
        status = self._process.poll()
        return 128 - status if status is not None and status < 0 else status

    def dead(self) -> DeadChild | None:
        """Return how the child ended, or None while it runs."""
        status = self.status()
        return None if status is None else DeadChild(self.name, status, self.log_tail())

    def log_tail(self, lines: int = LOG_LINES) -> str:
        """Return the last lines of its log, the secrets it was given replaced."""
        with self.log.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 64 * 1024))
            text = log.read().decode(errors="replace")
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return "\n".join(text.splitlines()[-lines:])

    def wait_ready(self, url: str, deadline_s: float) -> None:
        """Return once `url` answers with a success; raise StackError when it does not in time.

        An answer counts only while the child lives, so that the server of somebody else on the
        same port is not mistaken for it.
        """
        deadline = time.monotonic() + deadline_s
        answer = "no answer in time"
        while (remaining := deadline - time.monotonic()) > 0:
            told, ready = probe(url, min(remaining, ANSWER_TIMEOUT_S))
            if told != TIMED_OUT:  # as the last probe does that the deadline cuts short
                answer = told
            if self.status() is not None:
                raise self._failure("ended before it was ready")
            if ready:
                return
            self._wait(POLL_S)
        raise self._failure(f"was not ready within {deadline_s:g} s ({url}: {answer})")

    def finish(self, deadline_s: float) -> None:
        """Wait for a child that runs to its end; raise StackError unless it succeeds in time."""
        status = self._wait(deadline_s)
        if status is None:
            raise self._failure(f"did not finish within {deadline_s:g} s")
        if status != 0:
            raise self._failure("failed")

    def let_go(self) -> None:
        """Tell the leash to end the child, and do not wait for it."""
        assert self._process.stdin is not None  # noqa: S101 - Popen was given a pipe
        self._process.stdin.close()

    def kill(self) -> None:
        """Kill the leash, and so the command, at once; what the command started may stay."""
        self._process.kill()
        self._process.wait()
        self.let_go()

    def stop(self) -> None:
        """End the child and all it started, and wait until that is done. Stopping again is fine."""
        self.let_go()
        # The leash itself is bounded: SIGTERM for the command, for the rest, SIGKILL.
        if self._wait(2 * self._grace_s + 10) is None:
            self._process.kill()
            self._process.wait()

    def _wait(self, limit_s: float) -> int | None:
        try:
            self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None
        return self.status()

    def _failure(self, what: str) -> StackError:
        """Describe a child that did not do what it should."""
        status = self.status()
        ended = "still running" if status is None else describe_status(status)
        tail = self.log_tail() or "(it wrote nothing)"
        return StackError(
            f"{self.name} {what}; {ended}. The end of its log:\n{tail}",
            hint=f"read {self.log}, or run it by hand: {' '.join(self._argv)}",
        )


def describe_status(status: int) -> str:
    """Say what an exit status means, signals by name.

    >>> describe_status(137), describe_status(3), describe_status(127)
    ('ended by SIGKILL', 'exit status 3', 'exit status 127 (no such program)')
    """
    if status == 127:  # noqa: PLR2004 - the shell's number, which the leash keeps
        return "exit status 127 (no such program)"
    try:
        return f"ended by {signal.Signals(status - 128).name}"
    except ValueError:
        return f"exit status {status}"


def probe(url: str, timeout_s: float) -> tuple[str, bool]:
    """Ask `url` once; return what came back in words, and whether it was a success."""
    try:
        with direct.open(url, timeout=timeout_s) as reply:
            return f"status {reply.status}", True
    except urllib.error.HTTPError as error:
        with error:
            return f"status {error.code}", False
    except TimeoutError:
        return TIMED_OUT, False
    except (OSError, ValueError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__, False


def _secret_values(env: Mapping[str, str]) -> list[str]:
    """Return the values that a log must not show, longest first.

    A name that sounds like a secret makes each part of its value one (lists hold several), and so
    does a password in an address.
    """
    found: set[str] = set()
    for name, value in env.items():
        if any(word in name.upper() for word in SECRET_NAMES):
            found.update(
                part for part in re.split(r'[\s,"\[\]]+', value) if len(part) >= SECRET_LENGTH_MIN
            )
        found.update(re.findall(r"://[^/\s:@]*:([^/\s@]+)@", value))
    return sorted(found, key=len, reverse=True)
