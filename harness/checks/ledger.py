"""Units: balances that add up, grants with a cause, usage with one effect."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from harness.checks.evidence import Entry, happened, may_have_happened, quantity_of
from harness.checks.verdict import Finding, Need, blame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.checks.evidence import CustomerState, Evidence
    from harness.history import Record

_GRANTED_BY = {
    "trial_signup": "create_customer",
    "trial_billing_added": "add_payment_method",
    "pro_subscription_payment": "subscribe",
    "purchased": "record_usage",
    "adjustment": "adjust_credits",
}
_ANSWERED_BY_STRIPE = frozenset({"adjustment"})  # refunds and disputes adjust without an operation


def units_finding(
    evidence: Evidence, state: CustomerState, units: int, message: str, record: Record | None = None
) -> Finding:
    """Tell a difference in units as money: positive units are what the customer is short of."""
    worth = evidence.unit_worth_minor
    return Finding(
        message,
        customer=state.customer,
        units=units,
        amount_minor=None if worth is None else units * worth,
        currency=evidence.catalog.currency,
        **blame(record),
    )


class BalanceEqualsLedger:
    """Balance = sum of the ledger = balance after its last entry, never below zero."""

    name: ClassVar[str] = "balance_equals_ledger"
    meaning: ClassVar[str] = (
        "The balance shown equals the sum of the ledger, step by step, and is never below zero."
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"units", "ledger"})

    def facts(self, evidence: Evidence, state: CustomerState) -> int:  # noqa: ARG002 - the protocol has it
        """Count the entries."""
        return len(state.ledger or ())

    def check(self, evidence: Evidence, state: CustomerState) -> Iterator[Finding]:
        """Look at one customer."""
        if state.ledger is None or state.units is None:
            return
        total = sum(entry.units for entry in state.ledger)
        if total != state.units:
            message = f"the balance shows {state.units} units, the ledger sums to {total}"
            yield units_finding(evidence, state, total - state.units, message)
        yield from self._steps(evidence, state, state.ledger)

    def _steps(
        self, evidence: Evidence, state: CustomerState, ledger: tuple[Entry, ...]
    ) -> Iterator[Finding]:
        if any(entry.balance_after is None for entry in ledger):
            return
        breaks = min((_breaks(ledger), _breaks(ledger[::-1])), key=len)
        for entry, due in breaks:
            shown = entry.balance_after or 0
            message = f"{entry.source} of {entry.units:+d} left {shown} units, where {due} are due"
            yield units_finding(evidence, state, due - shown, message)
        for entry in ledger:
            if (entry.balance_after or 0) < 0:
                message = f"{entry.source} of {entry.units:+d} left {entry.balance_after} units"
                yield units_finding(evidence, state, entry.balance_after or 0, message)


def _breaks(oldest_first: tuple[Entry, ...]) -> list[tuple[Entry, int]]:
    """Give the entries whose balance does not follow from the one before; lists come either way."""
    before, found = 0, []
    for entry in oldest_first:
        if entry.balance_after != before + entry.units:
            found.append((entry, before + entry.units))
        before = entry.balance_after or 0
    return found


class GrantsHaveOneCause:
    """Every grant has a cause, of the catalogue's size, and no cause grants twice."""

    name: ClassVar[str] = "grants_have_one_cause"
    meaning: ClassVar[str] = (
        "Every grant follows from an operation, is of the catalogue's size, and is given once."
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"ledger", "sources"})

    def facts(self, evidence: Evidence, state: CustomerState) -> int:  # noqa: ARG002 - the protocol has it
        """Count the grants."""
        return sum(entry.units > 0 for entry in state.ledger or ())

    def check(self, evidence: Evidence, state: CustomerState) -> Iterator[Finding]:
        """Look at one customer."""
        grants = [entry for entry in state.ledger or () if entry.units > 0]
        yield from self._causes(evidence, state, grants)
        catalog = evidence.catalog.grants
        yield from self._once(evidence, state, grants, "trial_signup", catalog.sign_up)
        yield from self._once(evidence, state, grants, "trial_billing_added", catalog.billing_added)

    def _causes(
        self, evidence: Evidence, state: CustomerState, grants: list[Entry]
    ) -> Iterator[Finding]:
        causes = Counter((entry.source, entry.cause) for entry in grants if entry.cause)
        for (source, cause), count in causes.items():
            if count > 1:
                units = sum(e.units for e in grants if (e.source, e.cause) == (source, cause))
                message = f"{source} was granted {count} times for {cause}"
                record = self._first(evidence, state, source)
                yield units_finding(evidence, state, -units * (count - 1) // count, message, record)
        for entry in grants:
            operation = _GRANTED_BY.get(entry.source or "")
            if entry.source in _ANSWERED_BY_STRIPE:
                continue
            if not operation or not may_have_happened(evidence.records(state.customer, operation)):
                message = f"{entry.units} units came from {entry.source}, without an operation"
                yield units_finding(evidence, state, -entry.units, message)

    def _once(
        self,
        evidence: Evidence,
        state: CustomerState,
        grants: list[Entry],
        source: str,
        due: int,
    ) -> Iterator[Finding]:
        """Hold a grant that comes once in a customer's life against the catalogue."""
        operation = _GRANTED_BY[source]
        records = evidence.records(state.customer, operation)
        own = [entry for entry in grants if entry.source == source]
        # Twice for one cause is told above, and counts once here.
        given = sum({entry.cause or place: entry.units for place, entry in enumerate(own)}.values())
        doubtful = may_have_happened(records) and not happened(records)
        if given == due or (given == 0 and (doubtful or not happened(records))):
            return
        if given == 0 and _has_returned(evidence, state.customer):
            return
        message = f"{operation} granted {given} units as {source}, the catalogue says {due}"
        record = self._first(evidence, state, source)
        yield units_finding(evidence, state, due - given, message, record)

    def _first(self, evidence: Evidence, state: CustomerState, source: str | None) -> Record | None:
        records = evidence.records(state.customer, _GRANTED_BY.get(source or "", ""))
        return next((record for record in records if record.outcome.kind != "refused"), None)


def _has_returned(evidence: Evidence, customer: str) -> bool:
    """Whether the e-mail had another account before, and may have earned its grants with it."""
    made = evidence.records(customer, "create_customer")
    emails = {str(record.inputs.get("email", "")).casefold() for record in made}
    return any(
        record.operation == "create_customer"
        and record.customer not in {None, customer}
        and str(record.inputs.get("email", "")).casefold() in emails
        and record.began_at < made[0].began_at
        for record in evidence.history
    )


class InvoicesGrantOnce:
    """Each paid subscription invoice grants the plan's units once, and nothing else does."""

    name: ClassVar[str] = "invoices_grant_once"
    meaning: ClassVar[str] = (
        "A paid subscription invoice grants what the plan includes, once; an unpaid one nothing."
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"ledger", "sources", "journal"})

    def facts(self, evidence: Evidence, state: CustomerState) -> int:
        """Count the paid invoices."""
        return len(evidence.charges(state, invoiced=True))

    def check(self, evidence: Evidence, state: CustomerState) -> Iterator[Finding]:
        """Look at one customer."""
        plan = evidence.catalog.plan("pro")
        if plan is None or not plan[1].included_units:
            return
        granted = [e for e in state.ledger or () if e.source == "pro_subscription_payment"]
        invoices = {charge.invoice for charge in evidence.charges(state, invoiced=True)}
        asked = evidence.records(state.customer, "subscribe", "change_subscription")
        taken_on = [record for record in asked if record.outcome.kind != "refused"]
        sizes = [plan[1].included_units * quantity_of(record) for record in taken_on]
        size = sizes[0] if sizes else plan[1].included_units
        record = next((r for r in taken_on if r.operation == "subscribe"), None)
        if len(granted) > len(invoices):
            units = sum(entry.units for entry in granted) - size * len(invoices)
            message = f"{len(granted)} subscription grants, {len(invoices)} paid invoices"
            yield units_finding(evidence, state, -units, message, record)
        missing = self._due(taken_on, len(invoices)) - len(granted)
        if missing > 0:
            message = f"{len(invoices)} invoices of a subscription paid, {len(granted)} granted"
            yield units_finding(evidence, state, size * missing, message, record)
        for entry in granted:
            if sizes and entry.units not in sizes:
                due = _nearest(sizes, entry.units)
                message = f"subscribe granted {entry.units} units, the catalogue says {due}"
                yield units_finding(evidence, state, due - entry.units, message, record)

    def _due(self, taken_on: list[Record], paid: int) -> int:
        """Give how many grants are due: an invoice for a change in mid-period brings none."""
        changed = any(record.operation == "change_subscription" for record in taken_on)
        begun = sum(record.operation == "subscribe" for record in taken_on)
        return min(paid, begun) if changed else paid


class UsageTakesEffectOnce:
    """Each unit of usage that was taken on is consumed once; a refused one never."""

    name: ClassVar[str] = "usage_takes_effect_once"
    meaning: ClassVar[str] = (
        "Usage that was recorded consumes its units once, however often it was told;"
        " refused usage consumes nothing."
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"ledger", "sources"})

    def facts(self, evidence: Evidence, state: CustomerState) -> int:
        """Count the usages that were told."""
        return len(evidence.usages(state.customer))

    def check(self, evidence: Evidence, state: CustomerState) -> Iterator[Finding]:
        """Look at one customer."""
        consumed = [entry for entry in state.ledger or () if entry.source == "consumed"]
        usages = evidence.usages(state.customer)
        if any(entry.cause in usages for entry in consumed) or not consumed:
            yield from self._by_cause(evidence, state, consumed)
        else:
            yield from self._by_count(evidence, state, consumed)

    def _by_cause(
        self, evidence: Evidence, state: CustomerState, consumed: list[Entry]
    ) -> Iterator[Finding]:
        usages = evidence.usages(state.customer)
        for usage_id, records in usages.items():
            taken = -sum(entry.units for entry in consumed if entry.cause == usage_id)
            allowed = _units_allowed(records)
            if taken not in allowed:
                due = max(allowed)
                message = f"usage {usage_id} consumed {taken} units, where {due} are due"
                yield units_finding(evidence, state, taken - due, message, records[-1])
        for entry in consumed:
            if entry.cause not in usages:
                message = f"{-entry.units} units were consumed for {entry.cause}, by no operation"
                yield units_finding(evidence, state, -entry.units, message)

    def _by_count(
        self, evidence: Evidence, state: CustomerState, consumed: list[Entry]
    ) -> Iterator[Finding]:
        """Compare sums, where the ledger does not say which usage an entry is for."""
        told = [_units_allowed(records) for records in evidence.usages(state.customer).values()]
        taken = -sum(entry.units for entry in consumed)
        least, most = sum(map(min, told)), sum(map(max, told))
        if not least <= taken <= most:
            due = least if taken < least else most
            message = f"{taken} units were consumed, where {due} are due"
            yield units_finding(evidence, state, taken - due, message)


def _nearest(sizes: list[int], units: int) -> int:
    return min(sizes, key=lambda size: abs(size - units))


def _units_allowed(records: list[Record]) -> set[int]:
    """Give how many units one usage id may have consumed, by what its client was told."""
    told = {quantity_of(record) for record in records if record.outcome.kind != "refused"}
    return told if happened(records) else told | {0}
