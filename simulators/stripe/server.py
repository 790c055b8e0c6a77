"""Serves the application on a socket until it is told to stop."""

import asyncio
import json
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

_GRACE_S = 1


class CannotListen(OSError):
    """The address cannot be listened on; the message says which and why."""


def open_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only for sockets that name their protocol; with it on,
    # each answer waits 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2_048)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CannotListen(f"cannot listen on {host}:{port}: {reason}") from None
    return listener


def inherit_socket(fd: int) -> socket.socket:
    """Return the bound and listening socket that the parent process opened as `fd`."""
    try:
        listener = socket.socket(fileno=fd)
        listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except (OSError, ValueError) as error:
        raise CannotListen(f"cannot use file descriptor {fd}: {error}") from None
    if not listens:
        raise CannotListen(f"file descriptor {fd} is a socket that does not listen")
    return listener


def serve(app: Starlette, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT; print one line of JSON when requests are answered."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    asyncio.run(_Server(configure(app)).serve(sockets=[listener]))


def configure(app: Starlette) -> uvicorn.Config:
    """Return how the application is served: quietly, and with connections that can be broken."""
    return uvicorn.Config(
        app,
        http=_Protocol,
        access_log=False,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=_GRACE_S,
        lifespan="on",
    )


class _Protocol(H11Protocol):
    """HTTP that lets the application get at its connection, to break it (see ``faults.wire``)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        """Keep the transport where every request's scope has it."""
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


class _Server(uvicorn.Server):
    """A server that says when it is ready, and that ends with status 0 when told to stop."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the ready line."""
        await super().startup(sockets)
        host, port = (sockets or [])[0].getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        ready = {"ready": True, "url": f"http://{shown}:{port}"}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on a signal, and unlike uvicorn do not raise it again afterwards."""
        previous = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
