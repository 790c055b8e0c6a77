"""What a judgement rests on: history, journal, and the state that the target showed at the end."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.history import Record
    from harness.provider import Journal, Movement
    from harness.target.profile import Catalog


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a customer's ledger, as the target shows it."""

    units: int
    balance_after: int | None
    source: str | None
    cause: str | None


@dataclass(frozen=True, slots=True)
class Payment:
    """A line of a customer's payments, as the target shows it; refunds are negative."""

    amount_minor: int
    currency: str
    provider_id: str | None
    state: str | None
    cause: str | None


@dataclass(frozen=True, slots=True)
class CustomerState:
    """A customer at the end. None: the target does not show it; `problems`: it should have."""

    customer: str
    provider_customer: str | None
    units: int | None = None
    ledger: tuple[Entry, ...] | None = None
    payments: tuple[Payment, ...] | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a check may look at. `journal_gap` says why there is no journal."""

    history: tuple[Record, ...]
    states: tuple[CustomerState, ...]
    catalog: Catalog
    journal: Journal | None = None
    journal_gap: str = "the profile names no [payment_provider]"
    operations: frozenset[str] = field(default_factory=frozenset)
    _places: dict[tuple[str, str | None], list[int]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    _named: dict[str, list[Record]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        """Sort the history by customer once: a load has ten thousand of them."""
        for place, record in enumerate(self.history):
            self._places.setdefault((record.operation, record.customer), []).append(place)
            self._named.setdefault(record.operation, []).append(record)

    def records(self, customer: str, *operations: str) -> list[Record]:
        """Give a customer's operations of these names, in the order in which they began."""
        places = (self._places.get((operation, customer), ()) for operation in operations)
        return [self.history[place] for place in sorted(itertools.chain(*places))]

    def everybodys(self, operation: str) -> list[Record]:
        """Give all operations of a name, whoever's they were."""
        return self._named.get(operation, [])

    def usages(self, customer: str) -> Mapping[str, list[Record]]:
        """Give a customer's recorded usage by usage id: one id may have been told several times."""
        found: dict[str, list[Record]] = {}
        for record in self.records(customer, "record_usage"):
            found.setdefault(str(record.inputs["usage_id"]), []).append(record)
        return found

    def charges(self, state: CustomerState, *, invoiced: bool) -> list[Movement]:
        """Give the charges that succeeded at the provider: those of invoices, or the others."""
        if self.journal is None or state.provider_customer is None:
            return []
        return [
            movement
            for movement in self.journal.of(state.provider_customer)
            if movement.type == "charge"
            and movement.state == "succeeded"
            and (movement.invoice is not None) == invoiced
        ]

    @property
    def unit_worth_minor(self) -> int | None:
        """What one unit costs to buy: how differences in units are told as money."""
        prices = [plan.overage_minor for plan in self.catalog.plans.values() if plan.overage_minor]
        return max(prices, default=None)


def may_have_happened(records: list[Record]) -> bool:
    """Whether any of these operations succeeded or may have."""
    return any(record.outcome.kind != "refused" for record in records)


def happened(records: list[Record]) -> bool:
    """Whether any of these operations certainly succeeded."""
    return any(record.outcome.kind == "ok" for record in records)


def quantity_of(record: Record) -> int:
    """Give how many an operation was for; one, where it said none, or what is no number (a fuzzer).

    >>> from types import SimpleNamespace
    >>> said = (3, "2", None, ["x"], "many")
    >>> [quantity_of(SimpleNamespace(inputs={"quantity": each})) for each in said]
    [3, 2, 1, 1, 1]
    """
    try:
        return int(record.inputs.get("quantity") or 1)
    except (TypeError, ValueError):
        return 1
