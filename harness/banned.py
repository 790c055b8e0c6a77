"""Whether a target still lets in who has tried odd things, so that refusals prove something.

A guard in front of a service may shut an address out after a few odd requests, by 403, 429, a reset
or endless waiting. From then on everything is refused, and tests that expect a refusal pass without
having tried anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import Unknown
from harness.ground import Ground
from harness.session import Session

if TYPE_CHECKING:
    import pytest

    from harness.session import Customer

_READS = ("get_customer", "get_balance", "list_ledger", "list_payments")
# A test of limits is meant to be shut out.
_LIMITS = "BH-9"


def still_let_in(item: pytest.Function) -> None:
    """Raise `Unknown` where a known-good request from a test's address is no longer accepted.

    It is made by the run's own customer, whom no test touches, after the test did what it did.
    """
    used = item.funcargs
    session, ground = used.get("billing"), used.get("ground")
    named = [name for marker in item.iter_markers("requirement") for name in marker.args]
    if not (isinstance(session, Session) and isinstance(ground, Ground)) or _LIMITS in named:
        return
    read = next((name for name in _READS if name in ground.target.operations), None)
    if read is None or not any(record.exchanges for record in session.records):
        return
    customer = _own_customer(ground)
    if customer is None:
        return
    session.patient = False
    if (outcome := session.perform(read, customer=customer)).kind != "ok":
        accepted = [record for record in session.records if record.outcome.kind == "ok"]
        last = f"{accepted[-1].operation} [{accepted[-1].id}]" if accepted else "nothing"
        raise Unknown(
            f"the target has shut this address out: a good {read} was {outcome};"
            f" it last accepted {last}, and what it refused from then on proves nothing"
        )
    session.records.pop()  # or a finding would name this request as the last that led to it


def _own_customer(ground: Ground) -> Customer | None:
    """Make the run's own customer, once in each process, from the run's own address."""
    if ground.own_customer is None and "create_customer" in ground.target.operations:
        made = ground.aside("known good")
        made.perform("create_customer", email=made.names.email(), name="Own", source="direct")
        ground.own_customer = made.customers[0] if made.customers else None
    return ground.own_customer
