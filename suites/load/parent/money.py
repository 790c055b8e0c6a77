"""After the load: was the money right? Every request is matched with books and journal.

The harness's own checks judge the merged histories of all load processes; what they lack is here:
one ledger entry for one request, and sums over everybody.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, ClassVar

from harness.checks import CHECKS
from harness.checks.evidence import happened
from harness.checks.ledger import units_finding
from harness.checks.money import usage_behind
from harness.checks.verdict import Finding
from harness.errors import HarnessError, Unknown
from harness.history import read_histories
from harness.money import spoken
from harness.operations import OPERATIONS
from harness.session import Customer
from harness.target.wire import Reply
from suites.load.scenarios.crowd import settle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from harness.checks.evidence import CustomerState, Evidence
    from harness.checks.verdict import CheckVerdict, Need
    from harness.ground import Ground
    from harness.history import Record

FINDINGS_MAX = 50
TOLD_AGAIN_MAX = 500
_READERS = 4
_TOO_MANY = 429  # RFC 6585, section 4
_SOURCES = ("consumed", "purchased")


class RequestsMatchOnce:
    """One request, one ledger entry of a kind, one journal line; whatever its client was told."""

    name: ClassVar[str] = "requests_match_once"
    meaning: ClassVar[str] = (
        "Every request, answered, failed or unknown, is matched with at most one entry of the"
        " ledger and one line of the payment provider's journal."
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"ledger", "sources", "journal"})

    def facts(self, evidence: Evidence, state: CustomerState) -> int:
        """Count the usages that were told."""
        return len(evidence.usages(state.customer))

    def check(self, evidence: Evidence, state: CustomerState) -> Iterator[Finding]:
        """Look at one customer."""
        usages = evidence.usages(state.customer)
        seen: set[tuple[str | None, str | None]] = set()
        for entry in state.ledger or ():
            key = (entry.source, entry.cause)
            if entry.cause and entry.source in _SOURCES and key in seen:
                told = usages.get(entry.cause)
                message = f"{entry.source} of {entry.units:+d} stands again for {entry.cause}"
                record = told[-1] if told else None
                yield units_finding(evidence, state, -entry.units, message, record)
            seen.add(key)


def sums(evidence: Evidence) -> tuple[dict[str, int], list[Finding]]:
    """Add everybody's books up, and tell where two sums that must agree do not.

    Units: balances against ledgers. Money in minor units: payments against the journal.
    """
    shown = [state for state in evidence.states if state.ledger is not None]
    added = {
        "ledger_entries": sum(len(state.ledger or ()) for state in shown),
        "ledger_units": sum(entry.units for state in shown for entry in state.ledger or ()),
        "balance_units": sum(state.units or 0 for state in shown if state.units is not None),
    }
    found = []
    whole = all(state.units is not None for state in shown)
    if shown and whole and added["ledger_units"] != added["balance_units"]:
        told = f"{added['balance_units']} in all balances, {added['ledger_units']} in all ledgers"
        found.append(Finding(f"units do not add up: {told}"))
    if evidence.journal is not None:
        moved = [m for m in evidence.journal.movements if m.state == "succeeded"]
        added |= {"journal_lines": len(moved), "moved_minor": sum(m.amount_minor for m in moved)}
        books = [state.payments for state in evidence.states]
        if books and None not in books:
            booked = sum(p.amount_minor for own in books for p in own or () if p.state != "failed")
            added["booked_minor"] = booked
            if booked != added["moved_minor"]:
                found.append(_unbooked(added["moved_minor"], booked, evidence))
    return added, found


def _unbooked(moved_minor: int, booked_minor: int, evidence: Evidence) -> Finding:
    currency = evidence.catalog.currency
    told = f"{spoken(moved_minor, currency)} moved, {spoken(booked_minor, currency)} booked"
    return Finding(f"money does not add up over all customers: {told}")


def matched(evidence: Evidence) -> dict[str, int]:
    """Count the requests that could have an effect, by what the client knew, and what they did.

    `unknown_happened` and `unknown_nothing` are those without a sure answer that the books show,
    and do not. A usage told again is one request with its first.
    """
    states = {state.customer: state for state in evidence.states}
    counts = dict.fromkeys(
        ("requests", "answered", "refused", "unknown", "unknown_happened", "unknown_nothing"), 0
    )
    for record in evidence.history:
        known = OPERATIONS.get(record.operation)
        if known is None or known.reads:
            continue
        counts["requests"] += 1
        kind = record.outcome.kind
        counts[{"ok": "answered", "refused": "refused"}.get(kind, "unknown")] += 1
    for state in states.values():
        entries = {entry.cause for entry in state.ledger or () if entry.source == "consumed"}
        for usage_id, told in evidence.usages(state.customer).items():
            if not happened(told) and any(r.outcome.kind != "refused" for r in told):
                done = usage_id in entries or _charged(evidence, state, usage_id)
                counts["unknown_happened" if done else "unknown_nothing"] += 1
    return counts


def _charged(evidence: Evidence, state: CustomerState, usage_id: str) -> bool:
    usages = evidence.usages(state.customer)
    charges = evidence.charges(state, invoiced=False)
    return any(usage_behind(charge, state, usages) == usage_id for charge in charges)


def judge_money(
    ground: Ground, folder: Path, prepared: Sequence[Customer], *, deadline_s: float
) -> dict[str, Any]:
    """Let everything settle, read every customer's books, and give what `Result.money` tells.

    Never raises for what the target does: whatever keeps the books from being read is a doubt.
    """
    began = time.monotonic()
    try:
        told = _judge(ground, folder, prepared, deadline_s)
    except (HarnessError, Unknown, OSError) as error:
        told = _unknown(f"the books could not be judged: {error}")
    return told | {"judged_in_s": round(time.monotonic() - began, 3)}


def _judge(
    ground: Ground, folder: Path, prepared: Sequence[Customer], deadline_s: float
) -> dict[str, Any]:
    doubts = []
    history = read_histories(sorted(folder.glob("history-*.jsonl")))
    found, lost = _asked_again(ground, history)
    doubts += [lost] if lost else []
    customers = everybody(history, [*prepared, *found])
    if not customers:
        return {"verdict": "skipped", "reasons": ["no customer was made"], **_nothing()}
    try:
        settle(ground, deadline_s)
    except (HarnessError, Unknown) as error:
        doubts.append(str(error))
    checks = (*CHECKS, RequestsMatchOnce())
    judge = replace(ground.judge(), deadline_s=deadline_s, checks=checks, readers=_READERS)
    evidence, verdicts = judge.look(customers, history)
    doubts += _doubts_of(verdicts)
    added, unequal = sums(evidence)
    findings = [*_findings(verdicts), *(_told("sums", finding) for finding in unequal)]
    surely = any(v.kind == "invalid" for v in verdicts) or (unequal and not doubts)
    return {
        "verdict": "invalid" if surely else "unknown" if doubts else "valid",
        "reasons": doubts,
        "customers": len(customers),
        **matched(evidence),
        **added,
        "currency": evidence.catalog.currency,
        "limited": sum(map(_limited, history)),
        "checks": [_checked(verdict) for verdict in verdicts],
        "findings_count": len(findings),
        "findings": findings[:FINDINGS_MAX],
    }


def _doubts_of(verdicts: Sequence[CheckVerdict]) -> list[str]:
    """Give each reason why something is not known once, with the checks that it keeps from it."""
    kept_from: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.kind == "unknown":
            kept_from.setdefault(str(verdict.reason), []).append(verdict.check)
    return [f"{', '.join(checks)}: {reason}" for reason, checks in kept_from.items()]


def _limited(record: Record) -> bool:
    """Whether the target turned an operation of the load away for its limit."""
    replies = (exchange.reply for exchange in record.exchanges)
    return any(isinstance(reply, Reply) and reply.status == _TOO_MANY for reply in replies)


def _checked(verdict: CheckVerdict) -> dict[str, Any]:
    """Give what a check says; its findings stand beside the others'."""
    told = verdict.to_json()
    del told["findings"]
    return told


def _findings(verdicts: Sequence[CheckVerdict]) -> list[dict[str, Any]]:
    """Give every finding, those of money that moved before those of units."""
    told = [_told(v.check, finding) for v in verdicts for finding in v.findings]
    return sorted(told, key=lambda finding: finding["provider_id"] is None)


def _told(check: str, finding: Finding) -> dict[str, Any]:
    return {**asdict(finding), "check": check, "said": str(finding)}


def _unknown(reason: str) -> dict[str, Any]:
    return {"verdict": "unknown", "reasons": [reason], **_nothing()}


def _nothing() -> dict[str, Any]:
    return {"customers": 0, "checks": [], "findings": [], "findings_count": 0}


def everybody(history: Sequence[Record], prepared: Sequence[Customer]) -> list[Customer]:
    """Give every customer of a load once: those prepared, and those that the load made itself.

    Of the latter nobody kept the credential: histories hold no secrets. An operator reads them.
    """
    found = {customer.id: customer for customer in prepared}
    for record in history:
        made = record.outcome.get("customer") if record.operation == "create_customer" else None
        if made and record.outcome.kind in {"ok", "accepted"} and made not in found:
            provider = record.outcome.get("provider_customer")
            found[made] = Customer(made, None, provider, record.inputs.get("email"))
    return list(found.values())


def _asked_again(ground: Ground, history: list[Record]) -> tuple[list[Customer], str | None]:
    """Send sign-ups whose answer was lost once more, under their key: that finds what they made.

    What is answered then is added to the history. Gives the customers, and what stays unknown.
    """
    lost = [
        record
        for record in history
        if record.operation == "create_customer" and record.outcome.kind == "unknown"
    ]
    session = ground.session("load/asked-again")
    for record in lost[:TOLD_AGAIN_MAX]:
        if not ground.answers():
            break
        session.perform("create_customer", **record.inputs)
    history += session.records
    missing = len(lost) - sum(r.outcome.kind != "unknown" for r in session.records)
    reason = f"{missing} sign-ups were never answered: whom they made is not known"
    return session.customers, reason if missing else None
