"""Makes the customers of `fixtures/customers.toml` on a fresh target, and reads each back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.customers import differences, load_states, reach_all, why_not
from harness.errors import Unknown

if TYPE_CHECKING:
    from harness.session import Session


def seed_customers(session: Session) -> dict[str, list[str]]:
    """Lead a customer into each state that needs no time to pass; give what differs, by state.

    What a target cannot have is left out. Where a state is not reached, all of them differ.
    """
    able = [
        state
        for state in load_states().values()
        if not state.needs_time and why_not(state, session.target, can_move_time=False) is None
    ]
    try:
        return {r.state.key: differences(r, session) for r in reach_all(able, session)}
    except (AssertionError, Unknown) as error:
        return {state.key: [f"the states were not reached: {error}"] for state in able}
