"""Fixtures for an adopter's own tests: a Stripe simulator, and books held against its journal.

Loaded by name, `pytest_plugins = ["simulators.webhooks.adopting"]` in a conftest, which adds
`send_webhook`. Nothing here needs a profile.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from harness.checks import run_checks
from harness.checks.evidence import CustomerState, Entry, Evidence, Payment
from harness.checks.ledger import BalanceEqualsLedger
from harness.checks.money import BooksEqualProvider
from harness.errors import ProviderError, Unknown
from harness.provider import SimulatorProvider
from harness.stack.companion import simulator_process
from harness.stack.webhook import make_endpoint
from harness.target.profile import Catalog

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from harness.provider import Journal

_READY_S = 30.0
_SETTLE_S = 10.0
_CHECKS = (BalanceEqualsLedger(), BooksEqualProvider())


@dataclass(frozen=True, slots=True)
class StripeSimulator:
    """A running Stripe simulator: point the official `stripe` package at `url`."""

    url: str
    api_key: str = field(repr=False)
    provider: SimulatorProvider

    def deliver_to(self, url: str) -> str:
        """Deliver every event to this address from now on; give the secret that signs them."""
        return make_endpoint(self.url, self.api_key, url)

    def settle(self, deadline_s: float = _SETTLE_S) -> None:
        """Wait until every webhook that is due was delivered. Raises `Unknown` at the deadline."""
        if not self.provider.settle(deadline_s):
            raise Unknown(f"webhooks were not delivered within {deadline_s:g} s")

    def advance(self, *, days: float, deadline_s: float = _SETTLE_S) -> None:
        """Move its time on: what falls due on the way happens, renewals and retries included."""
        if not self.provider.advance(self.provider.now() + round(days * 86_400), deadline_s):
            raise Unknown(f"{days:g} days were not settled within {deadline_s:g} s")


@pytest.fixture(scope="session")
def stripe_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StripeSimulator]:
    """Run a Stripe simulator, as a process of its own, while the tests run."""
    folder: Path = tmp_path_factory.mktemp("stripe-simulator")
    with contextlib.ExitStack() as undo:
        child, url = simulator_process(folder, seed=0)
        undo.callback(child.stop)
        child.wait_ready(f"{url}/simulator/ready", _READY_S)
        key = f"sk_test_{secrets.token_hex(24)}"
        yield StripeSimulator(url, key, SimulatorProvider(url))


@dataclass(frozen=True, slots=True)
class AssertBooksBalance:
    """What the fixture `assert_books_balance` gives: a call that holds one customer's books."""

    simulator: StripeSimulator
    deadline_s: float = _SETTLE_S

    def __call__(
        self,
        customer: str,
        *,
        payments: Iterable[Mapping[str, Any]] | None = None,
        ledger: Iterable[int] | None = None,
        balance: int | None = None,
    ) -> None:
        """Fail unless what is on the books is what Stripe moved, and the ledger adds up.

        `customer` is Stripe's id. `payments` are your records: `provider_id` (a charge, a payment
        intent or a refund), `amount_minor` (a refund's is negative) and `currency`. `ledger` are
        units given and taken, oldest first, of which `balance` is the sum. Raises
        `AssertionError` with who is out how much, `Unknown` where nothing could be looked at.
        """
        self.simulator.settle(self.deadline_s)
        state = CustomerState(
            customer,
            customer,
            units=balance,
            ledger=_entries(ledger),
            payments=_payments(payments),
        )
        evidence = Evidence(
            (),
            (state,),
            Catalog(currency="usd"),
            journal=self._journal(customer),
            operations=frozenset({"get_balance", "list_ledger", "list_payments"}),
        )
        asked = [check for check in _CHECKS if _asked(check.name, state)]
        verdicts = run_checks(evidence, asked)
        broken = [finding for verdict in verdicts for finding in verdict.findings]
        if broken:
            raise AssertionError("\n".join(map(str, broken)))
        if not verdicts:
            raise Unknown("give `payments`, or `ledger` and `balance`: nothing was looked at")

    def _journal(self, customer: str) -> Journal:
        try:
            return self.simulator.provider.journal(frozenset({customer}))
        except ProviderError as error:
            raise Unknown(error.message) from error


@pytest.fixture
def assert_books_balance(stripe_simulator: StripeSimulator) -> AssertBooksBalance:
    """Give a call that holds a customer's books against the simulator's journal."""
    return AssertBooksBalance(stripe_simulator)


def _asked(check: str, state: CustomerState) -> bool:
    if check == BooksEqualProvider.name:
        return state.payments is not None
    return state.ledger is not None and state.units is not None


def _entries(units: Iterable[int] | None) -> tuple[Entry, ...] | None:
    """Tell units as a ledger, newest first as targets show it."""
    if units is None:
        return None
    return tuple(Entry(entry, None, None, None) for entry in reversed(list(units)))


def _payments(payments: Iterable[Mapping[str, Any]] | None) -> tuple[Payment, ...] | None:
    if payments is None:
        return None
    return tuple(
        Payment(
            amount_minor=payment["amount_minor"],
            currency=payment["currency"],
            provider_id=payment["provider_id"],
            state=payment.get("state"),
            cause=None,
        )
        for payment in payments
    )
