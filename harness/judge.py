"""Judges what customers went through: lets things settle, reads the end, runs the checks."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.checks import CHECKS, run_checks
from harness.checks.evidence import CustomerState, Entry, Evidence, Payment
from harness.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.checks.verdict import Check, CheckVerdict
    from harness.history import Record
    from harness.provider import Journal, Provider
    from harness.session import Customer, Session
    from harness.target.protocol import Role

_PAUSE_FIRST_S = 0.05
_PAUSE_MAX_S = 0.5


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges customers over a session that reads their end.

    The reading session keeps a history of its own: looking is no part of what is judged.
    `deadline_s` bounds how long books may take to agree where the target has no drain; so many
    `readers` read at once.
    """

    session: Session
    provider: Provider | None
    deadline_s: float
    checks: Sequence[Check] = CHECKS
    readers: int = 1
    monotonic: Callable[[], float] = time.monotonic
    wait: Callable[[float], None] = time.sleep

    def judge(self, customers: Sequence[Customer], history: Sequence[Record]) -> list[CheckVerdict]:
        """Give each check's verdict. A breach counts once nothing is left that could mend it."""
        return self.look(customers, history)[1]

    def look(
        self, customers: Sequence[Customer], history: Sequence[Record]
    ) -> tuple[Evidence, list[CheckVerdict]]:
        """Give what was read in the end, and each check's verdict on it."""
        ends_at = self.monotonic() + self.deadline_s
        pause_s = _PAUSE_FIRST_S
        while True:
            settled = self._settle(ends_at)
            evidence = self._evidence(customers, history)
            verdicts = run_checks(evidence, self.checks)
            late = self.monotonic() >= ends_at
            breached = any(verdict.kind == "invalid" for verdict in verdicts)
            # Where nobody can tell, books that agree are taken for settled.
            if settled or late or (settled is None and not breached):
                doubtful = settled is False
                return evidence, [_doubted(v) for v in verdicts] if doubtful else verdicts
            self.wait(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)

    def _states(
        self, customers: Sequence[Customer], closed: frozenset[str | None]
    ) -> tuple[CustomerState, ...]:
        def read(customer: Customer) -> CustomerState:
            return read_state(self.session, customer, is_closed=customer.id in closed)

        if self.readers == 1:
            return tuple(map(read, customers))
        with ThreadPoolExecutor(self.readers) as pool:
            return tuple(pool.map(read, customers))

    def _settle(self, ends_at: float) -> bool | None:
        """Let webhooks and background work end: True, False, or None where nobody can tell."""
        left_s = max(0.5, ends_at - self.monotonic())
        delivered = self._deliver(left_s)
        if "drain" not in self.session.target.operations:
            return None
        outcome = self.session.perform("drain", deadline_s=left_s)
        drained = outcome.kind == "ok" and outcome.get("settled") is True
        # Background work may have caused new webhooks, which must not count as lost.
        return drained and delivered is not False and self._deliver(left_s) is not False

    def _deliver(self, left_s: float) -> bool | None:
        try:
            return self.provider.settle(left_s) if self.provider else None
        except ProviderError:
            return False

    def _evidence(self, customers: Sequence[Customer], history: Sequence[Record]) -> Evidence:
        profile = self.session.target.profile
        evidence = Evidence(
            history=tuple(history),
            states=self._states(customers, _closed(history)),
            catalog=profile.catalog,
            operations=self.session.target.operations,
        )
        if self.provider is None:
            return evidence
        ids = frozenset(c.provider_customer for c in customers if c.provider_customer)
        journal, gap = _journal(self.provider, ids)
        return replace(evidence, journal=journal, journal_gap=gap)


def _closed(history: Sequence[Record]) -> frozenset[str | None]:
    """Give the customers whose account was closed."""
    return frozenset(
        record.customer
        for record in history
        if record.operation == "close_customer" and record.outcome.kind == "ok"
    )


def _journal(provider: Provider, ids: frozenset[str]) -> tuple[Journal | None, str]:
    try:
        return provider.journal(ids), ""
    except ProviderError as error:
        return None, error.message


def _doubted(verdict: CheckVerdict) -> CheckVerdict:
    """Turn a verdict into a doubt: work under way may yet mend the books, or break them."""
    if verdict.kind not in {"valid", "invalid"}:
        return verdict
    reason = "webhooks or background work had not ended by the deadline"
    return replace(verdict, kind="unknown", reason=reason)


def read_state(session: Session, customer: Customer, *, is_closed: bool = False) -> CustomerState:
    """Read what the target shows of a customer; what it does not map stays None.

    A closed account's own credential opens nothing any more: showing it would only be counted as
    a wrong key, of which a target takes few. Whose credential nobody kept is read by the operator.
    """
    problems: list[str] = []
    can_operate = "operator" in session.target.profile.auth

    def ask(operation: str) -> Any:
        if operation not in session.target.operations:
            return None
        keyless = is_closed or customer.credential is None
        role: Role = "operator" if keyless and can_operate else "customer"
        outcome = session.perform(operation, customer=customer, role=role)
        if outcome.kind == "refused" and can_operate and role == "customer":
            outcome = session.perform(operation, customer=customer, role="operator")
        if outcome.kind != "ok":
            problems.append(f"{operation} was {outcome}")
            return None
        return outcome

    currency = session.target.profile.catalog.currency
    balance, ledger, payments = ask("get_balance"), ask("list_ledger"), ask("list_payments")
    return CustomerState(
        customer=customer.id,
        provider_customer=customer.provider_customer,
        units=_units(balance.get("units"), problems) if balance else None,
        ledger=_entries(ledger["items"], problems) if ledger else None,
        payments=_payments(payments["items"], currency, problems) if payments else None,
        problems=tuple(problems),
    )


def _units(shown: object, problems: list[str]) -> int | None:
    if shown is None or (isinstance(shown, int) and not isinstance(shown, bool)):
        return shown
    problems.append(f"get_balance shows {shown!r}, where a whole number of units is due")
    return None


def _entries(items: list[dict[str, Any]], problems: list[str]) -> tuple[Entry, ...] | None:
    if any(not isinstance(item.get("units"), int) for item in items):
        problems.append("list_ledger shows an entry without a whole number of units")
        return None
    return tuple(
        Entry(item["units"], item.get("balance_after"), item.get("source"), item.get("cause"))
        for item in items
    )


def _payments(
    items: list[dict[str, Any]], currency: str, problems: list[str]
) -> tuple[Payment, ...] | None:
    if any(not isinstance(item.get("amount_minor"), int) for item in items):
        problems.append("list_payments shows a payment without an amount")
        return None
    return tuple(
        Payment(
            amount_minor=item["amount_minor"],
            currency=str(item.get("currency") or currency),
            provider_id=item.get("provider_id"),
            state=item.get("state"),
            cause=item.get("cause"),
        )
        for item in items
    )
