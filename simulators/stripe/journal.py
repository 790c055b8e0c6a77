"""The journal: an append-only record of every attempt to move money.

It is written when money moves and never looks at the objects again, so it also tells the truth
where an object was changed later. A second record under the same id (a payment that was
pending and then succeeded) supersedes the first in what is shown; both stay on record.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["succeeded", "failed", "pending"]


@dataclass(frozen=True)
class Entry:
    """One movement. `amount_minor` is positive from the customer to the merchant."""

    id: str
    type: Literal["charge", "refund", "dispute"]
    provider_id: str
    payment_intent: str | None
    invoice: str | None
    customer: str | None
    amount_minor: int
    currency: str
    state: State
    failure_code: str | None
    at: int
    idempotency_key: str | None
    request_id: str | None
    metadata: dict[str, str]
    description: str | None
    billing_reason: str | None = None


class Journal:
    """The records, in order."""

    def __init__(self) -> None:
        self.records: list[Entry] = []

    def append(self, entry: Entry) -> None:
        """Put a movement on record."""
        self.records.append(entry)

    def withdraw(self, entry: Entry) -> None:
        """Take back the newest record: the request that made it was undone as a whole."""
        assert self.records.pop() is entry  # noqa: S101 - undone in reverse order

    def as_json(self, **wanted: str) -> dict[str, Any]:
        """Return entries and balances by currency: all, or those with these values in fields."""
        latest = {entry.id: entry for entry in self.records}
        shown = [
            entry
            for entry in latest.values()
            if all(getattr(entry, name) == value for name, value in wanted.items())
        ]
        balances: Counter[str] = Counter()
        for entry in shown:
            if entry.state == "succeeded":
                balances[entry.currency] += entry.amount_minor
        return {"entries": [asdict(entry) for entry in shown], "balances": dict(balances)}
