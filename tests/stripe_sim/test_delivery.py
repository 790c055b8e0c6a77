"""Delivery in full: endpoints apart, secrets rolled, resending, and receivers that misbehave."""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import stripe

from harness.signing import verify
from simulators.stripe.settings import Settings
from simulators.webhooks.delivery import SCHEDULES, DeliverySettings
from tests.stripe_sim.conftest import Account, Receiver

OpenReceiver = Callable[..., Receiver]
OpenAccount = Callable[..., Account]


def listen(account: Account, url: str, *types: Any, **more: Any) -> stripe.WebhookEndpoint:
    """Make an endpoint."""
    params: Any = {"url": url, "enabled_events": list(types) or ["*"], **more}
    return account.stripe.webhook_endpoints.create(params)


def signatures(receiver: Receiver, index: int = -1) -> list[str]:
    """Return the ``v1`` signatures of a delivery."""
    header = receiver.received[index][0]["stripe-signature"]
    return [part for part in header.split(",") if part.startswith("v1=")]


def roll(account: Account, endpoint: str, expires_in_s: int = 0) -> str:
    """Roll an endpoint's secret and return the new one."""
    path = f"/simulator/webhook_endpoints/{endpoint}/roll_secret"
    secret: str = account.raw.post(path, json={"expires_in_s": expires_in_s}).json()["secret"]
    return secret


def test_a_rolled_secret_signs_beside_the_new_one_until_it_expires(
    account: Account, open_receiver: OpenReceiver
) -> None:
    """Each valid secret has a ``v1`` of its own; after 24 hours only the new one is left."""
    receiver = open_receiver()
    endpoint = listen(account, receiver.url)
    old, new = str(endpoint.secret), roll(account, endpoint.id, 86_400)
    account.stripe.customers.create()
    account.settle()
    assert len(signatures(receiver)) == 2
    for secret in (old, new):
        headers, body = receiver.received[-1]
        assert stripe.Webhook.construct_event(body, headers["stripe-signature"], secret)
    account.advance(account.now + 86_400)
    account.stripe.customers.create()
    account.settle()
    assert len(signatures(receiver)) == 1
    headers, body = receiver.received[-1]
    verify(body, headers["stripe-signature"], new)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, headers["stripe-signature"], old)


def test_a_secret_can_be_rolled_at_once_and_twice(
    account: Account, open_receiver: OpenReceiver
) -> None:
    """Without an overlap the old secret is dead at once; rolled twice, three sign."""
    receiver = open_receiver()
    endpoint = listen(account, receiver.url)
    roll(account, endpoint.id)
    account.stripe.customers.create()
    account.settle()
    assert len(signatures(receiver)) == 1
    roll(account, endpoint.id, 600)
    roll(account, endpoint.id, 300)
    account.stripe.customers.create()
    account.settle()
    assert len(signatures(receiver)) == 3
    too_long = account.raw.post(
        f"/simulator/webhook_endpoints/{endpoint.id}/roll_secret", json={"expires_in_s": 86_401}
    )
    assert too_long.status_code == 400
    missing = account.raw.post("/simulator/webhook_endpoints/we_x/roll_secret")
    assert missing.status_code == 404


@pytest.mark.parametrize("path", ["/simulator/events/{}/resend", "/v1/events/{}/retry"])
def test_an_event_is_sent_again_by_hand(
    account: Account, open_receiver: OpenReceiver, path: str
) -> None:
    """To every endpoint that wants it, or to one; as it was, and tried once only."""
    first, second = open_receiver(), open_receiver(status=500)
    ends = [listen(account, receiver.url) for receiver in (first, second)]
    account.stripe.customers.create()
    account.settle()
    [event] = account.stripe.events.list().data
    assert event.pending_webhooks == 1
    account.raw.post(path.format(event.id)).raise_for_status()
    account.settle()
    assert (len(first.received), len(second.received)) == (2, 2)
    sent, again = (json.loads(body) for _, body in first.received)
    assert (sent["id"], sent["data"]) == (again["id"], again["data"])
    [line] = [line for line in account.deliveries()[2:] if not line["delivered"]]
    assert line["next_retry_at"] is None
    body = {"webhook_endpoint": ends[1].id}
    second.status = 200
    one = {"data": body} if path.startswith("/v1") else {"json": body}
    account.raw.post(path.format(event.id), **one).raise_for_status()  # type: ignore[arg-type]  # one keyword of two
    account.settle()
    assert (len(first.received), len(second.received)) == (2, 3)
    assert account.stripe.events.retrieve(event.id).pending_webhooks == 0


def test_resending_what_cannot_be_resent(account: Account, open_receiver: OpenReceiver) -> None:
    """No such event, no such endpoint, a disabled one: told, and nothing is sent."""
    receiver = open_receiver()
    endpoint = listen(account, receiver.url)
    account.stripe.webhook_endpoints.update(endpoint.id, {"disabled": True})
    account.stripe.customers.create()
    [event] = account.stripe.events.list().data
    assert account.raw.post("/simulator/events/evt_x/resend").status_code == 404
    for name in ("we_x", endpoint.id):
        answer = account.raw.post(
            f"/simulator/events/{event.id}/resend", json={"webhook_endpoint": name}
        )
        assert answer.status_code == 400
    resent = account.raw.post(f"/simulator/events/{event.id}/resend").json()
    assert resent == {"resent_to": []}
    assert receiver.received == []


def test_live_retries_go_on_for_up_to_three_days(
    open_account: OpenAccount, open_receiver: OpenReceiver
) -> None:
    """Live: ten retries, ever further apart, within three days of virtual time."""
    settings = DeliverySettings(retries_s=SCHEDULES["live"])
    account = open_account(Settings(seed=1, running=False, delivery=settings))
    receiver = open_receiver(status=500)
    listen(account, receiver.url)
    account.stripe.customers.create()
    account.settle()
    began = account.now
    account.advance(began + 4 * 86_400)
    waited = [line["at"] - began for line in account.deliveries()]
    assert len(waited) == 11
    assert waited == sorted(waited)
    assert 2 * 86_400 < waited[-1] <= 3 * 86_400


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _answers(*parts: bytes) -> Callable[[socket.socket], None]:
    def act(connection: socket.socket) -> None:
        connection.recv(65_536)
        for part in parts:
            connection.sendall(part)
        connection.close()

    return act


def _endless(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(100_000):
        connection.sendall(b"400\r\n" + b"x" * 0x400 + b"\r\n")


def _dripping(connection: socket.socket) -> None:
    connection.recv(65_536)
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000:
        connection.sendall(bytes([byte]))
        threading.Event().wait(0.05)


@contextmanager
def bad_receiver(act: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve a receiver of plain sockets that does `act` to every connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(connection: socket.socket) -> None:
        with connection:
            try:
                act(connection)
            except OSError:
                return

    def loop() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


HANGS = {"hangs", "dripping header"}
BAD: dict[str, tuple[Callable[[socket.socket], None], bool]] = {
    "resets": (_reset, False),
    "hangs": (lambda connection: (connection.recv(65_536), threading.Event().wait(3))[0], False),  # type: ignore[dict-item]  # its value is of no interest
    "closes": (_answers(), False),
    "garbage": (_answers(b"\x00\xff\xfe" * 50), False),
    "bad status": (_answers(b"HTTP/1.1 999999 ?\r\n\r\n"), False),
    "huge header": (_answers(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000), False),
    "short body": (_answers(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx"), False),
    "bad encoding": (
        _answers(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nxyz"),
        True,
    ),
    "redirect": (_answers(b"HTTP/1.1 307 R\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"), False),
    "endless body": (_endless, True),
    "dripping header": (_dripping, False),
}


@pytest.mark.parametrize("how", BAD)
def test_a_bad_receiver_delays_nobody(
    open_account: OpenAccount, open_receiver: OpenReceiver, how: str
) -> None:
    """While it misbehaves another receiver gets everything; each failure is on the log."""
    act, delivered = BAD[how]
    # Only who hangs is waited for; nobody else may be cut short because the machine is busy.
    delivery = DeliverySettings(timeout_s=1.5 if how in HANGS else 30, retries_s=(600,))
    account = open_account(Settings(seed=1, running=False, delivery=delivery))
    healthy = open_receiver()
    with bad_receiver(act) as url:
        bad = listen(account, url)
        listen(account, healthy.url)
        for index in range(4):
            account.stripe.customers.create({"name": str(index)})
        assert account.settle()["settled"]
        log = account.deliveries()
    arrived = [json.loads(body)["data"]["object"]["name"] for _, body in healthy.received]
    assert sorted(arrived) == ["0", "1", "2", "3"]
    at_bad = [line for line in log if line["webhook_endpoint"] == bad.id]
    assert [line["delivered"] for line in at_bad] == [delivered] * 4
    assert all(line["status"] or line["error"] for line in at_bad)
    assert [line["next_retry_at"] is None for line in at_bad] == [delivered] * 4
    assert account.raw.get("/v1/customers").status_code == 200
