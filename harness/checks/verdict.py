"""Verdicts of three values, what a check is, and how one is run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from harness.money import spoken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.checks.evidence import CustomerState, Evidence
    from harness.history import Record

Kind = Literal["valid", "invalid", "unknown", "skipped"]
Need = Literal["units", "ledger", "sources", "payments", "provider_ids", "journal"]

_MAPPED_BY = {"units": "get_balance", "ledger": "list_ledger", "payments": "list_payments"}
_SPOKEN = {
    "units": "a balance in units",
    "ledger": "a ledger",
    "sources": "where units come from",
    "payments": "payments",
    "provider_ids": "the payment provider's ids of payments",
}


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
    """What one check says. `skipped` means that there was nothing for it to look at.

    `examined` counts customers, `facts` what was looked at among them: entries, charges, invoices.
    """

    check: str
    meaning: str
    kind: Kind
    examined: int = 0
    findings: tuple[Finding, ...] = ()
    reason: str | None = None
    facts: int = 0

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self)


class Check(Protocol):
    """An invariant: what must hold, and one pure function that looks.

    `name` is stable; `meaning` says the invariant in a sentence; `needs` is the evidence without
    which it cannot look. `check` gives a breach at a time for one customer; `facts` counts what
    there is to look at, for a check that found nothing to look at has proven nothing.
    """

    name: ClassVar[str]
    meaning: ClassVar[str]
    needs: ClassVar[frozenset[Need]]

    def check(self, evidence: Evidence, state: CustomerState) -> Iterator[Finding]:
        """Look at one customer."""
        ...

    def facts(self, evidence: Evidence, state: CustomerState) -> int:
        """Count what there is to look at."""
        ...


def run_check(check: Check, evidence: Evidence) -> CheckVerdict:
    """Run one check over all customers; one that crashes is unknown, never valid."""
    gap = _gap(check, evidence)
    if gap:
        return gap
    findings: list[Finding] = []
    doubts: list[str] = []
    facts = 0
    try:
        for state in evidence.states:
            doubt = _doubt(check, state)
            if doubt:
                doubts.append(doubt)
            else:
                findings += check.check(evidence, state)
                facts += check.facts(evidence, state)
    except Exception as error:  # noqa: BLE001 - a crash must become a verdict, whatever it is
        return _verdict(check, "unknown", reason=f"the check crashed: {error!r}")
    if not (facts or findings or doubts):
        return _verdict(check, "skipped", reason="there was nothing to look at")
    kind: Kind = "invalid" if findings else "unknown" if doubts else "valid"
    verdict = _verdict(check, kind, findings=findings, reason=doubts[0] if doubts else None)
    return replace(verdict, examined=len(evidence.states) - len(doubts), facts=facts)


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
    for need in sorted(check.needs - {"journal"}):
        shown = [_shown(state)[need] for state in evidence.states]
        troubled = any(state.problems for state in evidence.states)
        if None in shown and not any(shown) and not troubled:
            return _verdict(check, "skipped", reason=f"the target does not show {_SPOKEN[need]}")
    return None


def _doubt(check: Check, state: CustomerState) -> str | None:
    """Say why a customer cannot be looked at, where that is so."""
    shown = _shown(state)
    for need in sorted(check.needs - {"journal"}):
        if shown[need] is None:
            why = "; ".join(state.problems) or f"the target left out {_SPOKEN[need]}"
            return f"the state of {state.customer} could not be read: {why}"
    if "journal" in check.needs and state.provider_customer is None:
        return f"{state.customer} has no id at the payment provider"
    return None


def _shown(state: CustomerState) -> dict[str, bool | None]:
    """Tell of each need whether it is shown; False: there was nothing to show, None: it is not."""
    ledger, payments = state.ledger, state.payments
    return {
        "units": None if state.units is None else True,
        "ledger": None if ledger is None else True,
        "sources": None if ledger is None else _named([entry.source for entry in ledger]),
        "payments": None if payments is None else True,
        "provider_ids": None
        if payments is None
        else _named([payment.provider_id for payment in payments]),
    }


def _named(names: list[str | None]) -> bool | None:
    return False if not names else True if any(names) else None


def _verdict(
    check: Check,
    kind: Kind,
    *,
    findings: list[Finding] | None = None,
    reason: str | None = None,
) -> CheckVerdict:
    found = tuple(findings or ())
    return CheckVerdict(check.name, check.meaning, kind, findings=found, reason=reason)


def blame(record: Record | None) -> dict[str, Any]:
    """Give the fields of a finding that name the operation behind it."""
    if record is None:
        return {}
    return {"operation": record.operation, "call": record.id, "test": record.test}
