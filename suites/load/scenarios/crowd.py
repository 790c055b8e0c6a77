"""The customers that a load needs, made before it over plain HTTP, several at once, and settled."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import TargetError, Unknown
from harness.timeline import drain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.ground import Ground
    from harness.session import Customer, Session
    from suites.load.ground import LoadGround

    Made = TypeVar("Made")

CARD = "pm_card_visa"
_AT_ONCE = 8
_UNLIMITED = 1_000_000
_SHARE_OF_LIMIT = 0.6  # the rest is for what prepares and what judges
_numbers = itertools.count(1)


def many(ground: LoadGround, count: int, make: Callable[[Session], Made]) -> list[Made]:
    """Make so many of something, each in a session of its own. Raises `TargetError`."""
    made: list[Made] = []

    def one(_: int) -> Made:
        return make(ground.session(f"load/prepare-{next(_numbers)}"))

    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for result in pool.map(one, range(count)):
                made.append(result)
                ground.watcher.progress("preparing", len(made), count)
    except (AssertionError, Unknown) as error:
        raise TargetError(
            f"what the load needs could not be made: {error}",
            hint="Try the operations one by one: billing-harness doctor --target FILE",
        ) from None
    return made


def sign_up(session: Session) -> Customer:
    """Make a customer."""
    session.ok("create_customer", email=session.names.email(), name="Ada", source="direct")
    return session.customers[-1]


def with_card(session: Session) -> Customer:
    """Make a customer whose card pays."""
    customer = sign_up(session)
    if "add_payment_method" in session.target.operations:
        session.ok("add_payment_method", customer=customer, token=CARD, consent=True)
    return customer


def subscriber(session: Session) -> Customer:
    """Make a customer who is subscribed to the plan that plays pro."""
    customer = with_card(session)
    plan = session.target.profile.catalog.plan("pro")
    if plan is None:
        raise TargetError(
            "the catalogue has no plan that plays pro", hint='Say `role = "pro"` of the plan.'
        )
    session.ok("subscribe", customer=customer, plan=plan[0], quantity=1)
    return customer


def without_units(session: Session) -> Customer:
    """Make a customer with a card who has used up every unit, and pays for each one more."""
    customer = with_card(session)
    units = session.ok("get_balance", customer=customer).get("units") or 0
    for _ in range(units):
        usage_id = session.names.new("usage")
        session.ok("record_usage", customer=customer, usage_id=usage_id, quantity=1)
    return customer


def settle(ground: Ground, deadline_s: float) -> None:
    """Let webhooks arrive and background work end. Raises `Unknown` at the deadline."""
    ends_at = time.monotonic() + deadline_s
    session = ground.aside("settle")
    for _ in range(2):  # what was delivered makes work, and work makes deliveries
        left_s = max(1.0, ends_at - time.monotonic())
        if ground.provider is not None and ground.provider.settle(left_s) is False:
            raise Unknown(f"webhooks were not delivered within {deadline_s:g} s")
        drain(session, max(1.0, ends_at - time.monotonic()))


def requests_each(ground: LoadGround) -> int:
    """Give how many requests a load may send with one customer's key, below the target's limit."""
    limit = ground.target.profile.limits.get("api_per_hour")
    return _UNLIMITED if limit is None else max(1, int(limit * _SHARE_OF_LIMIT))


def ids(customers: Sequence[Customer]) -> list[dict[str, Any]]:
    """Give what a plan may hold of customers: everything but their credentials.

    Raises `TargetError` where one stands for two: figures would count them twice.
    """
    made = len({customer.id for customer in customers})
    if made < len(customers):
        raise TargetError(
            f"{len(customers):,} sign-ups made {made:,} customers: some were given the same",
            hint="Each sign-up has an e-mail address of its own; see create_customer's reply.",
        )
    return [{"id": c.id, "provider_customer": c.provider_customer} for c in customers]
