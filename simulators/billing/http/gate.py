"""The gate: who sends a request under `/api/v1/`, and whether their limit lets it through.

Plain ASGI, before anything is parsed or routed: a refused request costs nothing and changes
nothing, and a malformed one, an odd path or another method counts like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders

from simulators.billing.http.auth import identify
from simulators.billing.http.errors import document

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from simulators.billing.core import Core
    from simulators.billing.limits import Allowance, Limiter

_LIMITED = "/api/v1/"


class Gate:
    """Wraps the application; leaves the caller and the allowance in the request's state."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through with its limit's headers, or answer it with a 429."""
        key = _presented(scope)
        if key is None:
            await self._app(scope, receive, send)
            return
        allowance = await run_in_threadpool(_admit, scope, key)
        if allowance is None:
            await self._app(scope, receive, send)
            return
        if allowance.has_passed:
            await self._app(scope, receive, _with_headers(send, allowance))
            return
        problem = allowance.refusal()
        scope["state"]["code"] = problem.code
        refusal = document(
            problem.status,
            problem.code,
            problem.detail,
            request_id=scope["state"].get("request_id"),
            headers=problem.headers,
        )
        await refusal(scope, receive, send)


def _presented(scope: Scope) -> str | None:
    if scope["type"] != "http" or not scope["path"].lower().startswith(_LIMITED):
        return None
    headers = Headers(scope=scope)
    if key := headers.get("x-api-key"):
        return key
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _admit(scope: Scope, key: str) -> Allowance | None:
    """Find the caller and count the request; a key that opens nothing counts when refused."""
    core: Core = scope["app"].state.core
    limiter: Limiter = scope["app"].state.limiter
    state = scope["state"]
    state["has_presented"] = True
    caller = identify(core, key, scope["method"], scope["path"])
    if caller is None:
        return None
    state["caller"], state["customer_id"] = caller, caller.customer_id
    if caller.customer_id is None:
        state["allowance"] = limiter.operator_request()
    else:
        state["allowance"] = limiter.request(caller.customer_id, caller.slot)
    allowance: Allowance = state["allowance"]
    return allowance


def _with_headers(send: Send, allowance: Allowance) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in allowance.headers().items():
                headers[name] = value
        await send(message)

    return sending
