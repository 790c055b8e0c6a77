from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checks import run_checks
from harness.checks.money import BooksEqualProvider, ChargesAreExplained, PurchasesArePaid
from harness.checks.verdict import run_check
from harness.provider import Movement
from tests.core.books import Books
from tests.core.test_checks_ledger import TOLD, findings, run

PAYG = 2900


def _charged(usages: int = 1, *, names_charges: bool = True) -> Books:
    """Give books with so many charged usages."""
    books = Books(names_charges)
    books.tell("add_payment_method")
    books.tell("record_usage", usage_id="all", quantity=5)
    for number in range(usages):
        books.tell("record_usage", usage_id=f"u{number}", quantity=1)
    assert len(books.movements) == usages
    return books


def _subscribed(quantity: int = 1) -> Books:
    books = Books()
    books.tell("add_payment_method")
    books.tell("subscribe", quantity=quantity)
    return books


@settings(max_examples=200)
@given(st.lists(TOLD, max_size=14), st.booleans(), st.data())
def test_one_wrong_movement_is_found(
    steps: list[tuple[str, str, bool, int]],
    names_charges: bool,  # noqa: FBT001 - drawn
    data: st.DataObject,
) -> None:
    """A charge or a payment dropped, doubled or altered is found, though only one side has it."""
    books = run([("add_payment_method", "", True, 1), ("subscribe", "", True, 1), *steps])
    books.names_charges = names_charges
    rows: list[Any] = data.draw(st.sampled_from([books.movements, books.payments]))
    place = data.draw(st.integers(0, len(rows) - 1))
    row = rows[place]
    wrong = {
        "drop": [],
        "double": [row, replace(row, provider_id="ch_other")],
        "more": [replace(row, amount_minor=row.amount_minor + 1)],
        "less": [replace(row, amount_minor=row.amount_minor - 1)],
    }
    rows[place : place + 1] = wrong[data.draw(st.sampled_from(sorted(wrong)))]
    kinds = {told.check: told.kind for told in run_checks(books.evidence())}
    assert kinds["books_equal_provider"] == "invalid"


@settings(max_examples=200)
@given(st.lists(TOLD, max_size=14), st.booleans(), st.data())
def test_one_wrong_charge_is_found_though_it_is_booked(
    steps: list[tuple[str, str, bool, int]],
    names_charges: bool,  # noqa: FBT001 - drawn
    data: st.DataObject,
) -> None:
    """A service that books what it charges wrongly is found by what its client asked for."""
    known = [(step, "", True, quantity) for step, _, _, quantity in steps]
    books = run(
        [("add_payment_method", "", True, 1), ("subscribe", "", True, 1), *known],
        names_charges=names_charges,
    )
    place = data.draw(st.integers(0, len(books.movements) - 1))
    charge, payment = books.movements[place], books.payments[place]
    kind = data.draw(st.sampled_from(["drop", "double", "more", "less"]))
    if kind == "drop":
        del books.movements[place], books.payments[place]
    elif kind == "double":
        books.movements.append(replace(charge, provider_id="ch_other"))
        books.payments.append(replace(payment, provider_id="ch_other"))
    else:
        amount = charge.amount_minor + (1 if kind == "more" else -1)
        books.movements[place] = replace(charge, amount_minor=amount)
        books.payments[place] = replace(payment, amount_minor=amount)
    assert "invalid" in {told.kind for told in run_checks(books.evidence())}


@pytest.mark.parametrize("difference", [-100, 100])
def test_a_payment_of_another_amount_is_told_by_the_difference(difference: int) -> None:
    """What moved beyond what is booked is what the customer is out."""
    books = _charged()
    books.payments[0] = replace(books.payments[0], amount_minor=PAYG + difference)
    (finding,) = findings(BooksEqualProvider(), books.evidence())
    assert (finding.amount_minor, finding.currency) == (-difference, "usd")
    assert (finding.provider_id, finding.operation, finding.call) == (
        "ch_1",
        "record_usage",
        "main-4",
    )


def test_a_payment_in_another_currency_is_told() -> None:
    """The same number in another currency is not the same money."""
    books = _charged()
    books.payments[0] = replace(books.payments[0], currency="eur")
    assert findings(BooksEqualProvider(), books.evidence())


def test_a_charge_that_is_not_booked_is_told_whole() -> None:
    """Money that moved and stands nowhere is what the customer is out."""
    books = _charged()
    (finding,) = findings(BooksEqualProvider(), books.evidence(payments=()))
    assert (finding.amount_minor, "say nothing" in finding.message) == (PAYG, True)


def test_a_payment_that_never_moved_is_told_whole() -> None:
    """A booked payment that the provider does not know is the merchant's loss."""
    books = _charged(2)
    del books.movements[1]
    (finding,) = findings(BooksEqualProvider(), books.evidence())
    assert (finding.amount_minor, finding.provider_id) == (-PAYG, "ch_2")
    failed = _charged(2)
    del failed.movements[1]
    failed.payments[1] = replace(failed.payments[1], state="failed")
    assert run_check(BooksEqualProvider(), failed.evidence()).kind == "valid"


def test_a_refund_has_to_be_booked_too() -> None:
    """A refund that is not booked is money that the customer has and the books do not show."""
    books = _charged()
    refund = replace(
        books.movements[0], type="refund", provider_id="re_1", amount_minor=-PAYG, metadata={}
    )
    books.movements.append(refund)
    (finding,) = findings(BooksEqualProvider(), books.evidence())
    assert (finding.amount_minor, finding.provider_id) == (-PAYG, "re_1")
    books.payments.append(replace(books.payments[0], provider_id="re_1", amount_minor=-PAYG))
    assert run_check(BooksEqualProvider(), books.evidence()).kind == "valid"


def test_books_may_name_the_intent_in_place_of_the_charge() -> None:
    """A payment is known by its charge's id or by the intent that made the charge."""
    books = _charged()
    books.payments[0] = replace(books.payments[0], provider_id="pi_1")
    assert run_check(BooksEqualProvider(), books.evidence()).kind == "valid"


def test_a_payment_without_an_id_is_nobodys() -> None:
    """A charge that no intent made is not found in a payment that names nothing."""
    books = _charged(2)
    books.movements[1] = replace(books.movements[1], payment_intent=None)
    books.payments[1] = replace(books.payments[1], provider_id=None)
    assert len(findings(BooksEqualProvider(), books.evidence())) == 2
    nameless = tuple(replace(payment, provider_id=None) for payment in books.payments)
    told = run_check(BooksEqualProvider(), books.evidence(payments=nameless))
    assert told.kind == "skipped"


@pytest.mark.parametrize(
    ("key", "why"), [("k2", "under a new key"), ("k1", "under the same key"), (None, "new charge")]
)
def test_a_usage_charged_again_is_told_with_the_reason(key: str | None, why: str) -> None:
    """A second charge for one usage is what the customer is out, by that charge."""
    books = _charged()
    first = replace(books.movements[0], idempotency_key="k1")
    books.movements[:] = [first, replace(first, provider_id="ch_7", idempotency_key=key)]
    (finding,) = findings(ChargesAreExplained(), books.evidence())
    assert (finding.amount_minor, finding.provider_id, finding.call) == (PAYG, "ch_7", "main-4")
    assert why in finding.message


def test_refused_usage_that_was_charged_is_told() -> None:
    """A charge for usage that was refused is what the customer is out."""
    books = _charged(0)
    books.card = False
    books.tell("record_usage", usage_id="no", quantity=1)
    books.charge(PAYG, "no")
    (finding,) = findings(ChargesAreExplained(), books.evidence())
    assert (finding.amount_minor, "refused" in finding.message) == (PAYG, True)


@pytest.mark.parametrize("names_charges", [True, False])
@pytest.mark.parametrize(("amount", "out"), [(1500, -1400), (PAYG + 1, 1), (2000, -900)])
def test_a_charge_at_another_price_is_told(
    amount: int,
    out: int,
    names_charges: bool,  # noqa: FBT001 - pytest hands it over
) -> None:
    """The difference to the catalogue's price is told, whether the charge is named or not."""
    books = _charged(names_charges=names_charges)
    books.movements[0] = replace(books.movements[0], amount_minor=amount)
    (finding,) = findings(ChargesAreExplained(), books.evidence())
    assert (finding.amount_minor, finding.provider_id) == (out, "ch_1")


def test_a_charge_for_nothing_is_told() -> None:
    """A charge that follows from no operation is what the customer is out."""
    books = _charged(names_charges=False)
    books.movements += [replace(books.movements[0], provider_id=f"ch_{n}") for n in (8, 9)]
    extra = findings(ChargesAreExplained(), books.evidence())
    assert [finding.amount_minor for finding in extra] == [PAYG]
    assert extra[0].operation is None


def test_usage_that_was_answered_as_charged_and_was_not_is_told() -> None:
    """What the target said that it charged and the provider did not move is the merchant's loss."""
    books = _charged()
    del books.movements[0]
    (finding,) = findings(ChargesAreExplained(), books.evidence())
    assert (finding.amount_minor, finding.call) == (-PAYG, "main-4")


def test_ids_that_begin_with_one_another_are_told_apart() -> None:
    """Charges named by their keys alone belong to the id that fits best."""
    books = Books()
    books.tell("add_payment_method")
    books.tell("record_usage", usage_id="all", quantity=5)
    for usage_id in ("u-1", "u-10"):
        books.tell("record_usage", usage_id=usage_id, quantity=1)
    books.movements[:] = [
        replace(movement, metadata={}, idempotency_key=f"charge:{usage_id}")
        for movement, usage_id in zip(books.movements, ("u-1", "u-10"), strict=True)
    ]
    books.payments[:] = [replace(payment, cause=None) for payment in books.payments]
    assert run_check(ChargesAreExplained(), books.evidence()).kind == "valid"


def test_prices_of_either_plan_hold_while_the_plan_is_in_doubt() -> None:
    """An unknown subscription allows the price of both plans, and of no third one."""
    for price, kind in ((PAYG, "valid"), (1500, "valid"), (1600, "invalid")):
        books = _charged(0)
        books.tell("subscribe", "unknown", applied=False, quantity=1)
        books.tell("record_usage", usage_id="u", quantity=1)
        books.movements[0] = replace(books.movements[0], amount_minor=price)
        assert run_check(ChargesAreExplained(), books.evidence()).kind == kind


def test_a_known_subscription_has_its_own_price_only() -> None:
    """Once subscribed, the other plan's price is wrong by the difference."""
    books = _subscribed()
    books.tell("record_usage", usage_id="all", quantity=books.units)
    books.tell("record_usage", usage_id="u", quantity=1)
    books.movements[1] = replace(books.movements[1], amount_minor=PAYG)
    (finding,) = findings(ChargesAreExplained(), books.evidence())
    assert finding.amount_minor == PAYG - 1500


@pytest.mark.parametrize("pro", [True, False])
def test_a_cancelled_subscription_allows_either_price(
    pro: bool,  # noqa: FBT001 - pytest hands it over
) -> None:
    """It may end at once or at the period's end: both plans' prices are right from then on."""
    books = _subscribed()
    books.tell("record_usage", usage_id="all", quantity=books.units)
    books.tell("cancel_subscription")
    books.pro = pro
    books.tell("record_usage", usage_id="u", quantity=1)
    assert books.movements[1].amount_minor == (1500 if pro else PAYG)
    assert run_check(ChargesAreExplained(), books.evidence()).kind == "valid"


@pytest.mark.parametrize("quantity", [1, 2])
def test_a_subscription_at_another_price_is_told(quantity: int) -> None:
    """The first invoice is the plan's price times the quantity."""
    books = _subscribed(quantity)
    books.movements[0] = replace(books.movements[0], amount_minor=59900 * quantity - 900)
    (finding,) = findings(ChargesAreExplained(), books.evidence())
    assert (finding.amount_minor, finding.operation) == (-900, "subscribe")


@pytest.mark.parametrize("invoice", ["in_main-3", "in_other"])
def test_a_subscription_paid_twice_is_told(invoice: str) -> None:
    """A second payment, of the same invoice or another, is what the customer is out."""
    books = _subscribed()
    books.charge(59900, invoice, invoice=invoice)
    (finding,) = findings(ChargesAreExplained(), books.evidence())
    assert (finding.amount_minor, finding.provider_id, finding.call) == (59900, "ch_2", "main-3")


def test_when_time_has_moved_a_renewal_is_no_second_payment() -> None:
    """Invoices of later periods are right once time was advanced; the same one twice is not."""
    books = _subscribed()
    books.tell("advance_time", to=1)
    books.charge(59900, "in_2", invoice="in_2")
    assert run_check(ChargesAreExplained(), books.evidence()).kind == "valid"
    books.charge(59900, "in_2", invoice="in_2")
    assert findings(ChargesAreExplained(), books.evidence())


def test_a_subscription_that_was_refused_and_paid_is_told() -> None:
    """Every charge for a subscription that nobody took out is what the customer is out."""
    books = Books()
    books.tell("subscribe", quantity=1)
    for number in (1, 2):
        books.charge(59900, f"in_{number}", invoice=f"in_{number}")
    told = findings(ChargesAreExplained(), books.evidence())
    assert [(f.amount_minor, f.operation) for f in told] == [(59900, "subscribe")] * 2


def test_units_paid_and_not_credited_are_told_and_the_reverse() -> None:
    """Paid and not credited is the customer's loss, credited and not paid the merchant's."""
    books = _charged(2)
    books.ledger[:] = [entry for entry in books.ledger if entry.cause != "ch_2"]
    (short,) = findings(PurchasesArePaid(), books.evidence())
    assert (short.units, short.amount_minor, short.provider_id) == (1, PAYG, "ch_2")
    books = _charged(2)
    del books.movements[1]
    (over,) = findings(PurchasesArePaid(), books.evidence())
    assert (over.units, over.amount_minor) == (-1, -PAYG)
    books.movements.clear()
    (over,) = findings(PurchasesArePaid(), books.evidence())
    assert (over.units, over.amount_minor, over.provider_id) == (-2, -2 * PAYG, None)


def test_several_units_bought_at_once_are_told_at_the_price_of_one() -> None:
    """A charge for three units of which one was not credited leaves the customer out of one."""
    books = _charged(0)
    books.tell("record_usage", usage_id="three", quantity=3)
    books.ledger[-2] = replace(books.ledger[-2], units=2)
    (finding,) = findings(PurchasesArePaid(), books.evidence())
    assert (finding.units, finding.amount_minor) == (1, PAYG)


def test_a_usage_told_again_after_the_price_changed_keeps_its_price() -> None:
    """What was bought before a subscription is counted at the price of then."""
    books = _charged(0)
    books.tell("record_usage", usage_id="two", quantity=2)
    books.tell("subscribe", quantity=1)
    books.tell("record_usage", usage_id="two", quantity=2)
    assert {told.kind for told in run_checks(books.evidence())} <= {"valid", "skipped"}


def test_an_unknown_usage_may_have_been_charged_or_not() -> None:
    """Charged with its credit, or neither: both are right where nobody knows."""
    for applied in (True, False):
        books = _charged(0)
        books.tell("record_usage", "unknown", applied=applied, usage_id="u", quantity=1)
        assert {told.kind for told in run_checks(books.evidence())} <= {"valid", "skipped"}


def test_failed_attempts_are_no_charges() -> None:
    """An attempt that did not move money needs neither a payment nor an operation."""
    books = _charged()
    attempt = replace(books.movements[0], provider_id="ch_9", state="failed", metadata={})
    books.movements.append(attempt)
    assert {told.kind for told in run_checks(books.evidence())} <= {"valid", "skipped"}


def test_charges_of_others_are_not_looked_at() -> None:
    """A journal may hold other customers' money, or nobody's; it is not this one's."""
    books = _charged()
    other = Movement("charge", "ch_9", "cus_9", 1, "usd", "succeeded", 1)
    books.movements += [other, replace(other, provider_id="ch_10", customer=None)]
    assert {told.kind for told in run_checks(books.evidence())} <= {"valid", "skipped"}


@pytest.mark.parametrize(
    ("parts", "booked", "kind"),
    [
        ((-PAYG,), ("du_1",), "valid"),
        ((-PAYG,), (), "invalid"),
        ((-PAYG, PAYG), (), "valid"),
        ((-PAYG, PAYG), ("du_1", "txn_2"), "valid"),
        ((-PAYG, PAYG), ("du_1",), "invalid"),
    ],
    ids=["taken", "taken, not booked", "won, not booked", "won, both booked", "won, taken booked"],
)
def test_a_dispute_counts_with_what_came_back(
    parts: tuple[int, ...], booked: tuple[str, ...], kind: str
) -> None:
    """A dispute that was won moved nothing in sum; its parts go by their balance transactions."""
    books = _charged()
    for number, amount in enumerate(parts, 1):
        told = replace(books.movements[0], type="dispute", provider_id="du_1", amount_minor=amount)
        books.movements.append(replace(told, parts=(f"txn_{number}",)))
    for name, amount in zip(booked, parts, strict=False):
        books.payments.append(replace(books.payments[0], provider_id=name, amount_minor=amount))
    verdict = run_check(BooksEqualProvider(), books.evidence())
    assert verdict.kind == kind, verdict
    assert kind == "valid" or [abs(f.amount_minor or 0) for f in verdict.findings] == [PAYG]
