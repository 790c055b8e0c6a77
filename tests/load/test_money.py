"""Every request of a load is matched with the books and the journal, and sums agree."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.checks.evidence import Entry
from harness.checks.verdict import run_check
from harness.history import Record
from harness.provider import Journal
from harness.session import Customer
from harness.target.protocol import Outcome, unknown
from suites.load.parent.money import RequestsMatchOnce, everybody, matched, sums
from tests.core.books import CUSTOMER, Books

if TYPE_CHECKING:
    from harness.checks.evidence import Evidence


def used(*, unknown_happened: bool = True) -> Books:
    """Give the books of a customer who used a unit, was charged for others, and lost an answer."""
    books = Books()
    books.tell("add_payment_method")
    for number in range(7):
        books.tell("record_usage", usage_id=f"u{number}", quantity=1)
    books.tell("record_usage", "unknown", applied=unknown_happened, usage_id="lost", quantity=1)
    return books


def several(evidence: Evidence, count: int) -> Evidence:
    """Give the same customer so many times, as customers of their own."""
    (state,) = evidence.states
    states = tuple(replace(state, customer=f"{state.customer}-{n}") for n in range(count))
    history = tuple(
        replace(record, customer=f"{record.customer}-{n}")
        for n in range(count)
        for record in evidence.history
    )
    assert evidence.journal is not None
    journal = Journal(evidence.journal.movements * count)
    return replace(evidence, states=states, history=history, journal=journal)


def test_right_books_match_every_request_once() -> None:
    """Usage with units, usage charged and a lost answer each have one entry and one line."""
    told = run_check(RequestsMatchOnce(), used().evidence())
    assert told.kind == "valid"
    assert told.facts == 8


def test_a_request_with_two_entries_is_found() -> None:
    """A ledger that tells the same consumption twice is invalid, whatever its sum."""
    books = used()
    books.ledger.append(Entry(-1, None, "consumed", "u3"))
    (finding,) = run_check(RequestsMatchOnce(), books.evidence()).findings
    assert "again for u3" in finding.message
    assert finding.operation == "record_usage"
    assert finding.units == 1


def test_a_purchase_that_stands_twice_is_found() -> None:
    """Units bought once and entered twice are told as the merchant's loss."""
    books = used()
    bought = next(entry for entry in books.ledger if entry.source == "purchased")
    books.ledger.append(replace(bought, balance_after=None))
    (finding,) = run_check(RequestsMatchOnce(), books.evidence()).findings
    assert finding.units == -bought.units


def test_what_was_unknown_is_told_by_the_books() -> None:
    """A lost answer counts as happened where the books show it, and else as nothing."""
    for happened in (True, False):
        counts = matched(used(unknown_happened=happened).evidence())
        assert (counts["requests"], counts["answered"], counts["unknown"]) == (10, 9, 1)
        assert counts["unknown_happened"] == happened
        assert counts["unknown_nothing"] == (not happened)


def test_sums_over_everybody_agree() -> None:
    """Balances add up to ledgers, and payments to the journal, over all customers."""
    added, found = sums(used().evidence())
    assert found == []
    assert added["ledger_units"] == added["balance_units"] == 0
    assert added["moved_minor"] == added["booked_minor"] == 3 * 2900
    assert added["journal_lines"] == 3


def test_sums_that_differ_are_told() -> None:
    """A unit too many in a balance, or a payment that nobody moved, shows in the sums."""
    books = used()
    _, units = sums(books.evidence(units=1))
    assert ["units do not add up" in finding.message for finding in units] == [True]
    books.payments.pop()
    _, money = sums(books.evidence())
    assert "87.00" in money[0].message
    assert "58.00" in money[0].message


def test_sums_hold_over_many_customers() -> None:
    """What is true of one is true of many: sums grow with them and stay equal."""
    added, found = sums(several(used().evidence(), 50))
    assert found == []
    assert added["ledger_entries"] == 50 * len(used().ledger)


def test_everybody_is_there_once() -> None:
    """Those prepared keep their credentials; those that the load made are found by its history."""
    made = Record(
        *("l-1", "load", "create_customer", "customer", "c9", {"email": "a@b.test"}, 1.0, 2.0),
        Outcome("ok", {"customer": "c9", "provider_customer": "cus_9", "credential": "[secret]"}),
    )
    lost = replace(made, id="l-2", customer=None, outcome=unknown("timeout"))
    again = replace(made, id="l-3", customer=CUSTOMER)
    again = replace(again, outcome=Outcome("ok", {"customer": CUSTOMER}))
    prepared = Customer(CUSTOMER, "key", "cus_1")
    found = everybody([made, lost, again, made], [prepared])
    assert found == [prepared, Customer("c9", None, "cus_9", "a@b.test")]
