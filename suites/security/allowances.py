"""Requests of one kind, sent until no more of them pass; the numbers are the profile's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest

from harness.target.wire import Reply
from suites.security.tenants import nobodys, stranger

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.session import Customer, Session
    from harness.target.protocol import Outcome
    from suites.security.tampering import Alter

TOO_MANY = 429  # RFC 6585, section 4
AT_ONCE = 8
MOST_TRIED = 2000
HOUR_S = 3600
READS = ("get_customer", "get_balance", "list_payment_methods", "list_ledger", "list_payments")


@dataclass(frozen=True, slots=True)
class Limited:
    """Requests of one kind, of which so many pass in an hour, and how one more is sent."""

    billing: Session
    limit: int
    send: Callable[..., Outcome]

    def status(self, alter: Alter | None = None) -> int:
        """Send one more request and give the status of its answer."""
        self.send(alter=alter)
        return status_of(self.billing.last_reply)

    def burst(self, count: int) -> list[int]:
        """Send so many, several at once, and give the status of each answer."""
        begun = len(self.billing.records)

        def some(count: int) -> Outcome:
            outcomes = [self.send() for _ in range(count)]
            return outcomes[-1]

        shares = [count // AT_ONCE + (number < count % AT_ONCE) for number in range(AT_ONCE)]
        self.billing.together([partial(some, share) for share in shares if share])
        records = self.billing.records[begun:]
        return [status_of(record.exchanges[-1].reply) for record in records]

    def exhaust(self) -> None:
        """Send as many as pass; the next one must be refused."""
        self.burst(self.limit)
        status = self.status()
        assert status == TOO_MANY, (
            f"after {self.limit} requests, as many as the profile states for an hour, one more"
            f" was answered {status} and not {TOO_MANY}"
        )


def status_of(reply: object) -> int:
    """Give the status of an answer, 0 where none came."""
    return reply.status if isinstance(reply, Reply) else 0


def limit_of(billing: Session, name: str) -> int:
    """Give a limit of the profile's; skip where it states none, or one too high to be tried."""
    limit = billing.target.profile.limits.get(name)
    if limit is None:
        pytest.skip(f"the profile states no limit {name}")
    if limit > MOST_TRIED:
        pytest.skip(f"{name} is {limit}: more requests than a test sends")
    return limit


def a_read(billing: Session) -> str:
    """Name something that a customer may read."""
    found = [name for name in READS if name in billing.target.operations]
    return found[0] if found else pytest.skip("the target maps nothing that a customer may read")


def requests_of(billing: Session, customer: Customer, credential: str | None = None) -> Limited:
    """Give the requests of one customer, by one of their keys."""
    send = partial(
        billing.perform,
        a_read(billing),
        customer=customer,
        credential=credential or customer.credential,
    )
    return Limited(billing, limit_of(billing, "api_per_hour"), send)


def wrong_keys_of(billing: Session) -> Limited:
    """Give requests with a key that opens nothing."""
    limit = limit_of(billing, "failed_authentications_per_hour")
    customer = stranger(billing)
    wrong = nobodys(customer.credential or "")
    send = partial(billing.perform, a_read(billing), customer=customer, credential=wrong)
    return Limited(billing, limit, send)
