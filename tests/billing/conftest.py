"""Fixtures of the billing service's tests: real processes, and a core with a fake Stripe."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from simulators.billing import ledger
from simulators.billing.clock import MovableClock
from simulators.billing.core import Core
from simulators.billing.domain.plans import Catalogue
from simulators.billing.idempotency import unkeyed_slot
from simulators.billing.identifiers import Vault
from simulators.billing.operations import accounts, cards
from simulators.billing.settings import Settings
from simulators.billing.storage.database import Database
from simulators.billing.storage.tables import CreditTransaction, Payment
from simulators.billing.stripe_gateway.gateway import StripeGateway
from tests.billing import capturing
from tests.billing.databases import databases as of_kind
from tests.billing.fake_stripe import FakeStripe
from tests.billing.running import (
    Service,
    Simulator,
    running_service,
    running_simulator,
    service_environment,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.billing.databases import Databases

_numbers = itertools.count(1)
NIGHTLY = pytest.mark.nightly


@pytest.fixture(scope="session", autouse=True)
def statements(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Capture the SQL of this process and of all that serve, and hold that no input is in it."""
    path = tmp_path_factory.mktemp("statements") / "statements.jsonl"
    os.environ[capturing.FILE] = str(path)
    capturing.install()
    yield path
    del os.environ[capturing.FILE]
    assert not list(capturing.with_inputs(capturing.captured(path)))


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """Run one Stripe simulator for all tests."""
    with running_simulator(tmp_path_factory.mktemp("stripe")) as found:
        yield found


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgres", marks=NIGHTLY)])
def databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Databases]:
    """Give every test a SQLite file, and at night a PostgreSQL database too.

    A module that must see both every day says `pytestmark = on_both_databases`.
    """
    with of_kind(request.param, tmp_path_factory.mktemp(request.param)) as found:
        yield found


@pytest.fixture(scope="session")
def service(
    tmp_path_factory: pytest.TempPathFactory, simulator: Simulator, databases: Databases
) -> Iterator[Service]:
    """Two processes on one socket and one database: whatever passes here passes with workers."""
    folder = tmp_path_factory.mktemp("billing")
    url = databases.fresh(folder)
    with running_service(folder, simulator, processes=2, database_url=url) as found:
        yield found


@dataclass
class Tenant:
    """A customer of the running service, with a client that sends their key."""

    id: str
    stripe_id: str
    email: str
    http: httpx.Client
    service: Service

    @property
    def path(self) -> str:
        return f"/api/v1/customers/{self.id}"

    def post(self, path: str, json: object = None, key: str | None = None) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return self.http.post(path, json=json, headers=headers)

    def fix(self, fix_id: str, key: str | None = None) -> httpx.Response:
        return self.post("/api/v1/billing/track_fix", {"fix_id": fix_id}, key)

    def add_card(self, card: str = "pm_card_visa", *, consent: bool = True) -> httpx.Response:
        body = {"payment_method": card, "billing_consent": consent}
        return self.post(f"{self.path}/payment-methods", body)

    def subscribe(self, quantity: int = 1) -> httpx.Response:
        return self.post(f"{self.path}/subscription", {"plan": "pro", "quantity": quantity})

    def get(self, name: str = "") -> Any:
        reply = self.http.get(f"{self.path}{name}")
        assert reply.status_code == 200, reply.text
        return reply.json()

    def page(self, name: str) -> list[dict[str, Any]]:
        """Give all rows of a listing, newest first, page by page."""
        rows: list[dict[str, Any]] = []
        query = "limit=100"
        while True:
            reply = self.get(f"/{name}?{query}")
            rows += reply["data"]
            if not reply.get("next_cursor"):
                return rows
            query = f"limit=100&cursor={reply['next_cursor']}"

    def use_up(self) -> None:
        """Use every credit at hand."""
        for _ in range(self.get()["credit_balance"]):
            assert self.fix(f"use-{next(_numbers)}").json()["outcome"] == "credit"

    def snapshot(self) -> dict[str, Any]:
        """Give all that a refused operation must leave as it was."""
        names = ("transactions", "payments", "invoices", "payment-methods")
        pages = {name: self.http.get(f"{self.path}/{name}").json()["data"] for name in names}
        subscription = self.http.get(f"{self.path}/subscription").json().get("status")
        taken = self.service.simulator.taken_minor(self.stripe_id)
        return {"customer": self.get(), "subscription": subscription, "taken": taken, **pages}

    def assert_books_balance(self) -> None:
        """Hold the ledger against itself, and the payments against Stripe's journal."""
        entries = self.page("transactions")
        assert sum(e["amount"] for e in entries) == self.get()["credit_balance"]
        assert all(e["balance_after"] >= 0 for e in entries)
        booked = {p["stripe_id"]: p["amount_minor"] for p in self.page("payments")}
        moved = self.service.simulator.journal(self.stripe_id)
        told = {e["provider_id"]: e["amount_minor"] for e in moved if e["state"] == "succeeded"}
        assert booked == told


@pytest.fixture
def tenant(service: Service) -> Iterator[Tenant]:
    """Make a customer for each test."""
    with new_tenant(service) as found:
        yield found


@pytest.fixture
def other_tenant(service: Service) -> Iterator[Tenant]:
    """Make another customer."""
    with new_tenant(service) as found:
        yield found


class new_tenant:  # noqa: N801  # used like a function
    """Onboard a customer; a context manager that closes the client."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def __enter__(self) -> Tenant:
        email = f"tenant-{next(_numbers)}@example.com"
        with self._service.client() as anyone:
            reply = anyone.post("/api/v1/customers/onboard", json={"email": email})
        assert reply.status_code == 201, reply.text
        found = reply.json()
        self._http = self._service.client(found["api_key"])
        return Tenant(
            found["customer_id"], found["stripe_customer_id"], email, self._http, self._service
        )

    def __exit__(self, *_: object) -> None:
        self._http.close()


@dataclass
class Bench:
    """A core over its own database and a fake Stripe, for what sockets cannot provoke."""

    core: Core
    stripe: FakeStripe

    def customer(self, *, card: bool = True, credits_left: int = 0) -> str:
        """Make a customer with a card and so many credits."""
        sign_up = accounts.SignUp(f"bench-{next(_numbers)}@example.com", None, "direct", None)
        answer = accounts.onboard(self.core, sign_up, unkeyed_slot(self.core))
        customer_id: str = answer.body["customer_id"]
        if card:
            cards.add(self.core, customer_id, "pm_card_visa", unkeyed_slot(self.core), consent=True)
        with self.core.database.write() as session:
            spare = ledger.balance(session, customer_id) - credits_left
            if spare:
                posting = ledger.Posting(-spare, "adjustment", "bench")
                ledger.append(session, customer_id, posting, at=0)
        return customer_id

    def entries(self, customer_id: str) -> list[CreditTransaction]:
        mine = CreditTransaction.customer_id == customer_id
        statement = select(CreditTransaction).where(mine).order_by(CreditTransaction.sequence)
        with self.core.database.read() as session:
            return list(session.scalars(statement))

    def payments(self, customer_id: str) -> list[Payment]:
        with self.core.database.read() as session:
            return list(session.scalars(select(Payment).where(Payment.customer_id == customer_id)))

    def pass_time(self, seconds: int) -> None:
        clock = self.core.clock
        assert isinstance(clock, MovableClock)
        clock.move_to(clock.now() + seconds)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, databases: Databases) -> Iterator[Bench]:
    """Give a core of its own, with a fake Stripe."""
    for name, value in service_environment(tmp_path, "http://127.0.0.1:1").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BILLING_STRIPE_TRIES", "1")
    monkeypatch.setenv("BILLING_DATABASE_URL", databases.fresh(tmp_path))
    settings = Settings()
    database = Database(settings.database_url)
    fake = FakeStripe()
    core = Core(
        settings=settings,
        catalogue=Catalogue.of(settings),
        database=database,
        clock=MovableClock(database),
        stripe=StripeGateway(settings, fake),
        vault=Vault(settings.key_hmac_secret),
    )
    yield Bench(core, fake)
    database.dispose()
