"""The invariants: pure functions over what was seen. One class each; `run_checks` asks them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks.ledger import (
    BalanceEqualsLedger,
    GrantsHaveOneCause,
    InvoicesGrantOnce,
    UsageTakesEffectOnce,
)
from harness.checks.money import BooksEqualProvider, ChargesAreExplained, PurchasesArePaid
from harness.checks.verdict import Check, CheckVerdict, run_check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.checks.evidence import Evidence

CHECKS: tuple[Check, ...] = (
    BalanceEqualsLedger(),
    GrantsHaveOneCause(),
    InvoicesGrantOnce(),
    UsageTakesEffectOnce(),
    BooksEqualProvider(),
    ChargesAreExplained(),
    PurchasesArePaid(),
)


def run_checks(evidence: Evidence, checks: Sequence[Check] = CHECKS) -> list[CheckVerdict]:
    """Run every check over the same evidence."""
    return [run_check(check, evidence) for check in checks]
