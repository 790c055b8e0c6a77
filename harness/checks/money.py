"""Money: what the provider moved, what the target's books say, what the operations explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from harness.checks.evidence import happened, may_have_happened, quantity_of
from harness.checks.invoices import judge_invoices, nearest, out, time_moved
from harness.checks.verdict import Finding, Need, blame
from harness.money import spoken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.checks.evidence import CustomerState, Evidence, Payment
    from harness.history import Record
    from harness.provider import Movement

    Usages = Mapping[str, list[Record]]


class BooksEqualProvider:
    """The target's payments are the provider's movements, one for one, to the cent."""

    name: ClassVar[str] = "books_equal_provider"
    meaning: ClassVar[str] = (
        "Every charge and refund at the payment provider stands in the target's payments with its"
        " amount, and the reverse."
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"payments", "provider_ids", "journal"})

    def facts(self, evidence: Evidence, state: CustomerState) -> int:  # noqa: ARG002 - the protocol has it
        """Count the payments."""
        return len(state.payments or ())

    def check(self, evidence: Evidence, state: CustomerState) -> Iterator[Finding]:
        """Look at one customer."""
        if evidence.journal is None:
            return
        moved = [
            movement
            for movement in evidence.journal.of(state.provider_customer)
            if movement.state == "succeeded"
        ]
        booked = [payment for payment in state.payments or () if payment.state != "failed"]
        together: dict[str, list[Movement]] = {}
        for movement in moved:
            together.setdefault(movement.provider_id, []).append(movement)
        known: set[str | None] = set()
        for parts in together.values():
            ids = {name for movement in parts for name in _ids(movement)}
            named = [payment for payment in booked if payment.provider_id in ids]
            yield from _compare(evidence, state, parts, named)
            known |= ids
        for payment in booked:
            if payment.provider_id not in known:
                yield _phantom(state, payment)


def _ids(movement: Movement) -> set[str | None]:
    """Give the ids by which books may name a movement: a charge, or the intent that made it."""
    intent = movement.payment_intent if movement.type == "charge" else movement.provider_id
    return {movement.provider_id, intent, *movement.parts} - {None}


def _compare(
    evidence: Evidence, state: CustomerState, parts: list[Movement], booked: list[Payment]
) -> Iterator[Finding]:
    """Compare what moved under one id of the provider's, all in all, with its payments.

    A dispute that was won took money and gave it back: in sum nothing moved, and books need not
    have it at all.
    """
    movement, moved_minor = parts[0], sum(part.amount_minor for part in parts)
    amount = sum(payment.amount_minor for payment in booked)
    currencies = {payment.currency for payment in booked} or {movement.currency}
    came_back = movement.type == "dispute" and not moved_minor
    if (booked or came_back) and amount == moved_minor and currencies == {movement.currency}:
        return
    told = spoken(amount, min(currencies)) if booked else "nothing"
    moved = spoken(moved_minor, movement.currency)
    record = operation_behind(evidence, state, movement)
    yield Finding(
        f"{movement.type} {movement.provider_id} moved {moved}, the target's payments say {told}",
        customer=state.customer,
        amount_minor=moved_minor - amount,
        currency=movement.currency,
        provider_id=movement.provider_id,
        **blame(record),
    )


def _phantom(state: CustomerState, payment: Payment) -> Finding:
    booked = spoken(payment.amount_minor, payment.currency)
    return Finding(
        f"payment {payment.provider_id} of {booked} stands in the target's payments, the payment"
        " provider knows nothing of it",
        customer=state.customer,
        amount_minor=-payment.amount_minor,
        currency=payment.currency,
        provider_id=payment.provider_id,
    )


class ChargesAreExplained:
    """Every charge follows from one operation, at the catalogue's price."""

    name: ClassVar[str] = "charges_are_explained"
    meaning: ClassVar[str] = (
        "Every charge at the payment provider follows from one operation that was not refused,"
        " once, at the catalogue's price."
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"journal"})

    def facts(self, evidence: Evidence, state: CustomerState) -> int:
        """Count the charges."""
        return sum(len(evidence.charges(state, invoiced=kind)) for kind in (False, True))

    def check(self, evidence: Evidence, state: CustomerState) -> Iterator[Finding]:
        """Look at one customer."""
        usages = evidence.usages(state.customer)
        charges = evidence.charges(state, invoiced=False)
        if evidence.catalog.usage_billed == "with_invoice":
            yield from _judge_at_once(state, usages, charges)
            yield from judge_invoices(evidence, state)
            return
        by_usage: dict[str | None, list[Movement]] = {}
        for charge in charges:
            by_usage.setdefault(usage_behind(charge, state, usages), []).append(charge)
        unnamed = by_usage.pop(None, [])
        for usage_id, records in usages.items():
            named = by_usage.get(usage_id, [])
            yield from _judge_usage(evidence, state, records, named, certain=not unnamed)
        yield from _judge_unnamed(evidence, state, usages, unnamed, set(by_usage))
        yield from judge_invoices(evidence, state)


def usage_behind(charge: Movement, state: CustomerState, usages: Usages) -> str | None:
    """Name the usage that a charge is for: by its metadata, its key, or the target's payments."""
    causes = [p.cause for p in state.payments or () if p.provider_id == charge.provider_id]
    for told in (*charge.metadata.values(), *causes):
        if told in usages:
            return told
    key = charge.idempotency_key or ""
    # One id may be the beginning of another: the longest is meant.
    return max((usage_id for usage_id in usages if usage_id in key), key=len, default=None)


def operation_behind(evidence: Evidence, state: CustomerState, movement: Movement) -> Record | None:
    """Name the operation that moved money, as well as can be told."""
    if movement.type == "refund":
        given_back = evidence.records(state.customer, "refund_payment")
        return given_back[-1] if given_back else None
    if movement.invoice is not None:
        records = evidence.records(state.customer, "subscribe", "change_subscription")
        return records[-1] if records else None
    usages = evidence.usages(state.customer)
    usage_id = usage_behind(movement, state, usages)
    return usages[usage_id][-1] if usage_id else None


def _judge_at_once(
    state: CustomerState, usages: Usages, charges: list[Movement]
) -> Iterator[Finding]:
    """Where usage is billed with the invoice, no charge is for a usage, or for anything else."""
    for charge in charges:
        usage_id = usage_behind(charge, state, usages)
        told = f"usage {usage_id}" if usage_id else "nothing that was asked for"
        message = f"{charge.provider_id} charged at once for {told}, outside of any invoice"
        yield out(state, charge, message, usages[usage_id][-1] if usage_id else None)


def _judge_usage(
    evidence: Evidence,
    state: CustomerState,
    records: list[Record],
    charges: list[Movement],
    *,
    certain: bool,
) -> Iterator[Finding]:
    usage_id = records[0].inputs["usage_id"]
    if charges and not may_have_happened(records):
        message = f"usage {usage_id} was refused ({records[-1].outcome.code}), and charged"
        yield out(state, charges[0], message, records[-1])
    for again in charges[1:]:
        message = f"charged again for usage {usage_id} by {again.provider_id}: {_why(charges)}"
        yield out(state, again, message, records[-1])
    for charge in charges[:1]:
        yield from _judge_price(evidence, state, records, charge)
    told = _told_minor(records)
    if told and not charges and certain and happened(records):
        yield Finding(
            f"usage {usage_id} was answered as charged {spoken(told, evidence.catalog.currency)},"
            " the payment provider charged nothing",
            customer=state.customer,
            amount_minor=-told,
            currency=evidence.catalog.currency,
            **blame(records[-1]),
        )


def _judge_price(
    evidence: Evidence, state: CustomerState, records: list[Record], charge: Movement
) -> Iterator[Finding]:
    quantity = max(map(quantity_of, records))
    # Units at hand may have covered a part of the quantity: only the rest is bought.
    prices = {
        price * units
        for record in records
        for price in prices_at(evidence, record)
        for units in range(1, quantity + 1)
    }
    if charge.amount_minor in prices and charge.currency == evidence.catalog.currency:
        return
    due = nearest(prices, charge)
    currency = evidence.catalog.currency
    message = (
        f"{charge.provider_id} charged {spoken(charge.amount_minor, charge.currency)},"
        f" the catalogue says {spoken(due, currency)}"
    )
    yield out(state, charge, message, records[-1], due)


def prices_at(evidence: Evidence, usage: Record) -> set[int]:
    """Give the prices that a unit may have at this moment: more than one where plans change."""
    assert usage.customer is not None  # noqa: S101 - usage is always a customer's
    subscribed = [
        r for r in evidence.records(usage.customer, "subscribe") if r.outcome.kind != "refused"
    ]
    cancelled = [
        r
        for r in evidence.records(usage.customer, "cancel_subscription")
        if r.outcome.kind != "refused"
    ]
    ended_at = usage.ended_at or float("inf")
    started = [r for r in subscribed if r.began_at < ended_at]
    surely = [r for r in started if r.outcome.kind == "ok" and _before(r, usage)]
    ending = [r for r in cancelled if r.began_at < ended_at]
    roles = ["pro"] if started else []
    # As time goes by, a subscription may end by itself: by its schedule, or unpaid.
    if not surely or ending or time_moved(evidence):
        roles.append("payg")
    plans = [evidence.catalog.plan("pro" if role == "pro" else "payg") for role in roles]
    return {plan[1].overage_minor for plan in plans if plan and plan[1].overage_minor}


def _before(record: Record, later: Record) -> bool:
    return record.ended_at is not None and record.ended_at <= later.began_at


def _told_minor(records: list[Record]) -> int:
    told = [r.outcome.get("charged_minor") for r in records if r.outcome.kind == "ok"]
    return max((amount for amount in told if isinstance(amount, int)), default=0)


def _why(charges: list[Movement]) -> str:
    keys = [charge.idempotency_key for charge in charges]
    if None in keys:
        return "the provider took it for a new charge"
    return "under a new key" if len(set(keys)) > 1 else "under the same key"


def _judge_unnamed(
    evidence: Evidence,
    state: CustomerState,
    usages: Usages,
    unnamed: list[Movement],
    named: set[str | None],
) -> Iterator[Finding]:
    """Judge charges by number and price, where nothing says what they are for."""
    open_usages = [
        records
        for usage_id, records in usages.items()
        if usage_id not in named and may_have_happened(records)
    ]
    for extra in unnamed[len(open_usages) :]:
        yield out(state, extra, f"{extra.provider_id} follows from no operation", None)
    every = [record for records in open_usages for record in records]
    for charge in unnamed[: len(open_usages)]:
        yield from _judge_price(evidence, state, every, charge)


class PurchasesArePaid:
    """As many units bought in the ledger as charges at the provider paid for."""

    name: ClassVar[str] = "purchases_are_paid"
    meaning: ClassVar[str] = (
        "Nothing is charged and not credited, or credited as bought and not charged."
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"ledger", "sources", "journal"})

    def facts(self, evidence: Evidence, state: CustomerState) -> int:
        """Count the charges that no invoice is for."""
        return len(evidence.charges(state, invoiced=False))

    def check(self, evidence: Evidence, state: CustomerState) -> Iterator[Finding]:
        """Look at one customer."""
        bought = sum(entry.units for entry in state.ledger or () if entry.source == "purchased")
        charges = evidence.charges(state, invoiced=False)
        paid = sum(_units_bought(evidence, state, charge) for charge in charges)
        if bought == paid:
            return
        worth = evidence.unit_worth_minor
        last = _units_bought(evidence, state, charges[-1]) if charges else 1
        price = charges[-1].amount_minor // last if charges else worth
        record = operation_behind(evidence, state, charges[-1]) if charges else None
        yield Finding(
            f"{paid} units were paid for at the payment provider, {bought} were credited as bought",
            customer=state.customer,
            amount_minor=None if price is None else (paid - bought) * price,
            currency=evidence.catalog.currency,
            units=paid - bought,
            provider_id=charges[-1].provider_id if charges else None,
            **blame(record),
        )


def _units_bought(evidence: Evidence, state: CustomerState, charge: Movement) -> int:
    """Give how many units a charge bought: its amount over a price that held, or one."""
    usages = evidence.usages(state.customer)
    usage_id = usage_behind(charge, state, usages)
    told = usages[usage_id] if usage_id else evidence.records(state.customer, "record_usage")
    whole = [
        units
        for usage in told
        for price in prices_at(evidence, usage)
        for units in range(1, quantity_of(usage) + 1)
        if price * units == charge.amount_minor
    ]
    return max(whole, default=1)
