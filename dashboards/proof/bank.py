"""The bank: stands between the service and Stripe, takes its time, and says no for given reasons.

The simulator's cards decline for few reasons once they are attached. Here a refusal of the
simulator's gets the reason that the scenario wants, and every answer is on record with its time.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_TIMEOUT_S = 20.0
_HOP = frozenset({"connection", "transfer-encoding", "content-length", "host", "keep-alive"})
_DECLINED = 402


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer: of which request, when it was given (wall time), how long it took, and a no."""

    method: str
    path: str
    at: float
    took_s: float
    status: int
    reason: str | None = None


class Bank:
    """A context manager: serves on loopback inside. `reason`, `pause_s` and `shut` may be set."""

    def __init__(self) -> None:
        self.answers: list[Answered] = []
        self.reason: str | None = None
        self.pause_s = 0.0
        self.shut: str | None = None
        self._stripe = ""
        self._is_connected = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_TIMEOUT_S)

    def connect(self, stripe_url: str) -> None:
        """Say where the simulator is: its address is only known once the stack runs."""
        self._stripe = urlsplit(stripe_url).netloc
        self._is_connected.set()

    @contextmanager
    def saying(self, reason: str) -> Iterator[None]:
        """Say no for this reason inside, wherever the simulator says no to a card."""
        self.reason = reason
        try:
            yield
        finally:
            self.reason = None

    @contextmanager
    def slow(self, pause_s: float) -> Iterator[None]:
        """Take so long with each answer inside."""
        self.pause_s = pause_s
        try:
            yield
        finally:
            self.pause_s = 0.0

    @contextmanager
    def closed(self, path: str) -> Iterator[None]:
        """Answer requests for paths that begin so with a 500 inside, and do nothing of them."""
        self.shut = path
        try:
            yield
        finally:
            self.shut = None

    def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> _Reply:
        """Ask the simulator, and tamper with the answer as told."""
        started = time.perf_counter()
        if self.pause_s:
            time.sleep(self.pause_s)  # how long a bank takes is what is wanted here
        if self.shut and path.startswith(self.shut):
            reply = _Reply(500, [("Content-Type", "application/json")], b'{"error":{}}')
        else:
            reply = self._forward(method, path, body, headers)
        reason = None
        if reply.status == _DECLINED:
            reply, reason = _refused(reply, self.reason)
        took_s = time.perf_counter() - started
        self.answers.append(Answered(method, path, time.time(), took_s, reply.status, reason))
        return reply

    def _forward(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> _Reply:
        self._is_connected.wait(_TIMEOUT_S)
        connection = http.client.HTTPConnection(self._stripe, timeout=_TIMEOUT_S)
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            kept = [pair for pair in answer.getheaders() if pair[0].lower() not in _HOP]
            return _Reply(answer.status, kept, answer.read())
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


def _refused(reply: _Reply, reason: str | None) -> tuple[_Reply, str]:
    told = json.loads(reply.body)
    error = told["error"]
    if reason is not None:
        error["decline_code"] = reason
    said = error.get("decline_code") or error.get("code")
    return _Reply(reply.status, reply.headers, json.dumps(told).encode()), str(said)


def _handler(bank: Bank) -> type[BaseHTTPRequestHandler]:
    class Counter(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
            reply = bank.ask(self.command, self.path, body, headers)
            self.send_response(reply.status)
            for name, value in reply.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = do_DELETE = handle_one  # noqa: N815 - names that http.server looks for

        def log_message(self, *_: object) -> None:
            return

    return Counter
