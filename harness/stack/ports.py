"""Loopback ports, reserved before the process that serves them exists."""

from __future__ import annotations

import contextlib
import socket

from harness.errors import StackError

LOOPBACK = "127.0.0.1"
BACKLOG = 2048


def reserve(port: int, purpose: str) -> socket.socket:
    """Return a listening loopback socket on `port` (0: any free one), to be handed to a child.

    It listens from the start, so nobody else can take the port, and a first request waits for the
    child instead of being refused.
    """
    with contextlib.ExitStack() as undo:
        listener = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        # Without it, a port stays taken for a minute after its last connection.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
            listener.listen(BACKLOG)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else "ports end at 65535"
            raise StackError(
                f"port {port} for {purpose} cannot be had: {reason}",
                hint="Stop what listens there, choose another port, or 0 for any free one.",
            ) from error
        undo.pop_all()
        return listener


def url_of(listener: socket.socket) -> str:
    """Return the address at which a listening socket answers."""
    return f"http://{LOOPBACK}:{listener.getsockname()[1]}"
