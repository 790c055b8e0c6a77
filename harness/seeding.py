"""Makes the customers of `fixtures/customers.toml` on a fresh target, and reads each back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.customers import differences, load_states, reach_all, why_not
from harness.errors import Unknown

if TYPE_CHECKING:
    from harness.customers import Reached
    from harness.session import Session


def seed_customers(session: Session) -> dict[str, list[str]]:
    """Lead a customer into each state that needs no time to pass; give what differs, by state.

    What a target cannot have is left out. Where a state is not reached, all of them differ. What
    they subscribed to is cancelled afterwards, or it would renew through later stories.
    """
    able = [
        state
        for state in load_states().values()
        if not state.needs_time and why_not(state, session.target, can_move_time=False) is None
    ]
    try:
        reached = reach_all(able, session)
        found = {each.state.key: differences(each, session) for each in reached}
        for each in reached:
            _end(each, session)
    except (AssertionError, Unknown) as error:
        return {state.key: [f"the states were not reached: {error}"] for state in able}
    return found


def _end(reached: Reached, session: Session) -> None:
    if reached.subscription and "cancel_subscription" in session.target.operations:
        session.perform(
            "cancel_subscription",
            customer=reached.customer,
            subscription=reached.subscription,
            at_period_end=False,
        )
