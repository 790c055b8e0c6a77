"""Targets that misbehave, served by the test itself: HTML for everything, silence, refusal."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Fault = Literal["html", "hang", "stall", "turn_away"]

PROFILE = """
[target]
name = "odd"
base_url = "{url}"
environment = "test"
refusal_code = "code"
timeout_s = {timeout_s}

[auth.operator]
headers = {{ "X-Key" = "${{ODD_KEY}}" }}

[auth.customer]
headers = {{ "X-Key" = "{{credential}}" }}

[operations.create_customer]
as = "operator"
request = "POST /customers"
body = {{ email = "{{email}}" }}
reply = {{ customer = "id", credential = "key" }}

[operations.record_usage]
request = "POST /customers/{{customer}}/usage"
body = {{ id = "{{usage_id}}" }}

[operations.get_balance]
request = "GET /customers/{{customer}}"
reply = {{ units = "units" }}

[operations.add_payment_method]
request = "POST /customers/{{customer}}/cards"
body = {{ token = "{{token}}" }}
reply = {{ payment_method = "id" }}

[catalog]
currency = "usd"
grants = {{ sign_up = 5 }}
"""


class Odd:
    """A tiny billing API that shows a fault once it has answered `after` requests.

    One that hangs answers nothing any more, one that stalls still answers at its root.
    """

    def __init__(self, fault: Fault, after: int = 0) -> None:
        self.requests: list[str] = []
        self.over = threading.Event()
        self._fault = fault
        self._after = after
        self._ids = itertools.count(1)
        odd = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                odd.answer(self)

            do_GET = do_POST = handle_any  # noqa: N815 - http.server looks for these names

            def log_message(self, *_: object) -> None:
                """Say nothing: a test reads `requests`."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def profile(self, folder: Path, timeout_s: float = 1.0) -> Path:
        """Write the profile that maps it."""
        file = folder / "odd.toml"
        file.write_text(PROFILE.format(url=self.url, timeout_s=timeout_s), "utf-8")
        return file

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request, or fail to."""
        request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.requests.append(f"{request.command} {request.path}")
        alive = self._fault == "stall" and request.path == "/"
        if len(self.requests) <= self._after or alive:
            made = next(self._ids)
            body = {"id": f"c{made}", "key": f"key-of-customer-{made}", "units": 5}
            self._send(request, 200, "application/json", json.dumps(body))
        elif self._fault == "html":
            self._send(request, 200, "text/html", "<html><title>Welcome</title></html>")
        elif self._fault == "turn_away":
            self._send(request, 401, "application/json", '{"code": "invalid_key"}')
        else:
            self.over.wait()

    def _send(self, request: BaseHTTPRequestHandler, status: int, kind: str, body: str) -> None:
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body.encode())


@contextlib.contextmanager
def serving(fault: Fault, after: int = 0) -> Iterator[Odd]:
    """Serve a target that shows this fault once it has answered `after` requests."""
    odd = Odd(fault, after)
    thread = threading.Thread(target=odd.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield odd
    finally:
        odd.over.set()
        odd.server.shutdown()
        odd.server.server_close()
        thread.join()
