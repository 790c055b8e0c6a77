"""Connections on which a whole exchange ends by its deadline, however slowly its bytes come.

httpx bounds each read by itself; a target that sends a byte now and then would hang a run.
"""

from __future__ import annotations

import functools
import math
import threading
import time
from typing import TYPE_CHECKING

import httpcore
import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

_CONNECTIONS_MAX = 100
# Shorter than servers keep a connection (uvicorn: 5 s), so that none closes one just as it is used.
_IDLE_S = 2.0


@functools.cache
def authorities() -> ssl.SSLContext:
    """Give whom connections trust: reading it takes longer than a test's request, so once."""
    return httpx.create_ssl_context(trust_env=False)


class Deadline(threading.local):
    """When the exchange of the current thread must have ended, by the monotonic clock."""

    ends_at = 0.0

    def left_s(self, timeout_s: float | None) -> float:
        """Give how long the next step may take: its own time, or what is left of the exchange's."""
        own_s = math.inf if timeout_s is None else timeout_s
        return min(own_s, self.ends_at - time.monotonic())


class DeadlineTransport(httpx.HTTPTransport):
    """httpx's own transport, over connections that keep to a deadline."""

    def __init__(self, deadline: Deadline, local_address: str | None = None) -> None:
        context = authorities()
        super().__init__(verify=context, trust_env=False)
        # httpx does not hand a network backend on to the pool that takes one.
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=_CONNECTIONS_MAX,
            keepalive_expiry=_IDLE_S,
            local_address=local_address,
            network_backend=_Backend(deadline),
        )


class _Backend(httpcore.NetworkBackend):
    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        left_s = self._deadline.left_s(timeout)
        stream = self._sockets.connect_tcp(host, port, left_s, local_address, socket_options)
        return _Stream(stream, self._deadline)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left_s = self._deadline.left_s(timeout)
        if left_s <= 0:
            raise httpcore.ReadTimeout("the answer took too long to end")
        return self._stream.read(max_bytes, left_s)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        left_s = self._deadline.left_s(timeout)
        if left_s <= 0:
            raise httpcore.WriteTimeout("the request took too long to send")
        self._stream.write(buffer, left_s)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left_s = self._deadline.left_s(timeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left_s), self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)
