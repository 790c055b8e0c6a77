"""Answers that never arrive whole: the connection itself is broken.

The server puts each connection's transport into the scope's state (see `server`). Without a
server, where the application is called in this process, a broken connection is a
`ConnectionResetError`.
"""

import socket
import struct
from asyncio import Transport
from typing import cast

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_LINGER_NOT = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time: what is closed then is reset."""


class Reset(Response):
    """The connection is reset instead of an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - nothing is sent
        """Reset the connection."""
        transport = _transport(scope)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        transport.abort()
        await _gone(receive)


class Truncated(Response):
    """The answer's headers, the first bytes of its body, and then nothing more."""

    def __init__(self, whole: Response, size: int) -> None:
        super().__init__(status_code=whole.status_code, headers=dict(whole.headers))
        self._part = bytes(whole.body)[:size]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a part, and close."""
        transport = _transport(scope)
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self._part, "more_body": True})
        transport.close()
        await _gone(receive)


def _transport(scope: Scope) -> Transport:
    """Return the transport of the request's connection."""
    transport = scope.get("state", {}).get("transport")
    if transport is None:
        raise ConnectionResetError("a fault broke the connection")
    return cast("Transport", transport)


async def _gone(receive: Receive) -> None:
    """Return once the server has noticed that the connection is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass
