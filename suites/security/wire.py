"""Bytes on a connection of one's own: what no HTTP library would send."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types import TracebackType

DEADLINE_S = 5.0
_ENDS = b"\r\n\r\n"
_LENGTH = re.compile(rb"(?im)^content-length:\s*(\d+)\s*$")
_REPLY_BYTES_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, head and body of an answer; a status of 0 where none came."""

    status: int
    head: str = ""
    body: bytes = b""


class Wire:
    """One connection to a target, from an address of one's own where that is given."""

    def __init__(self, base_url: str, address: str | None = None) -> None:
        parts = urlsplit(base_url)
        self.host = parts.hostname or ""
        source = (address, 0) if address else None
        port = parts.port or (443 if parts.scheme == "https" else 80)
        self._socket = socket.create_connection((self.host, port), DEADLINE_S, source)
        if parts.scheme == "https":
            context = ssl.create_default_context()
            self._socket = context.wrap_socket(self._socket, server_hostname=self.host)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._left = b""

    def __enter__(self) -> Self:
        """Give the connection itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def begin(self, some: bytes) -> None:
        """Send bytes and read nothing."""
        self._socket.sendall(some)

    def ask(self, request: bytes) -> Answer:
        """Send bytes as they are and read one answer."""
        with contextlib.suppress(OSError):  # whoever refuses early may close before all is sent
            self._socket.sendall(request)
        return self.answer()

    def answer(self) -> Answer:
        """Read one answer; of none, or of what is no HTTP, the status is 0."""
        head = self._until(_ENDS)
        found = re.match(rb"HTTP/1\.[01] (\d{3})", head)
        if not found:
            return Answer(0, head.decode("latin-1"))
        told = _LENGTH.search(head)
        body = self._exactly(min(int(told[1]), _REPLY_BYTES_MAX) if told else 0)
        return Answer(int(found[1]), head.decode("latin-1"), body)

    def _until(self, end: bytes) -> bytes:
        while end not in self._left and len(self._left) < _REPLY_BYTES_MAX:
            if not (more := self._more()):
                found, self._left = self._left, b""
                return found
            self._left += more
        head, _, self._left = self._left.partition(end)
        return head

    def _exactly(self, count: int) -> bytes:
        while len(self._left) < count and (more := self._more()):
            self._left += more
        body, self._left = self._left[:count], self._left[count:]
        return body

    def _more(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except OSError:
            return b""


def request_bytes(
    method: str, path: str, host: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> bytes:
    """Write a request as HTTP/1.1 does, its length included unless a header says otherwise."""
    told = {"Host": host, **(headers or {})}
    if not {"content-length", "transfer-encoding"} & {name.lower() for name in told}:
        told["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
