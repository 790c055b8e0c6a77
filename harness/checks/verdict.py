"""Verdicts of three values, what a check is, and how one is run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from harness.money import spoken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness.checks.evidence import CustomerState, Evidence
    from harness.history import Record

Kind = Literal["valid", "invalid", "unknown", "skipped"]
Need = Literal["units", "ledger", "payments", "journal"]

_MAPPED_BY = {"units": "get_balance", "ledger": "list_ledger", "payments": "list_payments"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach: who is out how much, by which operation.

    `amount_minor` is what the customer is out (negative: the merchant is), where money can be
    named; `units` likewise. `call` is the history's id of the operation.
    """

    message: str
    customer: str | None = None
    operation: str | None = None
    call: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    units: int | None = None
    provider_id: str | None = None
    test: str | None = None

    def __str__(self) -> str:
        """Say it in a line."""
        out = ""
        if self.amount_minor is not None and self.currency:
            out = f" ({spoken(self.amount_minor, self.currency)})"
        return f"{self.customer or 'somebody'}: {self.message}{out}"


@dataclass(frozen=True, slots=True)
class CheckVerdict:
    """What one check says. `skipped` means that there was nothing for it to look at."""

    check: str
    meaning: str
    kind: Kind
    examined: int = 0
    findings: tuple[Finding, ...] = ()
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self)


class Check(Protocol):
    """An invariant: what must hold, and one pure function that looks.

    `name` is stable; `meaning` says the invariant in a sentence; `needs` is the evidence without
    which it cannot look. `check` gives a breach at a time for one customer.
    """

    name: ClassVar[str]
    meaning: ClassVar[str]
    needs: ClassVar[frozenset[Need]]

    def check(self, evidence: Evidence, state: CustomerState) -> Iterator[Finding]:
        """Look at one customer."""
        ...


def run_check(check: Check, evidence: Evidence) -> CheckVerdict:
    """Run one check over all customers; one that crashes is unknown, never valid."""
    gap = _gap(check, evidence)
    if gap:
        return gap
    unreadable = _unreadable(check, evidence.states)
    findings: list[Finding] = []
    try:
        for state in evidence.states:
            findings += check.check(evidence, state)
    except Exception as error:  # noqa: BLE001 - a crash must become a verdict, whatever it is
        return _verdict(check, "unknown", reason=f"the check crashed: {error!r}")
    kind: Kind = "invalid" if findings else "unknown" if unreadable else "valid"
    examined = len(evidence.states)
    return _verdict(check, kind, examined=examined, findings=findings, reason=unreadable)


def _gap(check: Check, evidence: Evidence) -> CheckVerdict | None:
    """Say why a check cannot look at all: a journal missing is a doubt, a feature missing not."""
    if not evidence.states:
        return _verdict(check, "skipped", reason="no customer was made")
    for need in sorted(check.needs):
        operation = _MAPPED_BY.get(need)
        if operation and operation not in evidence.operations:
            return _verdict(check, "skipped", reason=f"the target does not map {operation}")
    if "journal" in check.needs and evidence.journal is None:
        return _verdict(check, "unknown", reason=evidence.journal_gap)
    return None


def _unreadable(check: Check, states: Iterable[CustomerState]) -> str | None:
    for state in states:
        shown = {"units": state.units, "ledger": state.ledger, "payments": state.payments}
        if any(shown.get(need, "") is None for need in check.needs):
            why = "; ".join(state.problems) or "the target left it out"
            return f"the state of {state.customer} could not be read: {why}"
        if "journal" in check.needs and state.provider_customer is None:
            return f"{state.customer} has no id at the payment provider"
    return None


def _verdict(
    check: Check,
    kind: Kind,
    *,
    examined: int = 0,
    findings: list[Finding] | None = None,
    reason: str | None = None,
) -> CheckVerdict:
    return CheckVerdict(check.name, check.meaning, kind, examined, tuple(findings or ()), reason)


def blame(record: Record | None) -> dict[str, Any]:
    """Give the fields of a finding that name the operation behind it."""
    if record is None:
        return {}
    return {"operation": record.operation, "call": record.id, "test": record.test}
