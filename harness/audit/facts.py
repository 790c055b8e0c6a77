"""What an audit is asked, what it reads, and what it says."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from harness.money import spoken
from harness.report.results import EXIT_INVALID, EXIT_UNKNOWN, EXIT_VALID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from harness.checks.evidence import CustomerState, Payment

Kind = Literal[
    "charge_without_payment",
    "payment_without_charge",
    "wrong_amount",
    "wrong_currency",
    "missing_refund",
    "missing_reinstatement",
    "wrong_balance",
    "double_charge",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
LISTED_MAX = 1000
"""So many findings are listed; the sums count all of them."""


@dataclass(frozen=True, slots=True)
class Window:
    """From when to when, in Unix seconds; the end itself is outside."""

    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Booked:
    """A row of the target's payments: whose, when in Unix seconds, and what."""

    customer: str
    provider_customer: str | None
    at: int
    payment: Payment


@dataclass(frozen=True, slots=True)
class Found:
    """One difference. A positive amount is what the customer is out, a negative the merchant."""

    kind: Kind
    message: str
    customer: str | None
    provider_customer: str | None
    provider_id: str | None
    amount_minor: int | None
    currency: str | None
    units: int | None = None

    def __str__(self) -> str:
        """Say who is out how much, by what."""
        who = self.provider_customer or self.customer or "somebody"
        named = f"{who} ({self.customer})" if self.customer not in {None, who} else who
        by = f" by {self.provider_id}" if self.provider_id else ""
        if self.amount_minor is None or not self.currency:
            return f"{named}{by}: {self.message}"
        out = spoken(abs(self.amount_minor), self.currency)
        if self.amount_minor < 0:
            return f"the merchant is out {out}{by} of {named}: {self.message}"
        return f"{named} is out {out}{by}: {self.message}"


@dataclass(frozen=True, slots=True)
class Gap:
    """What could not be read, and why; with it nothing is proven."""

    what: str
    reason: str


class Books(Protocol):
    """The target's own record, read only. Every method raises `Unreadable`."""

    name: str

    def payments(self, window: Window) -> Iterator[Booked]:
        """Give the payments of a window, newest first."""
        ...

    def named(self, provider_ids: Iterable[str]) -> list[Booked]:
        """Give the payments, of whichever time, with one of these ids of the provider's."""
        ...

    def customers(self, provider_customers: Iterable[str]) -> Mapping[str, str]:
        """Give the target's customers by the provider's ids; without those it does not know."""
        ...

    def caused(self, customer: str, causes: Iterable[str]) -> list[Booked]:
        """Give a customer's charges that were made for one of these causes."""
        ...

    def repeated(self, window: Window) -> Iterator[list[Booked]]:
        """Give charges for one cause of one customer, the last of several in the window."""
        ...

    def states(self) -> Iterator[CustomerState]:
        """Give each customer's ledger with the balance that is shown."""
        ...


class Unreadable(Exception):
    """Something could not be read; the text says what and why, and holds no secret."""


@dataclass
class Audited:
    """What an audit found. `strangers` are charges of customers that the books do not know."""

    target: str
    window: Window
    books: str
    currency: str
    findings: list[Found] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    looked_at: Counter[str] = field(default_factory=Counter)
    strangers: Counter[str] = field(default_factory=Counter)
    counts: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    amounts: Counter[tuple[Kind, str]] = field(default_factory=Counter)

    def add(self, found: Found) -> None:
        """Count a finding, and list it while the list is short."""
        if len(self.findings) < LISTED_MAX:
            self.findings.append(found)
        key = (found.kind, found.currency or "")
        self.counts[key] += 1
        self.amounts[key] += abs(found.amount_minor or 0)

    @property
    def verdict(self) -> str:
        """Say valid, invalid or unknown; nothing looked at proves nothing."""
        if self.counts:
            return "invalid"
        seen = sum(count for what, count in self.looked_at.items() if what != "customers")
        return "unknown" if self.gaps or not seen else "valid"

    @property
    def exit_status(self) -> int:
        """Give the exit status that says the same."""
        return {"valid": EXIT_VALID, "invalid": EXIT_INVALID}.get(self.verdict, EXIT_UNKNOWN)

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {
            "verdict": self.verdict,
            "exit_status": self.exit_status,
            "target": self.target,
            "books": self.books,
            **asdict(self.window),
            "looked_at": dict(self.looked_at),
            "sums": [
                {"kind": kind, "currency": currency, "count": count,
                 "amount_minor": self.amounts[kind, currency]}
                for (kind, currency), count in sorted(self.counts.items())
            ],
            "findings": [{**asdict(found), "told": str(found)} for found in self.findings],
            "unread": [asdict(gap) for gap in self.gaps],
            "strangers": dict(self.strangers),
        }  # fmt: skip
