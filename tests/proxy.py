"""A proxy on loopback that misbehaves between the harness and a target, as networks and guards do.

Every choice is drawn from a seed, so that a run that found something can be repeated.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}
_WRITTEN_ANEW = _HOP_BY_HOP | {"content-length"}
_TIMEOUT_S = 30.0
_REFUSED_FROM = 400


@dataclass(frozen=True)
class Manners:
    """How it misbehaves; shares are of requests, from 0 to 1.

    It resets a connection `reset_before` or `reset_after` the target did what was asked, answers
    429 with `Retry-After` to `limited`, waits `delay_s` before a `slow_share` of the answers, goes
    away after `lasts` requests (and comes back after `away` more), and shuts out an address whose
    requests the target refused `bans_after` times.
    """

    reset_before: float = 0.0
    reset_after: float = 0.0
    limited: float = 0.0
    delay_s: float = 0.0
    slow_share: float = 1.0
    lasts: int | None = None
    away: int | None = None
    bans_after: int | None = None

    def is_away(self, request: int) -> bool:
        """Whether nothing answers the request of this number."""
        if self.lasts is None or request <= self.lasts:
            return False
        return self.away is None or request <= self.lasts + self.away


class Proxy:
    """Stands before one target; `told` counts what was done to requests."""

    def __init__(self, target: str, manners: Manners, seed: int) -> None:
        self.told: dict[str, int] = {}
        self._target = target.removeprefix("http://")
        self._manners = manners
        self._random = random.Random(seed)  # noqa: S311 - repeatable, no secret
        self._lock = threading.Lock()
        self._requests = 0
        self._refused: dict[str, int] = {}
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                proxy.handle(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - http.server looks for these names

            def log_message(self, *_: object) -> None:
                """Say nothing: a test reads `told`."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request, or do to it what is drawn."""
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        fate = self._fate(request.client_address[0])
        if fate == "reset_before":
            _reset(request)
        elif fate == "limited":
            _answer(request, 429, [("Retry-After", "1")], b"{}")
        elif fate == "banned":
            _answer(request, 403, [], b"<html>Access denied</html>")
        else:
            self._pass_on(request, body, fate)

    def _pass_on(self, request: BaseHTTPRequestHandler, body: bytes, fate: str) -> None:
        connection = http.client.HTTPConnection(self._target, timeout=_TIMEOUT_S)
        with contextlib.closing(connection):
            connection.putrequest(
                request.command, request.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in request.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            reply = connection.getresponse()
            content = reply.read()
        if reply.status >= _REFUSED_FROM:
            with self._lock:
                address = request.client_address[0]
                self._refused[address] = self._refused.get(address, 0) + 1
        if fate == "reset_after":
            _reset(request)
            return
        if fate == "slow":
            time.sleep(self._manners.delay_s)
        kept = [pair for pair in reply.getheaders() if pair[0].lower() not in _WRITTEN_ANEW]
        _answer(request, reply.status, kept, content)

    def _fate(self, address: str) -> str:
        manners = self._manners
        with self._lock:
            self._requests += 1
            drawn, fate = self._random.random(), "passed"
            if manners.is_away(self._requests):
                fate = "reset_before"
            elif manners.bans_after is not None and (
                self._refused.get(address, 0) >= manners.bans_after
            ):
                fate = "banned"
            else:
                for name in ("reset_before", "reset_after", "limited"):
                    share: float = getattr(manners, name)
                    if drawn < share:
                        fate = name
                        break
                    drawn -= share
                else:
                    if manners.delay_s and drawn < manners.slow_share:
                        fate = "slow"
            self.told[fate] = self.told.get(fate, 0) + 1
            return fate


def _answer(
    request: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], body: bytes
) -> None:
    request.send_response_only(status)
    for name, value in headers:
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def _reset(request: BaseHTTPRequestHandler) -> None:
    """End the connection by RST, as what loses its state does."""
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.shutdown(socket.SHUT_RDWR)
    request.close_connection = True


@contextlib.contextmanager
def misbehaving(target: str, manners: Manners, seed: int = 0) -> Iterator[Proxy]:
    """Run a proxy before a target."""
    proxy = Proxy(target, manners, seed)
    thread = threading.Thread(target=proxy.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.server.shutdown()
        proxy.server.server_close()
        thread.join()
