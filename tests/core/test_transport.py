from __future__ import annotations

import contextlib
import gzip
import re
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from harness import transport
from harness.target.wire import Call, NoReply, Reply
from harness.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Talk = Callable[[socket.socket, threading.Event], None]

TIMEOUT_S = 0.3
PATIENCE_S = 30.0
DRIPS_MAX = 400
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Server:
    """Answers each connection's first request as it was told to, and keeps what came in."""

    def __init__(self, talk: Talk) -> None:
        self.received: list[bytes] = []
        self.over = threading.Event()
        self._talk = talk
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def stop(self) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while not self.over.is_set():
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._answer, args=[connection], daemon=True)
                thread.start()
                self._threads.append(thread)

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(PATIENCE_S)
            while request := _request(connection):
                self.received.append(request)
                self._talk(connection, self.over)


def _request(connection: socket.socket) -> bytes:
    """Read a request to the end of its body; nothing is there when the client has gone."""
    found = b""
    while not _is_whole(found):
        piece = connection.recv(65536)
        if not piece:
            return b""
        found += piece
    return found


def _is_whole(request: bytes) -> bool:
    head, ended, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return bool(ended) and len(body) >= int(length[1] if length else 0)


@pytest.fixture
def serve() -> Iterator[Callable[[Talk], Server]]:
    """Give what starts servers; all of them stop with the test."""
    servers: list[Server] = []

    def start(talk: Talk) -> Server:
        servers.append(Server(talk))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def _says(*pieces: bytes) -> Talk:
    """Answer with these bytes and close."""

    def talk(connection: socket.socket, _over: threading.Event) -> None:
        for piece in pieces:
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_RDWR)

    return talk


def _drips(start: bytes, drip: bytes) -> Talk:
    """Answer a bit at a time, each within the time that one read may take."""

    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        for _ in range(DRIPS_MAX):
            if over.wait(TIMEOUT_S / 10):
                return
            connection.sendall(drip)
        connection.shutdown(socket.SHUT_RDWR)  # whoever waited until here learns of a reset

    return talk


def _silent(_connection: socket.socket, over: threading.Event) -> None:
    over.wait(PATIENCE_S)


def _reset(connection: socket.socket, _over: threading.Event) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _send(url: str, call: Call | None = None, timeout_s: float = PATIENCE_S) -> Reply | NoReply:
    with Transport(url, timeout_s) as made:
        return made.send(call or Call("GET", "/x"))


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        (_silent, "timeout"),
        (_drips(LONG, b"x"), "timeout"),
        (_drips(CHUNKED, b"0"), "timeout"),
        (_drips(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"), "timeout"),
        (_drips(LONG[:-2], b"X-A: b\r\n"), "timeout"),
        (_reset, "reset"),
        (_says(), "reset"),
        (_says(LONG, b"not all of it"), "reset"),
        (_says(CHUNKED, b"5\r\nab"), "reset"),
        (_says(b"220 mail.test ESMTP\r\n\r\n"), "not_http"),
        (_says(b"\x00\x01\x02" * 99 + b"\r\n\r\n"), "not_http"),
        (_says(b"HTTP/1.1 200 OK\r\nContent-Length: much\r\n\r\n"), "not_http"),
    ],
    ids=[
        "silent",
        "body-dripping",
        "chunk-dripping",
        "header-dripping",
        "headers-dripping",
        "reset",
        "closed",
        "cut-off",
        "chunk-cut-off",
        "another-protocol",
        "binary",
        "bad-length",
    ],
)
def test_an_answer_that_is_none_is_told_by_its_kind(
    talk: Talk, reason: str, serve: Callable[[Talk], Server]
) -> None:
    """However an answer fails to come, there is a reason, and it may have been received."""
    reply = _send(serve(talk).url, timeout_s=TIMEOUT_S)
    assert isinstance(reply, NoReply)
    assert (reply.reason, reply.sent) == (reason, True)
    assert reply.detail


@pytest.fixture
def nobody() -> Iterator[str]:
    """Give an address that nobody listens at, and that nobody else can take."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def test_where_nobody_listens_nothing_was_sent(nobody: str) -> None:
    """A refused connection is told apart: the target cannot have received anything."""
    reply = _send(nobody)
    assert isinstance(reply, NoReply)
    assert (reply.reason, reply.sent) == ("unreachable", False)


@pytest.mark.parametrize(
    "call",
    [
        Call("GET", "/x", headers=(("X-Bad", "a\r\nb"),)),
        Call("GET", "/x y"),
        Call("GET", "/ü"),
        Call("GET", "/x", headers=(("Bad Name", "a"),)),
    ],
    ids=["line-break", "space-in-path", "umlaut-in-path", "space-in-name"],
)
def test_what_http_cannot_carry_was_not_sent(call: Call, serve: Callable[[Talk], Server]) -> None:
    """A call that is no HTTP request does not leave, and is not taken for one that may have."""
    server = serve(_says(OK))
    reply = _send(server.url, call)
    assert isinstance(reply, NoReply)
    assert (reply.sent, server.received) == (False, [])


@pytest.mark.parametrize(
    "body",
    [b"x" * 5000, gzip.compress(b"\0" * 5000)],
    ids=["plain", "packed"],
)
def test_an_answer_too_long_is_not_read_to_its_end(
    body: bytes, serve: Callable[[Talk], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body beyond the bound, as it is once unpacked, is left."""
    monkeypatch.setattr(transport, "REPLY_BYTES_MAX", 1000)
    packed = b"Content-Encoding: gzip\r\n" if body[:2] == b"\x1f\x8b" else b""
    head = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n" % (packed, len(body))
    reply = _send(serve(_says(head, body)).url)
    assert isinstance(reply, NoReply)
    assert reply.reason == "too_large"


def test_a_redirect_is_a_reply_like_any_other(serve: Callable[[Talk], Server]) -> None:
    """A redirect is not followed: what a test sends goes where it was sent."""
    server = serve(_says(b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n"))
    reply = _send(server.url)
    assert isinstance(reply, Reply)
    assert (reply.status, reply.header("location"), len(server.received)) == (302, "/y", 1)


def test_a_request_goes_out_as_it_is_written(serve: Callable[[Talk], Server]) -> None:
    """Dot segments, quoting, odd header bytes and repeated headers reach the target unchanged."""
    server = serve(_says(OK))
    headers = (("X-Odd", "caf\xe9 \xff"), ("X-Two", "1"), ("X-Two", "2"), ("Host", "other.test"))
    call = Call("PURGE", "/a/../b/%2e%2e/%2F//c", (("q", "a b&ü"), ("q", "")), headers, b"\0\xff")
    reply = _send(f"{server.url}/base/", call)
    assert isinstance(reply, Reply)
    head, _, body = server.received[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"PURGE /base/a/../b/%2e%2e/%2F//c?q=a+b%26%C3%BC&q= HTTP/1.1"
    assert lines.count(b"X-Odd: caf\xe9 \xff") == 1
    assert [line for line in lines if line.startswith(b"X-Two")] == [b"X-Two: 1", b"X-Two: 2"]
    assert [line for line in lines if line.lower().startswith(b"host")] == [b"Host: other.test"]
    assert body == b"\0\xff"


def test_a_reply_comes_as_it_was_sent(serve: Callable[[Talk], Server]) -> None:
    """Status, repeated headers with odd bytes, and a body of any bytes are kept."""
    head = b"HTTP/1.1 299 Odd\r\nX-A: \xe9\r\nX-A: 2\r\nContent-Length: 3\r\n\r\n\xff\0\n"
    reply = _send(serve(_says(head)).url)
    assert isinstance(reply, Reply)
    assert reply.headers[:2] == (("X-A", "\xe9"), ("X-A", "2"))
    assert (reply.status, reply.body) == (299, b"\xff\0\n")


def test_the_proxies_of_the_environment_are_ignored(
    serve: Callable[[Talk], Server], nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that the shell names would hide the target, and is not asked."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, nobody)
    assert isinstance(_send(serve(_says(OK)).url), Reply)


def test_no_cookie_is_kept(serve: Callable[[Talk], Server]) -> None:
    """A cookie that a target sets is not sent back: no call changes another."""

    def talk(connection: socket.socket, _over: threading.Event) -> None:
        connection.sendall(OK.replace(b"\r\n", b"\r\nSet-Cookie: a=b; Path=/\r\n", 1))

    server = serve(talk)
    with Transport(server.url, PATIENCE_S) as made:
        replies = [made.send(Call("GET", "/x")) for _ in range(2)]
    assert all(isinstance(reply, Reply) for reply in replies)
    assert not [request for request in server.received if b"cookie" in request.lower()]


def test_each_exchange_has_its_own_time(serve: Callable[[Talk], Server]) -> None:
    """A connection that is used again serves a call after one that timed out, and after many."""
    turns = iter([False, True, False, False])

    def talk(connection: socket.socket, over: threading.Event) -> None:
        if next(turns):
            over.wait(PATIENCE_S)
        else:
            connection.sendall(OK)

    server = serve(talk)
    with Transport(server.url, 3 * TIMEOUT_S) as made:
        replies = [made.send(Call("GET", "/x")) for _ in range(4)]
    assert [isinstance(reply, Reply) for reply in replies] == [True, False, True, True]
