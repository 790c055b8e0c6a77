"""A day of a small service to audit: five customers, six charges, a refund, real processes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from typer.testing import CliRunner

from harness.cli import build_app
from harness.stack import Stack, StackOptions
from tests.proxy import Manners, Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

    import pytest

NO_GIFTS = {"BILLING_SIGN_UP_CREDITS": "0", "BILLING_FIRST_CARD_CREDITS": "0"}
FIX_MINOR = 2900
REFUND_MINOR = 1000
_LATER_S = 1200
_UNCHECKED = (
    "PRAGMA ignore_check_constraints = ON",
    "PRAGMA foreign_keys = OFF",
)


class Recorder(Proxy):
    """Stands before a service, passes everything on and remembers what was asked."""

    def __init__(self, target: str, manners: Manners, seed: int) -> None:
        super().__init__(target, manners, seed)
        self.asked: list[tuple[str, str]] = []

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        """Remember the request, and pass it on."""
        self.asked.append((request.command, request.path))
        super().handle(request)


@dataclass
class Day:
    """What happened, and how it is audited. `fixes` has customers by the fix they paid for."""

    stack: Stack
    stripe: Recorder
    api: Recorder
    since: int
    until: int
    fixes: dict[str, str] = field(default_factory=dict)

    def environment(self, database_url: str | None = None) -> dict[str, str]:
        """Give the variables of the reference's profile, with recorders before both services."""
        addresses = self.stack.addresses
        own = {"STACK_STRIPE_URL": self.stripe.url, "STACK_BILLING_URL": self.api.url}
        database = {"STACK_DATABASE_URL": database_url or addresses.database_url}
        return {**addresses.environment(), **own, **database}

    def audit(
        self, patch: pytest.MonkeyPatch, folder: Path, *more: str, database_url: str | None = None
    ) -> dict[str, Any]:
        """Audit the day by the command; give its facts, with what it printed as `said`."""
        for name, value in self.environment(database_url).items():
            patch.setenv(name, value)
        file = folder / "audit.json"
        window = (
            () if "--since" in more else ("--since", str(self.since), "--until", str(self.until))
        )
        told = ("audit", "--target", "reference", *window, *more, "--json", str(file))
        ended = CliRunner().invoke(build_app(), told)
        facts: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return {**facts, "status": ended.exit_code, "said": ended.output}

    def copied(self, folder: Path, *changes: str) -> Path:
        """Copy the database, change rows that its guards would keep as they are, give the file."""
        live = self.stack.addresses.database_url.partition("///")[2]
        copy = folder / "books.db"
        with (
            contextlib.closing(sqlite3.connect(f"file:{live}?mode=ro", uri=True)) as source,
            contextlib.closing(sqlite3.connect(copy)) as changed,
        ):
            source.backup(changed)
            for pragma in _UNCHECKED:
                changed.execute(pragma)
            triggers = changed.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for (name,) in triggers.fetchall():
                changed.execute(f"DROP TRIGGER {name}")
            for change in changes:
                assert changed.execute(change).rowcount == 1, change
            changed.commit()
        return copy


@contextlib.contextmanager
def day(database: str = "sqlite") -> Iterator[Day]:
    """Live through the day, and stand at its end: everything is settled."""
    with contextlib.ExitStack() as undo:
        options = StackOptions(database=database, billing_env=NO_GIFTS, seed=11)
        stack = undo.enter_context(Stack(options))
        addresses = stack.addresses
        stripe, api = (
            undo.enter_context(_recorded(url))
            for url in (addresses.stripe_url, addresses.billing_url)
        )
        client = undo.enter_context(httpx.Client(trust_env=False, timeout=30))
        began = _now(client, addresses.stripe_url)
        lived = Day(stack, stripe, api, since=began - 60, until=0)
        for number in range(5):
            customer(client, addresses.billing_url, lived, number)
        _refund(client, stack, lived.fixes["fix_3"])
        settled(client, lived)
        yield lived


@contextlib.contextmanager
def _recorded(target: str) -> Iterator[Recorder]:
    recorder = Recorder(target, Manners(), 0)
    thread = threading.Thread(target=recorder.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield recorder
    finally:
        recorder.server.shutdown()
        recorder.server.server_close()
        thread.join()


def move(client: httpx.Client, stripe_url: str) -> int:
    """Move Stripe's time on, so that what happened is no longer in flight; give the time."""
    to = _now(client, stripe_url) + _LATER_S
    client.post(f"{stripe_url}/simulator/clock", json={"to": to, "deadline_s": 20})
    return to


def _now(client: httpx.Client, stripe_url: str) -> int:
    return int(client.get(f"{stripe_url}/simulator/clock").json()["now"])


def settled(client: httpx.Client, lived: Day) -> None:
    """Let every webhook arrive and take effect, and time pass until nothing is in flight."""
    addresses = lived.stack.addresses
    wish = {"deadline_s": 60}
    client.post(f"{addresses.stripe_url}/simulator/settle", json=wish, timeout=65)
    control = {"X-Test-Control-Token": addresses.test_control_token}
    drained = client.post(f"{addresses.billing_url}/test/drain", json=wish, headers=control)
    assert drained.json()["settled"] is True, drained.text
    lived.until = move(client, addresses.stripe_url) - _LATER_S // 2


def customer(
    client: httpx.Client, url: str, lived: Day, number: int, card_name: str = "pm_card_visa"
) -> None:
    """Sign somebody up with a card, who pays for one fix, the last one for two."""
    known = {"email": f"audited{number}@example.com", "name": "Audited", "source": "direct"}
    made = client.post(f"{url}/api/v1/customers/onboard", json=known).json()
    key = {"X-API-Key": made["api_key"]}
    card = {"payment_method": card_name, "billing_consent": True}
    place = f"{url}/api/v1/customers/{made['customer_id']}/payment-methods"
    assert client.post(place, json=card, headers=key).is_success
    for fix in (f"fix_{number}", "fix_again")[: 1 + (number == 4)]:
        used = client.post(f"{url}/api/v1/billing/track_fix", json={"fix_id": fix}, headers=key)
        assert used.json()["charged_minor"] == FIX_MINOR, used.text
        lived.fixes[fix] = made["customer_id"]


def _refund(client: httpx.Client, stack: Stack, customer: str) -> None:
    addresses = stack.addresses
    key = {"X-API-Key": addresses.operator_key}
    listed = f"{addresses.billing_url}/api/v1/customers/{customer}/payments"
    payment = client.get(listed, headers=key).json()["data"][0]["id"]
    refund = f"{addresses.billing_url}/api/v1/operator/payments/{payment}/refund"
    assert client.post(refund, json={"amount_minor": REFUND_MINOR}, headers=key).is_success


def prints(folder: Path) -> dict[str, str]:
    """Give what stands in each file of a database, by its name."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.glob("books.db*")
    }
