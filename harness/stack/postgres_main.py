"""Runs one PostgreSQL server in the foreground until it is told to end; see ``postgres.py``.

Run as ``python -I -S postgres_main.py PROGRAMS DATA SOCKETS [NAME=VALUE…]``, under a leash. It
makes the data folder if there is none. SIGTERM ends the server with open connections and all (what
PostgreSQL calls a fast shutdown); should this process be killed, the kernel takes the server along.
PostgreSQL refuses to run as root, so where this is root the server is ``nobody``, who must own both
folders. Standard library only.
"""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from types import FrameType

PR_SET_PDEATHSIG = 1
USER = "billing"
UNPRIVILEGED = "nobody"


def main(programs: str, data: str, sockets: str, *settings: str) -> int:
    """Run the server; return its exit status, 0 where it was told to end."""
    if not os.path.exists(os.path.join(data, "PG_VERSION")):  # noqa: PTH110, PTH118 - see `leash.py`
        trust = ("-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C", "-U", USER)
        subprocess.run(  # noqa: S603 - the programs of the wheel
            [f"{programs}/initdb", *trust, "-D", data],
            check=True,
            stdout=subprocess.DEVNULL,
            preexec_fn=_become_unprivileged,
        )
    options = [part for each in settings for part in ("-c", each)]
    server = subprocess.Popen(  # noqa: S603 - the same
        [f"{programs}/postgres", "-D", data, "-k", sockets, "-c", "listen_addresses=", *options],
        preexec_fn=_become_unprivileged,  # noqa: PLW1509 - the same
    )

    def end(_number: int, _frame: FrameType | None) -> None:
        server.send_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, end)
    return server.wait()


def _become_unprivileged() -> None:
    """Be nobody in place of root, then ask to die with the parent; a new user forgets that."""
    if os.geteuid() == 0:
        nobody = pwd.getpwnam(UNPRIVILEGED)
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.environ["LC_ALL"] = "C"
    os.chdir("/")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
