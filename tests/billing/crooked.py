"""A Stripe that answers nonsense: the simulator's own answers, bent on their way back."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.billing.running import Simulator

Bent = tuple[int, str, bytes]
_JSON = "application/json"

# What each makes of an answer: status, content type, body. The request itself has been done.
WAYS: dict[str, Callable[[bytes], Bent]] = {
    "a page of HTML": lambda _: (200, "text/html", b"<html><h1>It works!</h1></html>"),
    "half of the JSON": lambda body: (200, _JSON, body[: len(body) // 2]),
    "an error under a 200": lambda _: (200, _JSON, b'{"error": {"type": "api_error"}}'),
    "an empty object": lambda _: (200, _JSON, b"{}"),
    "a list": lambda _: (200, _JSON, b"[]"),
    "nothing": lambda _: (200, _JSON, b""),
    "a gateway's page": lambda _: (502, "text/html", b"<html>Bad Gateway</html>"),
}


@dataclass
class Crooked:
    """Forwards to the simulator; while `way` is set, answers to writes under `path` are bent."""

    url: str
    way: str | None = None
    path: str = "/v1/"
    bent: int = 0


@contextmanager
def crooked_stripe(simulator: Simulator) -> Iterator[Crooked]:
    """Run the forwarder in threads of this process."""
    found = Crooked("")
    with httpx.Client(base_url=simulator.url, timeout=30, trust_env=False) as upstream:
        handler = type("Handler", (_Handler,), {"told": found, "upstream": upstream})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        found.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    told: Crooked
    upstream: httpx.Client

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {k: v for k, v in self.headers.items() if k.lower() not in {"host", "connection"}}
        reply = self.upstream.request(self.command, self.path, content=body, headers=headers)
        status, kind, answer = reply.status_code, reply.headers["Content-Type"], reply.content
        way, told = self.told.way, self.told
        if way and status < 300 and self.command != "GET" and self.path.startswith(told.path):
            status, kind, answer = WAYS[way](answer)
            told.bent += 1
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        for name in ("Idempotent-Replayed", "Request-Id", "Stripe-Should-Retry"):
            if name in reply.headers:
                self.send_header(name, reply.headers[name])
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_DELETE = _forward  # noqa: N815  # the names that the base class calls

    def log_message(self, *_: object) -> None:
        """Say nothing."""
