"""One connection read right, whatever a server sends: a server of raw sockets plays each part."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from harness.target.wire import Call, NoReply, Reply
from suites.load.generator.posting import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Script:
    """Answers the requests of each connection with the next of its answers, then closes it."""

    def __init__(self, *connections: list[list[bytes]]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/base/"
        self.heard: list[bytes] = []
        self._connections = connections
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with self.listener:
            for answers in self._connections:
                accepted, _ = self.listener.accept()
                with accepted:
                    self._talk(accepted, answers)

    def _talk(self, accepted: socket.socket, answers: list[list[bytes]]) -> None:
        for answer in answers:
            if not answer:
                accepted.recv(65536)  # until the other side has had enough
                continue
            self.heard.append(accepted.recv(65536))
            for piece in answer:
                with contextlib.suppress(OSError):
                    accepted.sendall(piece)

    def join(self) -> None:
        self._thread.join(10)


@contextlib.contextmanager
def _talking(
    *connections: list[list[bytes]], timeout_s: float = 10
) -> Iterator[tuple[Script, Connection]]:
    script = Script(*connections)
    connection = Connection(script.url, timeout_s)
    try:
        yield script, connection
    finally:
        connection.close()
        script.join()


def _get(connection: Connection) -> Reply | NoReply:
    return connection.send(Call("GET", "/x", headers=(("X-A", "é"),)))


@pytest.mark.parametrize(
    ("pieces", "status", "body"),
    [
        ([OK], 200, b"ok"),
        ([OK[:9], OK[9:30], OK[30:]], 200, b"ok"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], 204, b""),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" + OK], 200, b"ok"),
        ([b"HTTP/1.1 404 \r\ncontent-length:0\r\n\r\n"], 404, b""),
        (
            [
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r",
                b"\n2\r\nde\r\n0\r\nX: y\r\n\r\n",
            ],
            200,
            b"abcde",
        ),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"], 200, b""),
    ],
)
def test_an_answer_is_read_to_its_end_and_no_further(
    pieces: list[bytes], status: int, body: bytes
) -> None:
    """Lengths, chunks, interim answers and answers without a body; the connection stays in use."""
    with _talking([pieces, [OK]]) as (_, connection):
        reply = _get(connection)
        assert isinstance(reply, Reply)
        assert (reply.status, reply.body) == (status, body)
        assert _get(connection) == Reply(200, (("Content-Length", "2"),), b"ok")


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
)
def test_a_connection_that_ends_is_opened_anew(first: bytes) -> None:
    """Where the server closes, said or not, the next request has a connection of its own."""
    with _talking([[first]], [[OK]]) as (_, connection):
        one, two = _get(connection), _get(connection)
        assert isinstance(one, Reply)
        assert isinstance(two, Reply)
        assert one.body == two.body == b"ok"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "reset"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "reset"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not_http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "not_http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok", "not_http"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "not_http"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "not_http"),
        (b"HTTP/1.1 200 OK\r\nno field\r\n\r\n", "not_http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "too_large"),
    ],
)
def test_what_is_no_answer_may_have_been_received(answer: bytes, reason: str) -> None:
    """A connection cut off or nonsense in it leaves open what the server did: sent, and unknown."""
    with _talking([[answer]]) as (_, connection):
        found = _get(connection)
        assert isinstance(found, NoReply)
        assert (found.reason, found.sent) == (reason, True)


def test_no_answer_in_time_is_unknown() -> None:
    """The timeout bounds the whole exchange; the connection is not used again."""
    with _talking([[b"HTTP/1.1 200 OK\r\n"], []], timeout_s=0.2) as (_, connection):
        found = _get(connection)
    assert isinstance(found, NoReply)
    assert (found.reason, found.sent) == ("timeout", True)


def test_where_nobody_listens_nothing_was_sent() -> None:
    """A refused connection is told as unreachable: the target cannot have received anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    found = _get(Connection(f"http://127.0.0.1:{port}", 5))
    assert isinstance(found, NoReply)
    assert (found.reason, found.sent) == ("unreachable", False)


def test_a_call_goes_out_as_it_is_written() -> None:
    """Path below the address, query, headers in Latin-1, the body's length, the host."""
    with _talking([[OK]]) as (script, connection):
        connection.send(Call("POST", "/a%20b", (("q", "1 2"),), (("X-A", "é"),), b"{}"))
    head, _, body = script.heard[0].partition(b"\r\n\r\n")
    host = script.url.split("/")[2].encode()
    assert head.split(b"\r\n") == [
        b"POST /base/a%20b?q=1+2 HTTP/1.1",
        b"Host: " + host,
        "X-A: é".encode("latin-1"),
        b"Content-Length: 2",
    ]
    assert body == b"{}"
