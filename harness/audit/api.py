"""Books read by the target's own API, as its operator; for targets whose database is out of reach.

Each customer that Stripe knows is asked about, so it takes three requests a customer: by SQL an
audit is faster, and sees customers whom Stripe does not know.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import jmespath

from harness.audit.facts import Booked, Unreadable, Window
from harness.checks.evidence import Payment
from harness.judge import read_state
from harness.session import Customer
from harness.target.wire import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from harness.audit.provider import StripeReader
    from harness.checks.evidence import CustomerState
    from harness.session import Session

_MISSING = 404


class ApiBooks:
    """Books behind list operations. Customers are read once; payments since `since` are kept.

    `path` (JMESPath) finds the target's id of a customer in Stripe's object of him.
    """

    name = "API"

    def __init__(self, session: Session, stripe: StripeReader, path: str, since: int) -> None:
        self._session = session
        self._stripe = stripe
        self._path = path
        self._since = since
        self._known: dict[str, str] = {}
        self._rows: list[Booked] = []
        self._is_whole = False

    def states(self) -> Iterator[CustomerState]:
        """Read each customer, whom Stripe knows, once; what is read of payments is kept."""
        for found in self._stripe.customers():
            own = jmespath.search(self._path, dict(found))
            if isinstance(own, str) and own:
                state = self._read(own, str(found["id"]))
                if state is not None:
                    yield state
        self._rows.sort(key=lambda row: row.at, reverse=True)
        self._is_whole = True

    def payments(self, window: Window) -> Iterator[Booked]:
        """Give the payments of a window, newest first; `states` must have been read before."""
        if not self._is_whole:
            raise Unreadable("not every customer could be asked for")
        return (row for row in self._rows if window.since <= row.at < window.until)

    def named(self, provider_ids: Iterable[str]) -> list[Booked]:
        """Give the payments since the window began with one of these ids of the provider's."""
        wanted = set(provider_ids)
        return [row for row in self._rows if row.payment.provider_id in wanted]

    def customers(self, provider_customers: Iterable[str]) -> Mapping[str, str]:
        """Give the target's customers by the provider's ids."""
        return {name: self._known[name] for name in provider_customers if name in self._known}

    def caused(self, customer: str, causes: Iterable[str]) -> list[Booked]:
        """Give a customer's charges that were made for one of these causes."""
        wanted = set(causes)
        return [row for row in self._rows if row.customer == customer and _is_for(row, wanted)]

    def repeated(self, window: Window) -> Iterator[list[Booked]]:
        """Give charges for one cause of one customer, the last of several in the window."""
        groups: dict[tuple[str, str | None], list[Booked]] = {}
        for row in self._rows:
            if row.payment.cause and row.payment.amount_minor > 0:
                groups.setdefault((row.customer, row.payment.cause), []).append(row)
        for rows in groups.values():
            if len(rows) > 1 and window.since <= rows[0].at < window.until:
                yield rows

    def _read(self, customer: str, provider_customer: str) -> CustomerState | None:
        """Read one customer; None where the target knows none of this id (any more)."""
        session = self._session
        session.records.clear()
        state = read_state(session, Customer(customer, None, provider_customer), is_closed=True)
        reply = session.last_reply
        if state.problems and isinstance(reply, Reply) and reply.status == _MISSING:
            return None
        if state.problems:
            raise Unreadable(f"of {customer}: {'; '.join(state.problems)}")
        self._known[provider_customer] = customer
        for record in session.records:
            if record.operation == "list_payments":
                for item in record.outcome["items"]:
                    self._keep(customer, provider_customer, item)
        return state

    def _keep(self, customer: str, provider_customer: str, item: Mapping[str, Any]) -> None:
        at = _unix(item.get("at"))
        if at is None:
            raise Unreadable("list_payments shows no time: map `at` in its items")
        if at >= self._since and item.get("state") != "failed":
            currency = str(item.get("currency") or self._currency)
            payment = Payment(
                item["amount_minor"],
                currency,
                item.get("provider_id"),
                item.get("state"),
                item.get("cause"),
            )
            self._rows.append(Booked(customer, provider_customer, at, payment))

    @property
    def _currency(self) -> str:
        return self._session.target.profile.catalog.currency


def _is_for(row: Booked, causes: AbstractSet[str]) -> bool:
    return row.payment.amount_minor > 0 and row.payment.cause in causes


def _unix(told: object) -> int | None:
    """Read a time as Unix seconds or as ISO 8601; without a zone it is UTC.

    >>> _unix("2026-01-01T00:00:00Z"), _unix(5), _unix("yesterday")
    (1767225600, 5, None)
    """
    if isinstance(told, int | float) and not isinstance(told, bool):
        return int(told)
    try:
        moment = datetime.fromisoformat(str(told))
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
