"""Start Sluice: `python -m tests.targets.sluice --port N`, Brook behind a gate for signatures.

Its secret is in the environment as `SLUICE_SECRET`, beside Brook's own.
"""

from __future__ import annotations

import argparse
import hmac
import os
import time
from typing import TYPE_CHECKING

from starlette.requests import Request

from tests.targets.brook.__main__ import assemble
from tests.targets.brook.desk import problem
from tests.targets.plumbing import Porch, Refusal, serve
from tests.targets.sluice import signature

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_OPEN = {"/well", "/webhooks/stripe"}  # Stripe signs by itself
_TOLERANCE_S = 60


class Gate:
    """Lets a request through that was signed within the last minute, as it came."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._secret = secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in _OPEN:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        body = await request.body()
        if not self._opens(request, body):
            refused = problem(Refusal(401, "not-signed", "A signature of the last minute is due."))
            await refused(scope, receive, send)
            return

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)

    def _opens(self, request: Request, body: bytes) -> bool:
        at = request.headers.get("X-Sluice-Time", "")
        fresh = at.isascii() and at.isdigit() and abs(time.time() - int(at[:12])) <= _TOLERANCE_S
        path = request.scope["raw_path"].partition(b"?")[0].decode("latin-1")
        due = signature(self._secret, at, request.method, path, body)
        given = request.headers.get("X-Sluice-Signature", "")
        return fresh and hmac.compare_digest(due.encode(), given.encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="sluice", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    if not os.environ.get("SLUICE_SECRET"):
        parser.error("set SLUICE_SECRET in the environment")
    gate = Gate(assemble(), os.environ["SLUICE_SECRET"])
    two_ends = Refusal(400, "two-lengths", "It ends in two places.")
    serve(Porch(gate, lambda: problem(two_ends)), parser.parse_args().port)
