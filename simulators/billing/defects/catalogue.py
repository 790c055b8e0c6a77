"""What a defect declares: the mistake, what it breaks, and who ought to find it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulators.billing.defects.overlay import Overlay

Group = Literal[
    "money",
    "idempotency",
    "webhooks",
    "concurrency",
    "authorisation",
    "injection",
    "logging",
    "limits",
    "time",
    "dunning",
    "observability",
    "contract",
    "platform",
]

INVARIANTS: Mapping[int, str] = {
    1: "a fix is charged once, and charged if and only if it is credited",
    2: "a balance is the ledger's sum, never below zero, and every grant has one cause",
    3: "money at Stripe and in the ledger agree once things have settled",
    4: "a refused operation changes neither money nor credits, plan, status or keys",
    5: "an acknowledged webhook is not lost, and one with a bad signature has no effect",
    6: "no customer sees or moves anything of another's, or learns whether it exists",
    7: "no card number, CVV or secret is in a log, database, metric, error, e-mail or report",
    8: "a cancelled subscription does not bill, and an active one does",
    9: "a limit cannot be walked around, and locks nobody out for ever",
    10: "a metric or a header says what happened",
}


@dataclass(frozen=True, slots=True)
class Defect:
    """One mistake.

    `mistake` says in a sentence what the service does wrong; `breaks` numbers the invariant
    (`INVARIANTS`). `found_by` names the checks of `harness.checks`, or the test functions of the
    suites, any of which finds it for the right reason; what else goes wrong is incidental.
    """

    name: str
    group: Group
    mistake: str
    breaks: int
    found_by: tuple[str, ...]
    switch_on: Callable[[Overlay], None]

    @property
    def invariant(self) -> str:
        """Say what it breaks."""
        return INVARIANTS[self.breaks]

    def to_data(self) -> dict[str, object]:
        """Give what it declares as plain data."""
        return {
            "name": self.name,
            "group": self.group,
            "mistake": self.mistake,
            "invariant": self.invariant,
            "found_by": list(self.found_by),
        }


DEFECTS: dict[str, Defect] = {}


def defect(
    name: str, group: Group, *, breaks: int, found_by: tuple[str, ...]
) -> Callable[[Callable[[Overlay], None]], Callable[[Overlay], None]]:
    """Register a function that makes the mistake; its docstring's first sentence says which."""

    def register(switch_on: Callable[[Overlay], None]) -> Callable[[Overlay], None]:
        mistake = (inspect.getdoc(switch_on) or "").split("\n\n")[0].replace("\n", " ")
        if name in DEFECTS or breaks not in INVARIANTS:
            raise ValueError(f"{name} is declared twice, or breaks nothing that is known")
        DEFECTS[name] = Defect(name, group, mistake, breaks, found_by, switch_on)
        return switch_on

    return register
