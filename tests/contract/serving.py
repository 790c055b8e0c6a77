"""A small server for documents, good and bad, each at a path of its own."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from harness.target.profile import Catalog, Contract, Mapping, Profile, TargetSection

if TYPE_CHECKING:
    from collections.abc import Iterator


ITEM = {"get": {"responses": {"200": {"description": "ok"}}}}
GOOD: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Standin", "version": "1"},
    "paths": {"/things": ITEM},
}
MANY = {**GOOD, "paths": {f"/things/{number}": ITEM for number in range(1001)}}
BODIES: dict[str, bytes] = {
    "/good": json.dumps(GOOD).encode(),
    "/many": json.dumps(MANY).encode(),
    "/page": b"<!doctype html><html><body>Sign in</body></html>",
    "/swagger": b'{"swagger": "2.0", "paths": {"/things": {}}}',
    "/list": b"[1, 2]",
    "/text": b'"openapi"',
    "/cut-off": b'{"openapi": "3.1.0", "paths": {',
    "/no-paths": b'{"openapi": "3.1.0", "paths": {}}',
    "/no-operations": b'{"openapi": "3.1.0", "paths": {"/things": {"summary": "none"}}}',
    "/deep": b"[" * 100_000,
}
HANGS, ENDLESS = "/hangs", "/endless"
_CHUNK = b" " * 1024 * 1024


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    released = threading.Event()

    def do_GET(self) -> None:  # the standard library's name
        body = BODIES.get(self.path)
        if self.path == HANGS:
            self.released.wait(30)
            return
        self.send_response(404 if body is None and self.path != ENDLESS else 200)
        self.end_headers()
        with contextlib.suppress(OSError):  # whoever has enough hangs up
            for _ in range(64 if self.path == ENDLESS else 0):
                self.wfile.write(_CHUNK)
            self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Serve the documents on a free port; give the address."""
    _Handler.released.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        _Handler.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def profile_of(base_url: str, openapi: str | None, **operations: str) -> Profile:
    """Make a profile that names a document, and maps these operations to these requests."""
    return Profile(
        target=TargetSection(name="standin", base_url=base_url, environment="test", timeout_s=0.5),
        catalog=Catalog(currency="usd"),
        operations={name: Mapping(request=request) for name, request in operations.items()},
        contract=Contract(openapi=openapi, exclude=["* /test/*"]) if openapi else None,
    )
