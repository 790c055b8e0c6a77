"""A listener on loopback that nothing has any reason to call, and that remembers who does."""

from __future__ import annotations

import contextlib
import socket
import threading
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOPBACK = str(IPv4Address(socket.INADDR_LOOPBACK))
_READ_S = 0.5
_BYTES_MAX = 4096
_END_S = 5.0


class Listener:
    """Takes whatever connects, answers nothing, and keeps the first bytes of each caller."""

    def __init__(self) -> None:
        self._socket = socket.create_server((_LOOPBACK, 0))
        self.address = f"{_LOOPBACK}:{self._socket.getsockname()[1]}"
        self.calls: list[str] = []
        self._called = threading.Condition()
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def called_within(self, seconds: float) -> bool:
        """Whether anybody has called, or does within so many seconds."""
        with self._called:
            return self._called.wait_for(lambda: bool(self.calls), seconds)

    def close(self) -> None:
        """Take no more."""
        # Closing a socket does not wake whoever waits on it; shutting it down does.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(_END_S)

    def _take(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            with caller:
                caller.settimeout(_READ_S)
                try:
                    said = caller.recv(_BYTES_MAX)
                except OSError:
                    said = b""
            with self._called:
                self.calls.append(said.decode("latin-1").split("\r\n")[0])
                self._called.notify_all()


@contextlib.contextmanager
def listening() -> Iterator[Listener]:
    """Listen inside, and no more afterwards."""
    listener = Listener()
    try:
        yield listener
    finally:
        listener.close()
