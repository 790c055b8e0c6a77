"""Keeps one command on a leash: when whoever started it dies, however, the command ends too.

Run as ``python -I -S leash.py [--grace SECONDS] [--fd N]... -- COMMAND [ARGUMENT...]``, in a
session of its own and with the read end of a pipe as standard input. The starter keeps the write
end and nobody else has it, so the kernel closes it when the starter dies, by kill -9 too. At end of
file, at SIGTERM, and when COMMAND ends by itself, COMMAND and everything it left behind are ended:
SIGTERM, a bounded grace, SIGKILL. COMMAND has a session of its own, nothing on standard input, and
of the inherited file descriptors those that ``--fd`` names; the leash lets go of its own copies, so
that a port dies with the command that serves it.

On Linux the leash is a child subreaper (prctl(2)): a grandchild that daemonised itself, as
PostgreSQL does under pg_ctl, is handed to the leash and is found. COMMAND carries
PR_SET_PDEATHSIG, so that a kill -9 of the leash takes COMMAND along. macOS has neither: there,
COMMAND's process group is ended, and a daemon that left that group is not found. Windows is out of
scope.

Exit status: that of COMMAND, 128 plus the signal where one ended it, 126 or 127 where it could not
be started. Standard library only, and little of it, because every start of a stack waits for it.
"""

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LINUX = sys.platform == "linux"
KILL_DEADLINE_S = 5.0
POLL_S = 0.02  # a grandchild's end raises no SIGCHLD here, so waits also look this often
IGNORED_HERE = (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)


class Leash:
    """The command, what it started, and the two things that can happen: it ends, or must end."""

    def __init__(self, command: list[str], kept_fds: list[int], grace_s: float) -> None:
        self.grace_s = grace_s
        self.status: int | None = None
        self._terminated = False
        self._wakeup = self._watch_signals()
        if LINUX:
            _prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.pid = _spawn(command, kept_fds)

    def hold(self) -> int:
        """Return the command's exit status once the command and all it left behind have ended."""
        while self.status is None and not self._terminated:
            readable, _, _ = select.select([0, self._wakeup], [], [])
            self._reap()
            if 0 in readable and not os.read(0, 4096):
                break
        self._end()
        return 1 if self.status is None else self.status

    def _watch_signals(self) -> int:
        """Return a descriptor that becomes readable at SIGCHLD and SIGTERM."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        for number in IGNORED_HERE:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGTERM, lambda _number, _frame: self._terminate())
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        # Until the command has its own way with it: between fork and exec it would be lost.
        signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGTERM])
        return reading

    def _terminate(self) -> None:
        self._terminated = True

    def _reap(self) -> None:
        """Collect every child that has ended; remember the command's status."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup, 4096)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self.pid:
                    code = os.waitstatus_to_exitcode(ended[1])
                    self.status = code if code >= 0 else 128 - code

    def _end(self) -> None:
        """End the command first, so that it can put its own children to rest, then the rest."""
        if self.status is None:
            _signal_group(self.pid, signal.SIGTERM)
            self._wait(lambda: self.status is not None, self.grace_s)
        if self._signal_all(signal.SIGTERM):
            self._wait(lambda: not self._left(), self.grace_s)
        deadline = time.monotonic() + KILL_DEADLINE_S
        while self._signal_all(signal.SIGKILL) and time.monotonic() < deadline:
            self._wait(lambda: not self._left(), POLL_S)
        self._reap()

    def _wait(self, over: Callable[[], bool], limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while not over() and (remaining := deadline - time.monotonic()) > 0:
            select.select([self._wakeup], [], [], min(POLL_S, remaining))
            self._reap()

    def _left(self) -> list[int]:
        """Return what still lives: descendants on Linux, elsewhere the command's process group."""
        if LINUX:
            return _descendants(os.getpid())
        return [-self.pid] if _signal_group(self.pid, 0) else []

    def _signal_all(self, number: int) -> list[int]:
        left = self._left()
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        return left


def _spawn(command: list[str], kept_fds: list[int]) -> int:
    """Fork and execute the command; return its process id."""
    leash = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            _become(command, kept_fds, leash)
        except OSError as error:
            sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
            sys.stderr.flush()
            os._exit(127 if isinstance(error, FileNotFoundError) else 126)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for fd in kept_fds:
        os.close(fd)
    return pid


def _become(command: list[str], kept_fds: list[int], leash: int) -> None:
    """Turn the forked child into the command; does not return."""
    os.setsid()
    if LINUX:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != leash:  # it died before the line above took hold
            os._exit(1)
    signal.set_wakeup_fd(-1)
    for number in (*IGNORED_HERE, signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for fd in kept_fds:
        os.set_inheritable(fd, True)  # noqa: FBT003 - it has no name
    os.execvp(command[0], command)  # noqa: S606 - this is what a leash is for


def _prctl(option: int, value: int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _signal_group(group: int, number: int) -> bool:
    """Signal a process group (0 only asks) and return whether it is there."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group of zombies
        return False
    return True


def _descendants(root: int) -> list[int]:
    """Return the processes below `root`, as /proc/PID/stat tells (proc(5))."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib would double the start-up time
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123 - the same
                parent = stat.read().rpartition(b")")[2].split()[1]
                children.setdefault(int(parent), []).append(int(name))
    found, unvisited = [], [root]
    while unvisited:
        below = children.get(unvisited.pop(), [])
        found += below
        unvisited += below
    return found


def main(arguments: list[str]) -> int:
    """Read the command line (shown at the top) and hold the command to its end."""
    grace_s, kept_fds = 5.0, []
    options = iter(arguments)
    for option in options:
        if option == "--":
            break
        if option == "--grace":
            grace_s = float(next(options))
        elif option == "--fd":
            kept_fds.append(int(next(options)))
        else:
            raise SystemExit(f"leash: unknown option {option}")
    return Leash(list(options), kept_fds, grace_s).hold()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
