"""The table of the ten customers in docs/STAGING.md, from `fixtures/customers.toml`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.customers import load_states
from harness.target.load import find_target

if TYPE_CHECKING:
    from harness.customers import State

_DOMAIN = "test.example.com"
_SUBSCRIBED = {"past_due": "past due", "ending": "end scheduled"}


def ten_customers() -> str:
    """Return each state with its address and what the reference shows of it."""
    catalog = find_target("reference").file.profile.catalog
    head = ["| state | e-mail | plan | subscription | card | credits |", "| --- " * 6 + "|"]
    rows = [
        f"{_row(name, state)} {state.units_due(catalog)} |" for name, state in load_states().items()
    ]
    return "\n".join([*head, *rows])


def _row(name: str, state: State) -> str:
    subscription = _SUBSCRIBED.get(state.subscription, state.subscription)
    cells = (
        f"`{name}`",
        f"`{state.email}@{_DOMAIN}`",
        state.plan,
        subscription,
        state.billing,
    )
    return f"| {' | '.join(cells)} |"
