"""Runs a target of these beside a Stripe simulator, as the harness does, for tests of its rules."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from harness.ground import Ground, Plan
from harness.naming import new_run_id
from harness.provider import SimulatorProvider
from harness.running import running
from harness.target.load import find_target
from harness.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.session import Customer, Session

SEED = 7


@contextlib.contextmanager
def standing_on(spec: str) -> Iterator[Ground]:
    """Start a target and its simulator; both end with the block."""
    with running(find_target(spec), SEED) as up:
        ground = Ground(Plan(spec, SEED, new_run_id(), folder="", variables=up.variables))
        with contextlib.closing(ground):
            yield ground


def clock_of(session: Session, ground: Ground) -> Timeline:
    """Give what moves time for the target and the simulator."""
    assert isinstance(ground.provider, SimulatorProvider)
    return Timeline(session, ground.provider)


def with_card(session: Session) -> Customer:
    """Make a customer with a card."""
    session.ok("create_customer", email=session.names.email(), name="Ada", source="direct")
    customer = session.customers[-1]
    session.ok("add_payment_method", customer=customer, token="pm_card_visa", consent=True)
    return customer


def paid_minor(ground: Ground, customer: Customer) -> list[int]:
    """Give what moved at the simulator, in minor units; what was given back is below zero."""
    assert ground.provider is not None
    assert customer.provider_customer is not None
    journal = ground.provider.journal(frozenset({customer.provider_customer}))
    return [moved.amount_minor for moved in journal.movements if moved.state == "succeeded"]
