"""The queries by which books are read: the reference's own, or a profile's for any other schema.

Each query gives columns by these names; `at` is in Unix seconds, `place` orders a customer's
ledger, and refunds are negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import SettingsError

if TYPE_CHECKING:
    from harness.target.profile import Audit

COLUMNS = {
    "payments": ("customer", "provider_id", "amount_minor", "currency", "at"),
    "ledger": ("customer", "units", "balance_after", "place"),
    "balances": ("customer", "units"),
    "customers": ("customer", "provider_customer"),
}


@dataclass(frozen=True, slots=True)
class Queries:
    """Four queries. Without `ledger` no balance is checked; without `balances` the last entry's."""

    payments: str
    customers: str
    ledger: str | None = None
    balances: str | None = None


REFERENCE = Queries(
    payments=(
        "SELECT p.customer_id AS customer, c.stripe_customer_id AS provider_customer,"
        " p.stripe_id AS provider_id, p.amount_minor AS amount_minor, p.currency AS currency,"
        " p.cause AS cause, p.created_at AS at"
        " FROM payments p JOIN customers c ON c.id = p.customer_id"
    ),
    customers="SELECT id AS customer, stripe_customer_id AS provider_customer FROM customers",
    ledger=(
        "SELECT customer_id AS customer, amount AS units, balance_after, source, cause,"
        " sequence AS place FROM credit_transactions"
    ),
)


def queries_of(section: Audit) -> Queries:
    """Give the queries that a profile asks for. Raises `SettingsError` where it has none."""
    if section.tables == "reference":
        return REFERENCE
    if section.payments is None or section.customers is None:
        raise SettingsError(
            "[audit] does not say how payments and customers are read from the database",
            hint='Give `payments` and `customers` as SQL (docs/AUDIT.md), or tables = "reference".',
        )
    return Queries(section.payments, section.customers, section.ledger, section.balances)
