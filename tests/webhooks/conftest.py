"""A receiver on a real socket that verifies with the official package, and the command line."""

from __future__ import annotations

import io
import json
import threading
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import stripe
import typer

from harness.cli import build_app
from simulators.webhooks.commands import app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "whsec_of_the_tests_of_webhooks"
PRODUCTION_SIGNS = ("ENVIRONMENT", "ENV", "APP_ENV", "BILLING_ENVIRONMENT")


@dataclass
class Receiver:
    """Answers 200 to what the official verifier takes, 400 to the rest; keeps the events."""

    url: str = ""
    status: int = 200
    hold: threading.Event | None = None
    bodies: list[bytes] = field(default_factory=list)
    headers: list[str | None] = field(default_factory=list)
    refused: int = 0

    @property
    def events(self) -> list[dict[str, Any]]:
        """Give the events that were verified, in the order in which they came."""
        return [json.loads(body) for body in self.bodies]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def object(self) -> dict[str, Any]:
        """Give the object of the only event there was."""
        (event,) = self.events
        found: dict[str, Any] = event["data"]["object"]
        return found

    def take(self, body: bytes, header: str | None) -> int:
        self.headers.append(header)
        try:
            stripe.Webhook.construct_event(body, header, SECRET)
        except Exception:  # noqa: BLE001 - whatever it raises is a no
            self.refused += 1
            return 400
        self.bodies.append(body)
        return self.status


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.receiver.take(body, self.headers["Stripe-Signature"])
        if self.receiver.hold is not None:
            self.receiver.hold.wait(10)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing: a client that gave up is part of some tests."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Start a receiver for one test."""
    found = Receiver()
    handler = type("Handler", (_Handler,), {"receiver": found})
    with _Server(("127.0.0.1", 0), handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield found
        finally:
            if found.hold is not None:
                found.hold.set()
            server.shutdown()
            thread.join(10)


@dataclass
class Ran:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="session")
def program() -> Any:
    """Give the command line once: building it takes longer than most commands."""
    frame = build_app()
    frame.add_typer(app, name="webhooks")
    return typer.main.get_command(frame)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, program: Any) -> Callable[..., Ran]:
    """Run `billing-harness webhooks` in this process, with the secret in the environment."""
    for name in PRODUCTION_SIGNS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", SECRET)

    def call(*arguments: object, **environment: str) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        with monkeypatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name, value in environment.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                program.main(["webhooks", *map(str, arguments)], prog_name="billing-harness")
        assert isinstance(ended.value.code, int)
        return Ran(ended.value.code, out.getvalue(), err.getvalue())

    return call
