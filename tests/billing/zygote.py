"""Forks serving processes from one that has imported everything: a restart costs no import.

Run as ``python -m tests.billing.zygote FD FOLDER``. Each line on standard input forks one process
that serves the inherited socket FD and logs to FOLDER; its process id comes back as a line. The
children die with this process, and this process ends with its standard input.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from pathlib import Path

from simulators.billing import logs, serving
from simulators.billing.settings import load_settings
from tests.billing import capturing

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Fork on demand until standard input ends."""
    capturing.install()
    fd, folder = int(sys.argv[1]), Path(sys.argv[2])
    # Nobody waits for the killed: the kernel may forget them at once.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for number, _ in enumerate(sys.stdin):
        pid = os.fork()
        if pid == 0:
            _serve(fd, folder / f"serving-{number}.log")
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _serve(fd: int, log: Path) -> None:
    """Become a serving process; does not return."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (sink, 1), (sink, 2)):
        os.dup2(source, target)
    try:
        settings = load_settings()
        logs.configure(settings.log_level)
        serving.serve(serving.build_core(settings), socket.socket(fileno=fd))
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
