"""Real processes for the tests: a Stripe simulator, and a billing service."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import stripe
from sqlalchemy import MetaData, create_engine, select

from harness.deadline import authorities
from tests.billing.databases import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sqlalchemy import Connection

WEBHOOK_SECRET = "whsec_of_the_tests_of_billing"
OPERATOR_KEY = "operator-key-of-the-tests"
CONTROL_TOKEN = "control-token-of-the-tests"
STRIPE_KEY = "sk_test_billing_tests_0001"
_START_S = 90.0
_STOP_S = 30.0


@dataclass
class Process:
    """A child process with its own log file."""

    popen: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """End it the hard way."""
        self.popen.kill()
        self.popen.wait(_STOP_S)

    def terminate(self) -> int:
        """Ask it to end; give its status."""
        self.popen.terminate()
        return self.popen.wait(_STOP_S)


@contextmanager
def process(
    folder: Path, name: str, arguments: list[str], env: Mapping[str, str], fds: tuple[int, ...] = ()
) -> Iterator[Process]:
    """Run a module of ours until the block ends."""
    log = folder / f"{name}.log"
    with log.open("ab") as sink:
        popen = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env={**os.environ, **env},
            stdout=sink,
            stderr=sink,
            pass_fds=fds,
        )
    child = Process(popen, log)
    try:
        yield child
    finally:
        if popen.poll() is None:
            try:
                child.terminate()
            except subprocess.TimeoutExpired:
                child.kill()


def wait_for(url: str, child: Process) -> None:
    """Wait until `url` answers 200; a child that dies first is told with its log."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if child.popen.poll() is not None:
            break
        try:
            reply = httpx.get(url, timeout=1.0, trust_env=False, verify=authorities())
            if reply.status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.03)
    raise AssertionError(f"{url} never answered:\n{child.log.read_text()[-3000:]}")


@contextmanager
def listening() -> Iterator[tuple[socket.socket, str]]:
    """Reserve a free port."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as sock:
        yield sock, f"http://127.0.0.1:{sock.getsockname()[1]}"


@dataclass
class Simulator:
    """A running Stripe simulator."""

    url: str
    http: httpx.Client

    def official(self) -> stripe.StripeClient:
        """Give the official client, as the tests' own look at Stripe."""
        return stripe.StripeClient(
            STRIPE_KEY, base_addresses={"api": self.url}, max_network_retries=0
        )

    def journal(self, stripe_customer_id: str) -> list[dict[str, Any]]:
        """Give every movement of money of a customer."""
        reply = self.http.get("/simulator/journal", params={"customer": stripe_customer_id})
        entries: list[dict[str, Any]] = reply.raise_for_status().json()["entries"]
        return entries

    def taken_minor(self, stripe_customer_id: str) -> int:
        """Give what a customer paid, less what went back."""
        entries = self.journal(stripe_customer_id)
        return sum(e["amount_minor"] for e in entries if e["state"] == "succeeded")

    def settle(self) -> None:
        """Wait until every event that is due was delivered."""
        reply = self.http.post("/simulator/settle", json={"deadline_s": 30}).raise_for_status()
        assert reply.json()["settled"], reply.text

    def now(self) -> int:
        """Give Stripe's time."""
        found: int = self.http.get("/simulator/clock").raise_for_status().json()["now"]
        return found


@dataclass
class Service:
    """A running billing service."""

    url: str
    folder: Path
    env: dict[str, str]
    simulator: Simulator
    children: list[Process] = field(default_factory=list)

    def client(self, key: str | None = None) -> httpx.Client:
        """Give a client that sends a customer's key."""
        headers = {"X-API-Key": key} if key else {}
        return httpx.Client(
            base_url=self.url, headers=headers, timeout=30, trust_env=False, verify=authorities()
        )

    @property
    def controls(self) -> httpx.Client:
        """Give a client that sends the test controls' token."""
        headers = {"X-Test-Control-Token": CONTROL_TOKEN}
        return httpx.Client(
            base_url=self.url, headers=headers, timeout=60, trust_env=False, verify=authorities()
        )

    @property
    def operator(self) -> httpx.Client:
        """Give a client that sends the operator's key."""
        return self.client(OPERATOR_KEY)

    @property
    def database_file(self) -> Path:
        """Give the path of the SQLite database; a test that reads the file runs on no other."""
        if not self.env["BILLING_DATABASE_URL"].startswith("sqlite"):
            pytest.skip("reads the file of a SQLite database")
        return self.folder / "billing.db"

    @contextmanager
    def database(self) -> Iterator[Connection]:
        """Connect to the service's database."""
        engine = create_engine(self.env["BILLING_DATABASE_URL"])
        with engine.connect() as connection:
            yield connection
        engine.dispose()

    def dump(self) -> str:
        """Give all that the database holds, bytes in hexadecimal."""
        tables = MetaData()
        with self.database() as connection:
            tables.reflect(connection)
            rows = [
                row for each in tables.sorted_tables for row in connection.execute(select(each))
            ]
        assert rows
        return "\n".join(
            value.hex() if isinstance(value, bytes) else str(value) for row in rows for value in row
        )

    def drain(self) -> None:
        """Wait until every event was delivered and had its effect."""
        self.simulator.settle()
        with self.controls as controls:
            reply = controls.post("/test/drain", json={"deadline_s": 30}).json()
        assert reply == {"settled": True, "pending": 0}, reply

    def advance(self, to: int) -> None:
        """Move Stripe's time, then ours, then let everything settle."""
        self.simulator.http.post(
            "/simulator/clock", json={"to": to, "deadline_s": 20}
        ).raise_for_status()
        with self.controls as controls:
            controls.post("/test/clock", json={"to": to}).raise_for_status()
        self.drain()


@contextmanager
def running_simulator(folder: Path) -> Iterator[Simulator]:
    """Run a Stripe simulator."""
    with listening() as (sock, url):
        fd = sock.fileno()
        arguments = ["simulators.stripe", "serve", "--fd", str(fd)]
        with process(folder, "stripe", arguments, {}, (fd,)) as child:
            wait_for(f"{url}/simulator/ready", child)
            with httpx.Client(
                base_url=url, timeout=40, trust_env=False, verify=authorities()
            ) as http:
                yield Simulator(url, http)


@contextmanager
def running_service(
    folder: Path, simulator: Simulator, *, processes: int = 1, **settings: str
) -> Iterator[Service]:
    """Run a billing service whose webhook endpoint is known to the simulator."""
    with listening() as (sock, url), ExitStack() as stack:
        endpoint = simulator.official().v1.webhook_endpoints.create(
            {"url": f"{url}/api/webhooks/stripe", "enabled_events": ["*"]}
        )
        env = service_environment(folder, simulator.url) | {
            "BILLING_STRIPE_WEBHOOK_SECRETS": f"{WEBHOOK_SECRET},{endpoint.secret}",
            **{f"BILLING_{name.upper()}": value for name, value in settings.items()},
        }
        service = Service(url, folder, env, simulator)
        if "database_url" not in settings:
            prepare(env["BILLING_DATABASE_URL"], settings.get("environment", "test"))
        for number in range(processes):
            service.children.append(stack.enter_context(serving(service, sock, number)))
        yield service
        simulator.official().v1.webhook_endpoints.delete(endpoint.id)


@contextmanager
def serving(service: Service, sock: socket.socket, number: int) -> Iterator[Process]:
    """Run one serving process on an inherited socket."""
    fd = sock.fileno()
    arguments = ["tests.billing.capturing", "serve", "--fd", str(fd)]
    with process(service.folder, f"billing-{number}", arguments, service.env, (fd,)) as child:
        _wait_until_ready(child)
        yield child


def _wait_until_ready(child: Process) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and child.popen.poll() is None:
        if '"ready": true' in child.log.read_text():
            return
        time.sleep(0.03)
    raise AssertionError(f"the service never was ready:\n{child.log.read_text()[-3000:]}")


def migrate(folder: Path, env: Mapping[str, str]) -> None:
    """Bring the service's database to the newest revision."""
    with process(folder, "migrate", ["simulators.billing", "migrate"], env) as child:
        assert child.popen.wait(_START_S) == 0, child.log.read_text()


def service_environment(
    folder: Path, stripe_url: str, database_url: str | None = None
) -> dict[str, str]:
    """Give the settings that every test service has."""
    return {
        "BILLING_DATABASE_URL": database_url or f"sqlite:///{folder / 'billing.db'}",
        "BILLING_STRIPE_API_KEY": STRIPE_KEY,
        "BILLING_STRIPE_API_BASE": stripe_url,
        "BILLING_STRIPE_WEBHOOK_SECRETS": WEBHOOK_SECRET,
        "BILLING_KEY_HMAC_SECRET": "hmac-secret-of-the-tests",
        "BILLING_OPERATOR_KEY": OPERATOR_KEY,
        "BILLING_TEST_CONTROL_TOKEN": CONTROL_TOKEN,
        # All tests share one address; those of the limits set their own.
        "BILLING_LIMIT_FAILED_AUTHENTICATIONS": "100000",
    }
