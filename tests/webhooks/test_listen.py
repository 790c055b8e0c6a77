"""`webhooks listen`: verifies, tells, and answers as it was told to."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from harness import signing
from simulators.webhooks.commands.listen import Answering, Inbox, Received, make_server
from tests.webhooks.conftest import SECRET
from tests.webhooks.processes import command, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.webhooks.conftest import Ran

    Run = Callable[..., Ran]

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used, and loads no roots
EVENT = json.dumps(
    {"id": "evt_1", "type": "invoice.paid", "data": {"object": {"id": "in_1"}}}
).encode()


class Listener:
    """A listener in this process, and a client of it."""

    def __init__(self, answering: Answering) -> None:
        self.told: list[Received] = []
        self.inbox = Inbox(SECRET, answering, self.told.append)
        self.server = make_server(self.inbox, 0)
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.server.server_port}",
            trust_env=False,
            timeout=10,
            verify=TLS,
        )

    def deliver(self, body: bytes = EVENT, secret: str = SECRET) -> int:
        header = signing.header(body, secret, int(time.time()))
        return self.http.post(
            "/hook", content=body, headers={"Stripe-Signature": header}
        ).status_code


@pytest.fixture
def listening() -> Iterator[Callable[..., Listener]]:
    """Start listeners that answer as told."""
    open_ones: list[Listener] = []

    def start(**answering: Any) -> Listener:
        listener = Listener(Answering(**answering))
        open_ones.append(listener)
        serve = {"poll_interval": 0.01}
        threading.Thread(target=listener.server.serve_forever, kwargs=serve).start()
        return listener

    yield start
    for listener in open_ones:
        listener.http.close()
        listener.server.shutdown()
        listener.server.server_close()


def test_it_verifies_and_tells(listening: Callable[..., Listener]) -> None:
    """A signed event is told with its id, type and object; the same one again is marked."""
    listener = listening()
    assert [listener.deliver(), listener.deliver()] == [200, 200]
    first, second = listener.told
    assert (first.id, first.type, first.object) == ("evt_1", "invoice.paid", "in_1")
    assert (first.problem, first.seen_before, second.seen_before) == (None, False, True)
    assert first.age_s in {0, 1}


def test_it_refuses_what_is_not_signed(listening: Callable[..., Listener]) -> None:
    """A wrong secret or no header is answered with 400 and the reason is told."""
    listener = listening(status=204)
    assert listener.deliver(secret="whsec_other") == 400
    assert listener.http.post("/", content=EVENT).status_code == 400
    assert [found.problem for found in listener.told] == [
        "no v1 signature matches the body",
        "there is no Stripe-Signature header",
    ]


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"id": 5, "data": []}', b"[" * 5_000])
def test_odd_bodies_do_no_harm(listening: Callable[..., Listener], body: bytes) -> None:
    """What is no event is taken or refused by its signature alone, and told as none."""
    listener = listening()
    assert listener.deliver(body) in {200, 400}
    assert [(found.id, found.type) for found in listener.told] == [(None, None)]
    assert listener.deliver() == 200


def test_it_fails_as_often_as_it_was_told_to(listening: Callable[..., Listener]) -> None:
    """The first deliveries get the status that was asked for, later ones 200."""
    listener = listening(status=503, first=2)
    assert [listener.deliver() for _ in range(4)] == [503, 503, 200, 200]


def test_a_body_without_end_is_refused(listening: Callable[..., Listener]) -> None:
    """A length that is missing or beyond a megabyte is refused before the body is read."""
    listener = listening()
    for length, status in (("999999999", "413"), ("-5", "411"), ("many", "411")):
        with socket.create_connection(("127.0.0.1", listener.server.server_port), 5) as client:
            client.sendall(f"POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode())
            assert status in client.recv(200).decode()
    assert listener.told == []


def test_it_stops_by_itself_when_told_to(run: Run) -> None:
    """With --for it stops by itself, and with nothing received that is unknown."""
    ran = run("listen", "--port", 0, "--for", 0.05)
    assert ran.status == 2
    assert "0 received" in ran.out
    assert SECRET not in ran.out


def test_a_sender_and_a_listener_meet(run: Run) -> None:
    """A listener that is slow once makes the sender time out; the next delivery is accepted."""
    options = ("--answer", 500, "--first", 1, "--delay", 5, "--count", 2, "--json")
    with command("listen", "--port", 0, *options) as process:
        url = json.loads(first_line(process.stdout))["listening"]
        statuses = [run("send", "invoice.paid", "--to", url, "--timeout", 0.3).status for _ in "ab"]
        out, _ = process.communicate(timeout=60)
    assert statuses == [2, 0]
    *told, last = map(json.loads, out.splitlines())
    assert [found["answered"] for found in told] == [500, 200]
    assert last["summary"] == {"received": 2, "verified": 2, "refused": 0, "repeated": 0}
    assert process.returncode == 0


def test_ctrl_c_ends_with_a_summary() -> None:
    """Interrupted, a listener tells what it received and exits with 130."""
    with command("listen", "--port", 0) as process:
        assert "listening on http://127.0.0.1:" in first_line(process.stdout)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "0 received, 0 verified" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--port", "0", "--delay", "301"], "0 to 300"),
        (["--port", "0", "--secret-env", "NOWHERE"], "NOWHERE is not set"),
    ],
)
def test_what_cannot_be_listened_to_is_refused(run: Run, arguments: list[str], told: str) -> None:
    """Bad settings are told before anything is bound."""
    ran = run("listen", *arguments)
    assert ran.status == 2
    assert told in ran.err


def test_a_taken_port_is_told(run: Run) -> None:
    """A port that somebody has is refused with the way on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = run("listen", "--port", taken.getsockname()[1])
    assert ran.status == 2
    assert "--port 0" in ran.err


def test_a_secret_made_here_is_shown_and_works(run: Run) -> None:
    """Without a secret in the environment the listener makes one, and tells it."""
    ran = run("listen", "--port", 0, "--for", 0.01, "--json", STRIPE_WEBHOOK_SECRET="")
    assert json.loads(ran.out.splitlines()[0])["secret"].startswith("whsec_")
