"""A fresh simulator on a real socket for each test, driven by the official package.

Everything that it returns and every event that it makes is held against the annotations of the
installed `stripe` package when the test ends.
"""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import stripe
import uvicorn

from simulators.stripe.app import create_app
from simulators.stripe.server import configure, open_socket
from simulators.stripe.settings import Settings
from simulators.stripe.simulator import Simulator
from tests.stripe_sim.conformance import problems

KEY = "sk_test_conformance"
DAY_S = 86_400
DEADLINE_S = 60
"""When to give up: far beyond what anything takes, so that a busy machine fails no test."""
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody, and is never used: loading the roots takes longer than most of these tests."""


class _RecordingClient(stripe.RequestsClient):
    """The official HTTP client, which also keeps what came back with 200."""

    def __init__(self) -> None:
        super().__init__(timeout=DEADLINE_S + 20)
        self.bodies: list[bytes] = []

    def request(self, *args: Any, **kwargs: Any) -> Any:
        body, status, headers = super().request(*args, **kwargs)
        if status == 200:
            self.bodies.append(body)
        return body, status, headers


@dataclass
class Account:
    """A running simulator and the ways to talk to it."""

    url: str
    simulator: Simulator
    http: _RecordingClient = field(default_factory=_RecordingClient)

    def __post_init__(self) -> None:
        self.stripe = stripe.StripeClient(
            KEY, base_addresses={"api": self.url}, http_client=self.http, max_network_retries=0
        ).v1
        self.raw = httpx.Client(
            base_url=self.url, auth=(KEY, ""), timeout=DEADLINE_S + 20, verify=TLS
        )

    @property
    def now(self) -> int:
        return int(self.raw.get("/simulator/clock").json()["now"])

    def advance(self, to: int) -> None:
        """Move time on, and wait for what it brings about to be delivered."""
        command = {"to": to, "deadline_s": DEADLINE_S}
        answer = self.raw.post("/simulator/clock", json=command)
        assert answer.status_code == 200, answer.text
        assert self.settle()["settled"]

    def settle(self) -> dict[str, Any]:
        command = {"deadline_s": DEADLINE_S}
        answer: dict[str, Any] = self.raw.post("/simulator/settle", json=command).json()
        return answer

    def journal(self, customer: str | None = None) -> dict[str, Any]:
        params = {"customer": customer} if customer else {}
        answer: dict[str, Any] = self.raw.get("/simulator/journal", params=params).json()
        return answer

    def deliveries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.raw.get("/simulator/deliveries").json()["deliveries"]
        return found

    def event_types(self, since: int = 0) -> list[str]:
        """Return the types of the events there are, oldest first, from the nth on."""
        return [event["type"] for event in self.simulator.world.store.all("event")][since:]

    def customer(self, card: str | None = "pm_card_visa") -> str:
        """Return a new customer whose default payment method is this test card."""
        customer = self.stripe.customers.create({"email": "buyer@example.com"})
        if card is not None:
            method = self.stripe.payment_methods.attach(card, {"customer": customer.id})
            self.stripe.customers.update(
                customer.id, {"invoice_settings": {"default_payment_method": method.id}}
            )
        return customer.id

    def price(self, amount: int = 1_000, interval: Any = "month", **recurring: Any) -> str:
        product = self.stripe.products.create({"name": "Pro"})
        params: Any = {"product": product.id, "currency": "usd", "unit_amount": amount}
        params["recurring"] = {"interval": interval, **recurring}
        return self.stripe.prices.create(params).id

    def nonconforming(self) -> list[str]:
        """Return what does not fit of all that was returned and of every event."""
        returned = [problem for body in self.http.bodies for problem in problems(json.loads(body))]
        world = self.simulator.world
        events = [world.show(event) for event in world.store.all("event")]
        return returned + [problem for event in events for problem in problems(event)]


@pytest.fixture(scope="session")
def stopping() -> Iterator[list[threading.Thread]]:
    """Collect servers that were told to stop, so that no test waits for another's to be gone."""
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join(10)


@pytest.fixture
def open_account(stopping: list[threading.Thread]) -> Iterator[Callable[..., Account]]:
    """Start simulators with settings of a test's own; all stop when it ends."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []
    accounts: list[Account] = []

    def start(settings: Settings | None = None) -> Account:
        app = create_app(settings or Settings(seed=1, running=False))
        listener = open_socket("127.0.0.1", 0)
        server = uvicorn.Server(configure(app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        running.append((server, thread))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        accounts.append(Account(url, app.state.simulator))
        return accounts[-1]

    try:
        yield start
        assert [problem for account in accounts for problem in account.nonconforming()] == []
    finally:
        for account in accounts:
            account.raw.close()
            account.http.close()  # type: ignore[no-untyped-call]  # theirs has no types
        for server, thread in running:
            server.should_exit = True
            stopping.append(thread)


@pytest.fixture
def account(open_account: Callable[..., Account]) -> Account:
    """Return a fresh account whose clock stands still."""
    return open_account()


@dataclass
class Receiver:
    """A webhook receiver that keeps what it is sent and answers as told."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    hold: threading.Event | None = None

    @property
    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.received]


@pytest.fixture
def open_receiver() -> Iterator[Callable[..., Receiver]]:
    """Start receivers; one with `hold` answers only once that is set."""
    servers: list[tuple[ThreadingHTTPServer, Receiver]] = []

    def start(**given: Any) -> Receiver:
        receiver = Receiver(**given)
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(receiver))
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        servers.append((server, receiver))
        return receiver

    yield start
    for server, receiver in servers:
        if receiver.hold is not None:
            receiver.hold.set()
        server.shutdown()
        server.server_close()


def eventually(condition: Callable[[], bool]) -> bool:
    """Wait until something holds; False when the deadline came first."""
    deadline = time.monotonic() + DEADLINE_S
    while not (holds := condition()) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    return holds


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.received.append(({k.lower(): v for k, v in self.headers.items()}, body))
            if receiver.hold is not None:
                receiver.hold.wait(DEADLINE_S)
            self.send_response(receiver.status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
            """Say nothing."""

    return Handler
