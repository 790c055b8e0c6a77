"""Puts an audit together: ledgers, movements against payments, and causes charged twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.audit.facts import Audited, Found, Gap, Unreadable
from harness.audit.matching import Sides, judge, match
from harness.checks.evidence import Evidence
from harness.checks.ledger import BalanceEqualsLedger
from harness.checks.verdict import run_check

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.audit.facts import Booked
    from harness.audit.provider import Object
    from harness.checks.evidence import CustomerState

_SHOWN = frozenset({"get_balance", "list_ledger"})
_TELL_EACH = 500


def audit(sides: Sides, audited: Audited, tell: Callable[[str], None]) -> None:
    """Look at everything that can be read, and note what could not be."""
    for what, look in (
        ("the ledger", _ledgers),
        ("payments and charges", _money),
        ("double charges", _repeated),
    ):
        tell(f"reading {what} …")
        try:
            look(sides, audited, tell)
        except Unreadable as error:
            audited.gaps.append(Gap(what, str(error)))


def _ledgers(sides: Sides, audited: Audited, tell: Callable[[str], None]) -> None:
    """Hold each customer's balance against his ledger."""
    for state in sides.books.states():
        audited.looked_at["customers"] += 1
        audited.looked_at["ledger entries"] += len(state.ledger or ())
        if audited.looked_at["customers"] % _TELL_EACH == 0:
            tell(f"{audited.looked_at['customers']} customers' ledgers read …")
        _ledger(state, sides, audited)


def _ledger(state: CustomerState, sides: Sides, audited: Audited) -> None:
    evidence = Evidence((), (state,), sides.catalog, None, "", _SHOWN)
    verdict = run_check(BalanceEqualsLedger(), evidence)
    if verdict.kind == "unknown":
        audited.gaps.append(Gap(f"the ledger of {state.customer}", verdict.reason or ""))
    if not verdict.findings:
        return
    # A wrong step shows in the sum as well: of one customer it is one difference.
    first = verdict.findings[0]
    audited.add(
        Found(
            "wrong_balance",
            "; ".join(finding.message for finding in verdict.findings[:3]),
            state.customer,
            state.provider_customer,
            None,
            first.amount_minor,
            first.currency,
            first.units,
        )
    )


def _money(sides: Sides, audited: Audited, tell: Callable[[str], None]) -> None:
    """Hold Stripe's movements against the payments."""
    rows = sides.books.payments(audited.window)
    try:
        left = match(sides.stripe.movements(audited.window), rows, audited)
    finally:
        audited.looked_at |= sides.stripe.seen
        if sides.stripe.pending:
            audited.looked_at["pending"] = sides.stripe.pending
    tell("looking up what has no fellow …")
    judge(left, sides, audited)


def _repeated(sides: Sides, audited: Audited, tell: Callable[[str], None]) -> None:
    """Find several booked charges for one cause, of which more was kept than one payment."""
    for rows in sides.books.repeated(audited.window):
        tell(f"{rows[0].customer} has {len(rows)} charges for {rows[0].payment.cause} …")
        again = _kept_twice(rows, sides)
        if again is not None:
            audited.add(again)


def _kept_twice(rows: list[Booked], sides: Sides) -> Found | None:
    """Ask Stripe what was kept of several charges: what was given back is mended.

    An invoice may be paid in parts: up to its total nothing was charged twice.
    """
    named = [(row, sides.stripe.charge(row.payment.provider_id or "none")) for row in rows]
    kept = [(row, charge, _kept_minor(charge)) for row, charge in named if charge is not None]
    if not kept:
        return None
    cause = rows[0].payment.cause or ""
    due = sides.stripe.invoice_total_minor(cause) if cause.startswith("in_") else None
    most = max(minor for *_, minor in kept) if due is None else due
    excess = sum(minor for *_, minor in kept) - most
    if excess <= 0:
        return None
    row, charge, _ = max(kept, key=lambda one: (one[1]["created"], one[1]["id"]))
    others = ", ".join(str(one["id"]) for _, one, _ in kept if one is not charge)
    return Found(
        "double_charge",
        f"charged again for {cause}, which {others} has paid",
        row.customer,
        charge.get("customer"),
        str(charge["id"]),
        excess,
        row.payment.currency,
    )


def _kept_minor(charge: Object) -> int:
    return int(charge["amount_captured"]) - int(charge["amount_refunded"])
