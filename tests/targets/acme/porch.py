"""What holds for every answer of Acme's, and for every request before anybody reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

from tests.targets.acme.desk import refuse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SAID = {
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_LENGTHS = {b"content-length", b"transfer-encoding"}


class Porch:
    """Wraps the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request that ends in two places; say of each answer what it is not for."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message["headers"]))
                headers.update(_SAID)
                message = {**message, "headers": headers.raw}
            await send(message)

        if {name for name, _ in scope["headers"]} >= _LENGTHS:
            refusal = refuse(400, "two_lengths")
            refusal.headers["Connection"] = "close"
            await refusal(scope, receive, sending)
            return
        await self._app(scope, receive, sending)
