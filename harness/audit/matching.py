"""Lets go of what agrees, and has the harness's own checks judge the rest.

Both sides come newest first; what finds its fellow, equal to the cent, is forgotten at once, so
memory holds only what has none (yet). Whatever is left is looked up on the other side by its id,
whenever it happened, before it is called missing.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.audit.facts import Booked, Found, Gap, Unreadable
from harness.checks.evidence import CustomerState, Evidence
from harness.checks.money import BooksEqualProvider
from harness.checks.verdict import run_check
from harness.money import spoken
from harness.provider import Journal, Movement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.audit.facts import Audited, Books, Kind
    from harness.audit.provider import StripeReader
    from harness.checks.evidence import Payment
    from harness.checks.verdict import Finding
    from harness.target.profile import Catalog

OPEN_MAX = 20_000


class Leftovers:
    """What has found no fellow: movements at the provider, and rows of the books by their id."""

    def __init__(self) -> None:
        self._by_id: dict[str, Movement] = {}
        self._rows: dict[str | None, list[Booked]] = defaultdict(list)

    @property
    def movements(self) -> list[Movement]:
        """Give the movements that are left, each once."""
        return list({movement.provider_id: movement for movement in self._by_id.values()}.values())

    @property
    def rows(self) -> list[Booked]:
        """Give the rows that are left."""
        return [row for rows in self._rows.values() for row in rows]

    def take(self, one: Movement | Booked) -> None:
        """Take in one of either side, newest first; a pair that agrees is let go."""
        if isinstance(one, Movement):
            self._moved(one)
        else:
            self._booked(one)
        if len(self._by_id) + len(self._rows) > OPEN_MAX:
            raise Unreadable(
                f"more than {OPEN_MAX} movements have no fellow: is it the database that belongs to"
                " this Stripe account?"
            )

    def _moved(self, movement: Movement) -> None:
        names = ids_of(movement)
        rows = [row for name in names for row in self._rows.get(name, ())]
        if len(rows) == 1 and _agree(movement, rows[0]):
            del self._rows[rows[0].payment.provider_id]
        else:
            self._by_id |= dict.fromkeys(names, movement)

    def _booked(self, row: Booked) -> None:
        name = row.payment.provider_id
        movement = self._by_id.get(name) if name else None
        if movement and name not in self._rows and _agree(movement, row):
            for each in ids_of(movement):
                self._by_id.pop(each, None)
        else:
            self._rows[name].append(row)


def ids_of(movement: Movement) -> list[str]:
    """Give the ids by which books may name a movement: its own, a charge's intent, its parts'."""
    intent = movement.payment_intent if movement.type == "charge" else None
    return [name for name in (movement.provider_id, intent, *movement.parts) if name]


def _agree(movement: Movement, row: Booked) -> bool:
    payment = row.payment
    same = (payment.amount_minor, payment.currency) == (movement.amount_minor, movement.currency)
    return same and row.provider_customer in {None, movement.customer}


def match(movements: Iterable[Movement], rows: Iterable[Booked], audited: Audited) -> Leftovers:
    """Go through both sides at once; give what has no fellow. Raises `Unreadable`."""
    left = Leftovers()
    sides: tuple[Iterable[Movement | Booked], ...] = (movements, rows)
    for one in heapq.merge(*sides, key=lambda each: each.at, reverse=True):
        if isinstance(one, Booked):
            audited.looked_at["payments"] += 1
            left.take(one)
        elif one.state == "succeeded":
            left.take(one)
    return left


@dataclass(frozen=True, slots=True)
class Sides:
    """Both records, and what tells whose charges are whose.

    `marks` are keys of metadata that the target puts on what it makes at the provider.
    """

    books: Books
    stripe: StripeReader
    catalog: Catalog
    marks: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Group:
    """What is left of one customer."""

    movements: list[Movement] = field(default_factory=list)
    rows: list[Booked] = field(default_factory=list)

    @property
    def provider_customer(self) -> str | None:
        told = [row.provider_customer for row in self.rows]
        told += [movement.customer for movement in self.movements]
        return next((name for name in told if name), None)

    def evidence(self, customer: str, catalog: Catalog) -> Evidence:
        """Give it as the harness's checks take it."""
        payments = tuple(row.payment for row in self.rows)
        # Where nobody says who he is there, no movement is his: what he has is still held to that.
        whose = self.provider_customer or customer
        state = CustomerState(customer, whose, payments=payments)
        own = tuple(replace(movement, customer=whose) for movement in self.movements)
        return Evidence((), (state,), catalog, Journal(own), "", frozenset({"list_payments"}))


def judge(left: Leftovers, sides: Sides, audited: Audited) -> None:
    """Look up what is left on the other side, and add what differs. Raises `Unreadable`."""
    moved, booked = _completed(left, sides)
    whose = {movement.customer for movement in moved if movement.customer}
    own = sides.books.customers(whose)
    groups: dict[str, _Group] = defaultdict(_Group)
    for row in booked:
        groups[row.customer].rows.append(row)
    known = {row.payment.provider_id for row in booked}
    for movement in moved:
        customer = own.get(movement.customer or "")
        is_booked = bool(known & set(ids_of(movement)))
        if not (is_booked or movement.amount_minor):
            continue  # a dispute that was won: all in all there is nothing to book
        if customer is not None:
            groups[customer].movements.append(movement)
        elif is_booked or sides.marks & set(movement.metadata):
            groups[movement.customer or "somebody"].movements.append(movement)
        else:  # other business of the same account: nobody whom the books know
            audited.strangers[movement.currency] += movement.amount_minor
    for customer, group in groups.items():
        _judge(customer, group, sides, audited)


def _completed(left: Leftovers, sides: Sides) -> tuple[list[Movement], list[Booked]]:
    """Give what is left with its fellows of other times, so that only what has none has none."""
    movements = {name: movement for movement in left.movements for name in ids_of(movement)}
    names = {row.payment.provider_id for row in left.rows} - {None}
    for name in sorted(str(name) for name in names - set(movements)):
        found = sides.stripe.movement(name)
        if found is not None and found.state == "succeeded":
            movements |= dict.fromkeys([name, *ids_of(found)], found)
    nameless = [row for row in left.rows if row.payment.provider_id is None]
    booked = sides.books.named(str(name) for name in {*movements, *names})
    moved = {movement.provider_id: movement for movement in movements.values()}
    return list(moved.values()), [*booked, *nameless]


def _judge(customer: str, group: _Group, sides: Sides, audited: Audited) -> None:
    verdict = run_check(BooksEqualProvider(), group.evidence(customer, sides.catalog))
    for finding in verdict.findings:
        audited.add(_sorted(finding, group, sides))
    if verdict.kind != "valid" and not verdict.findings:
        audited.gaps.append(Gap(f"payments of {customer}", verdict.reason or "not judged"))


def _sorted(finding: Finding, group: _Group, sides: Sides) -> Found:
    """Say which kind of difference a check found."""
    movement = next((m for m in group.movements if m.provider_id == finding.provider_id), None)
    if movement is None:
        is_charge = (finding.amount_minor or 0) < 0
        if is_charge:
            return _found("payment_without_charge", "paid by the books, Stripe knows of no such"
                          " charge", finding, group)  # fmt: skip
        return _found(
            "missing_refund", "given back by the books, Stripe gave nothing back", finding, group
        )
    rows = [row.payment for row in group.rows if row.payment.provider_id in ids_of(movement)]
    if not rows and movement.type == "charge":
        return _unbooked(finding, movement, group, sides)
    if not rows:
        message = f"a {movement.type} at Stripe that the books do not have"
        return _found("missing_refund", message, finding, group)
    return _unlike(finding, movement, rows, group)


def _unlike(finding: Finding, movement: Movement, rows: list[Payment], group: _Group) -> Found:
    """Say how two differ that both sides have."""
    if movement.type == "dispute" and not movement.amount_minor:
        message = "a dispute that was won: Stripe gave it back, the books have it as lost"
        return _found("missing_reinstatement", message, finding, group)
    booked = " and ".join(spoken(row.amount_minor, row.currency) for row in rows)
    moved = spoken(movement.amount_minor, movement.currency)
    message = f"Stripe moved {moved}, the books say {booked}"
    if {row.currency for row in rows} == {movement.currency}:
        return _found("wrong_amount", message, finding, group)
    whole = replace(finding, amount_minor=movement.amount_minor)
    return _found("wrong_currency", message, whole, group)


def _unbooked(finding: Finding, movement: Movement, group: _Group, sides: Sides) -> Found:
    """Tell a charge that the books do not have: the second for one cause, or one for nothing."""
    before = sides.books.caused(finding.customer or "", movement.metadata.values())
    if before:
        first = before[0].payment
        message = f"charged again for {first.cause}, which {first.provider_id} has paid"
        return _found("double_charge", message, finding, group)
    message = "charged by Stripe, no payment in the books"
    return _found("charge_without_payment", message, finding, group)


def _found(kind: Kind, message: str, finding: Finding, group: _Group) -> Found:
    return Found(
        kind,
        message,
        finding.customer,
        group.provider_customer,
        finding.provider_id,
        finding.amount_minor,
        finding.currency,
    )
