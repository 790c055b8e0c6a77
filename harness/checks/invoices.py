"""Invoices: what was paid for subscriptions, and for the usage that is billed with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks.evidence import may_have_happened, quantity_of
from harness.checks.verdict import Finding, blame
from harness.money import spoken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from harness.checks.evidence import CustomerState, Evidence
    from harness.history import Record
    from harness.provider import Movement


def judge_invoices(evidence: Evidence, state: CustomerState) -> Iterator[Finding]:
    """Hold paid invoices against the subscriptions and the usage that they are for."""
    charges = evidence.charges(state, invoiced=True)
    asked = evidence.records(state.customer, "subscribe", "change_subscription")
    taken_on = [record for record in asked if record.outcome.kind != "refused"]
    most = len(taken_on) + _last_bills(evidence, state)
    seen: set[str | None] = set()
    for place, charge in enumerate(charges):
        record = taken_on[-1] if taken_on else asked[-1] if asked else None
        if charge.invoice in seen:
            message = f"{charge.provider_id} paid the invoice {charge.invoice} once more"
            yield out(state, charge, message, record)
        elif place >= most and not (taken_on and time_moved(evidence)):
            message = f"{charge.provider_id} paid a subscription that no operation took out"
            yield out(state, charge, message, record)
        seen.add(charge.invoice)
    if charges and taken_on and evidence.catalog.plan("pro"):
        changed = any(record.operation == "change_subscription" for record in taken_on)
        # What a change in mid-period costs is Stripe's to prorate: only the first is judged then.
        judged = charges[:1] if changed else charges
        yield from _judge_amounts(evidence, state, judged, taken_on)


def _last_bills(evidence: Evidence, state: CustomerState) -> int:
    """Count the invoices that may bill what was used when no period's invoice comes any more."""
    if evidence.catalog.usage_billed == "at_once" or not _used(evidence, state):
        return 0
    ended = evidence.records(state.customer, "cancel_subscription", "close_customer")
    return sum(record.outcome.kind != "refused" for record in ended)


def _used(evidence: Evidence, state: CustomerState) -> int:
    """Count the units of usage that invoices may bill: each usage once, unless it was refused."""
    if evidence.catalog.usage_billed == "at_once":
        return 0
    told = evidence.usages(state.customer).values()
    return sum(max(map(quantity_of, same)) for same in told if may_have_happened(same))


def time_moved(evidence: Evidence) -> bool:
    """Whether periods may have gone by, each with an invoice of its own."""
    return may_have_happened(evidence.everybodys("advance_time"))


def _judge_amounts(
    evidence: Evidence, state: CustomerState, charges: list[Movement], taken_on: list[Record]
) -> Iterator[Finding]:
    """Hold each amount against the plan's price and, once in all, the usage not yet billed."""
    plan = evidence.catalog.plan("pro")
    assert plan is not None  # noqa: S101 - the caller asked for it
    price, unit = plan[1].price_minor, plan[1].overage_minor or 0
    left = _used(evidence, state)
    prices = {price * quantity_of(record) for record in taken_on} | ({0} if left else set())
    for place, charge in enumerate(charges):
        units = _units_on(charge.amount_minor, prices, unit, left)
        if units is not None:
            left -= units
            continue
        due = nearest({base + unit * n for base in prices for n in range(left + 1)}, charge)
        paid = spoken(charge.amount_minor, charge.currency)
        message = f"subscribe paid {paid}, the catalogue says {spoken(due, charge.currency)}"
        record = taken_on[min(place, len(taken_on) - 1)]
        if usages := evidence.usages(state.customer) if _used(evidence, state) else None:
            message += " for it and for what was used"
            record = list(usages.values())[-1][-1]
        yield out(state, charge, message, record, due)


def _units_on(
    amount_minor: int, prices: AbstractSet[int], unit_minor: int, most: int
) -> int | None:
    """Give how many units of usage an invoice bills beside a price; None: it is of another amount.

    >>> _units_on(4937, {4900}, 37, most=2), _units_on(4975, {4900}, 37, most=2)
    (1, None)
    """
    rests = sorted(amount_minor - base for base in prices)
    whole = [rest // unit_minor for rest in rests if unit_minor and rest % unit_minor == 0]
    found = [0] if 0 in rests else [units for units in whole if 0 <= units <= most]
    return found[0] if found else None


def nearest(prices: AbstractSet[int], charge: Movement) -> int:
    """Give the price that a charge was probably meant to be."""
    return min(prices, key=lambda price: abs(price - charge.amount_minor), default=0)


def out(
    state: CustomerState,
    charge: Movement,
    message: str,
    record: Record | None,
    due_minor: int = 0,
) -> Finding:
    """Tell that a charge took more than was due (or less), by which operation."""
    return Finding(
        message,
        customer=state.customer,
        amount_minor=charge.amount_minor - due_minor,
        currency=charge.currency,
        provider_id=charge.provider_id,
        **blame(record),
    )
