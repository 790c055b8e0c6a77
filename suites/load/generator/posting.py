"""One HTTP/1.1 connection on a gevent socket: little work a request, every answer read right.

Framing follows RFC 9112, section 6.3. What is not an answer is told as `NoReply`, with whether the
request may have been received: after a connection failed in the middle, it may.
"""

from __future__ import annotations

import functools
import ssl
import time
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlencode, urlsplit

import certifi
from gevent import Timeout, select  # type: ignore[import-untyped]  # it declares no types
from gevent import socket as gsocket
from gevent.ssl import SSLContext  # type: ignore[import-untyped]  # it declares no types

from harness.target.wire import Call, NoReply, NoReplyReason, Reply
from harness.transport import REPLY_BYTES_MAX

if TYPE_CHECKING:
    from gevent.socket import socket  # type: ignore[import-untyped]  # it declares no types

_CHUNK = 65536
_HEAD_BYTES_MAX = 256 * 1024
_HEADS_KEPT = 64
_END = b"\r\n\r\n"
_IDLE_S = 0.2
_NO_BODY = frozenset({204, 304})
_FINAL_FROM = 200
_TLS_DEFAULT, _PLAIN_DEFAULT = 443, 80


class _Cut(Exception):
    """The other side ended the connection before the answer's end."""


class _NotHttp(Exception):
    """What came is no HTTP/1.1."""


class _TooLarge(Exception):
    """The answer is larger than anybody wants."""


class Connection:
    """One connection to one address, opened when it is needed and again after it was closed.

    `timeout_s` bounds a whole exchange, the opening of the connection in it.
    """

    def __init__(self, base_url: str, timeout_s: float) -> None:
        parts = urlsplit(base_url)
        self.prefix = parts.path.rstrip("/")
        self.host_header = _host(parts)
        self._tls = _tls() if parts.scheme == "https" else None
        self._host = parts.hostname or ""
        self._port = parts.port or (_TLS_DEFAULT if self._tls else _PLAIN_DEFAULT)
        self._timer = Timeout(timeout_s)
        self._timeout_s = timeout_s
        self._socket: socket | None = None
        self._used_at = 0.0

    def close(self) -> None:
        """Close it; the next exchange opens it again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def send(self, call: Call) -> Reply | NoReply:
        """Send a call as it is written, and give its reply."""
        return self.exchange(self.write(call), bodiless=call.method == "HEAD")

    def write(self, call: Call) -> bytes:
        """Give a call as it goes out."""
        path = self.prefix + call.path
        target = f"{path}?{urlencode(call.query)}" if call.query else path
        named = {name.lower() for name, _ in call.headers}
        lines = [f"{call.method} {target} HTTP/1.1"]
        if "host" not in named:
            lines.append(f"Host: {self.host_header}")
        lines += [f"{name}: {value}" for name, value in call.headers]
        if "content-length" not in named and (call.body or call.method in {"POST", "PUT", "PATCH"}):
            lines.append(f"Content-Length: {len(call.body)}")
        return "\r\n".join(lines).encode("latin-1") + _END + call.body

    def exchange(self, request: bytes, *, bodiless: bool = False) -> Reply | NoReply:
        """Send a request that is written out already, and give its reply."""
        sent = False
        timer = self._timer
        timer.start()
        try:
            connected = self._connected()
            sent = True
            went = connected.send(request)
            if went < len(request):
                connected.sendall(request[went:])
            reply, keep = _read(connected, bodiless=bodiless)
        except Timeout as fired:
            if fired is not timer:
                raise
            self._timer = Timeout(self._timeout_s)  # one that has fired holds where it did
            return self._failed(
                "timeout" if sent else "unreachable", "no answer in time", sent=sent
            )
        except _NotHttp as error:
            return self._failed("not_http", str(error), sent=True)
        except _TooLarge as error:
            return self._failed("too_large", str(error), sent=True)
        except (OSError, _Cut) as error:
            reason: NoReplyReason = "reset" if sent else "unreachable"
            return self._failed(reason, str(error) or type(error).__name__, sent=sent)
        except BaseException:
            self.close()  # who is stopped in the middle leaves half an answer behind
            raise
        finally:
            timer.cancel()
        if not keep:
            self.close()
        self._used_at = time.monotonic()
        return reply

    def _failed(self, reason: NoReplyReason, detail: str, *, sent: bool) -> NoReply:
        self.close()
        return NoReply(reason, sent=sent, detail=detail)

    def _connected(self) -> socket:
        """Give the open connection; one that the server has closed while idle is opened anew."""
        if self._socket is not None and time.monotonic() - self._used_at > _IDLE_S:
            readable, _, _ = select.select([self._socket], [], [], 0)
            if readable:
                self.close()
        if self._socket is None:
            plain = gsocket.create_connection((self._host, self._port))
            self._socket = plain
            plain.setsockopt(gsocket.IPPROTO_TCP, gsocket.TCP_NODELAY, 1)
            if self._tls is not None:
                self._socket = self._tls.wrap_socket(plain, server_hostname=self._host)
        return self._socket


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _tls() -> SSLContext:
    context = SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certifi.where())
    return context


def _read(source: socket, *, bodiless: bool) -> tuple[Reply, bool]:
    """Read one final answer; give it, and whether the connection can be used again."""
    data = b""
    while True:
        while (end := data.find(_END)) < 0:
            if len(data) > _HEAD_BYTES_MAX:
                raise _TooLarge("its head does not end")
            data += _more(source)
        head, data = data[:end], data[end + 4 :]
        status, headers, keep = _parse(head)
        if status >= _FINAL_FROM:
            break
    if bodiless or status in _NO_BODY:
        return Reply(status, headers), keep and not data
    if _is_chunked(headers):
        body, left = _chunked(source, data)
        return Reply(status, headers, body), keep and not left
    length = _length(headers)
    if length is None:
        return Reply(status, headers, _until_closed(source, data)), False
    while len(data) < length:
        data += _more(source)
    return Reply(status, headers, data[:length]), keep and len(data) == length


@functools.lru_cache(_HEADS_KEPT)  # most answers of a load have the same head, but for its second
def _parse(head: bytes) -> tuple[int, tuple[tuple[str, str], ...], bool]:
    """Parse status line and header fields; tell whether the connection stays."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    code = rest[:3]
    if version not in {"HTTP/1.1", "HTTP/1.0"} or not (code.isascii() and code.isdigit()):
        raise _NotHttp(f"no status line: {first[:80]!r}")
    headers = []
    keep = version == "HTTP/1.1"
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise _NotHttp(f"no header field: {line[:80]!r}")
        value = value.strip(" \t")
        headers.append((name, value))
        if name.lower() == "connection":
            keep = "close" not in value.lower() and (keep or "keep-alive" in value.lower())
    return int(code), tuple(headers), keep


@functools.lru_cache(_HEADS_KEPT)
def _is_chunked(headers: tuple[tuple[str, str], ...]) -> bool:
    named = {name.lower(): value for name, value in headers}
    told = named.get("transfer-encoding", "chunked")
    if told.strip().lower() != "chunked":
        raise _NotHttp(f"transfer encoding {told!r}")
    return "transfer-encoding" in named


@functools.lru_cache(_HEADS_KEPT)
def _length(headers: tuple[tuple[str, str], ...]) -> int | None:
    told = {value for name, value in headers if name.lower() == "content-length"}
    if not told:
        return None
    value = told.pop()
    if told or not (value.isascii() and value.isdigit()):
        raise _NotHttp("it does not say one length")
    if int(value) > REPLY_BYTES_MAX:
        raise _TooLarge(f"more than {REPLY_BYTES_MAX} bytes")
    return int(value)


def _chunked(source: socket, data: bytes) -> tuple[bytes, bytes]:
    """Read a body in chunks (RFC 9112, 7.1); give it, and what came after."""
    body = bytearray()
    while True:
        line, data = _line(source, data)
        told = line.partition(b";")[0].strip()
        if not told or told.translate(None, b"0123456789abcdefABCDEF"):
            raise _NotHttp(f"no chunk size: {told[:20]!r}")
        size = int(told, 16)
        if len(body) + size > REPLY_BYTES_MAX:
            raise _TooLarge(f"more than {REPLY_BYTES_MAX} bytes")
        if size == 0:
            break
        while len(data) < size + 2:
            data += _more(source)
        body += data[:size]
        data = data[size + 2 :]
    while line:  # trailer fields end with an empty line
        line, data = _line(source, data)
    return bytes(body), data


def _line(source: socket, data: bytes) -> tuple[bytes, bytes]:
    while (end := data.find(b"\r\n")) < 0:
        if len(data) > _HEAD_BYTES_MAX:
            raise _TooLarge("a line of it does not end")
        data += _more(source)
    return data[:end], data[end + 2 :]


def _until_closed(source: socket, data: bytes) -> bytes:
    while more := source.recv(_CHUNK):
        data += more
        if len(data) > REPLY_BYTES_MAX:
            raise _TooLarge(f"more than {REPLY_BYTES_MAX} bytes")
    return data


def _more(source: socket) -> bytes:
    more: bytes = source.recv(_CHUNK)
    if not more:
        raise _Cut("the connection was closed before the answer's end")
    return more
