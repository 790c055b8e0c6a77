from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from harness.checks.money import BooksEqualProvider, ChargesAreExplained
from harness.checks.verdict import run_check
from tests.core.books import CATALOG, Books
from tests.core.test_checks_ledger import findings

if TYPE_CHECKING:
    from harness.checks.evidence import Evidence

PRO = CATALOG.plans["pro"]
PRICE, UNIT = PRO.price_minor, PRO.overage_minor or 0
METERED = CATALOG.model_copy(update={"usage_billed": "with_invoice"})


def _metered(*invoices: int, used: int = 2, moved: bool = True) -> Evidence:
    """Give what was seen of a subscriber who used so many units, and paid these invoices after."""
    books = Books()
    books.tell("add_payment_method")
    books.tell("subscribe")
    for number in range(used):
        books.tell("record_usage", usage_id=f"u{number}", quantity=1)
    if moved:
        books.tell("advance_time", to=1)
    else:
        books.tell("cancel_subscription")
    for place, amount_minor in enumerate(invoices):
        books.charge(amount_minor, f"in_{place}", invoice=f"in_later_{place}")
    return replace(books.evidence(), catalog=METERED)


@pytest.mark.parametrize(
    "invoices", [(PRICE,), (PRICE + 2 * UNIT,), (PRICE + UNIT, PRICE + UNIT), (PRICE, 2 * UNIT)]
)
def test_an_invoice_may_bill_the_period_and_what_was_used(invoices: tuple[int, ...]) -> None:
    """The plan's price with none, some or all of the usage on it is explained, each usage once."""
    assert run_check(ChargesAreExplained(), _metered(*invoices)).kind == "valid"


@pytest.mark.parametrize(
    ("invoices", "out"),
    [
        ((PRICE + 3 * UNIT,), UNIT),
        ((PRICE + 2 * UNIT, PRICE + UNIT), UNIT),
        ((PRICE + UNIT - 1,), -1),
        ((PRICE + 1,), 1),
    ],
)
def test_usage_billed_again_or_at_another_price_is_told(
    invoices: tuple[int, ...], out: int
) -> None:
    """What an invoice takes beyond the plan and the usage not yet billed is told."""
    (finding,) = findings(ChargesAreExplained(), _metered(*invoices))
    assert (finding.customer, finding.amount_minor) == ("c1", out)
    assert finding.operation == "record_usage"
    assert "for it and for what was used" in finding.message


def test_the_last_usage_is_billed_when_the_subscription_ends() -> None:
    """After a cancellation one invoice more may come, of usage alone; without usage none may."""
    explained = run_check(ChargesAreExplained(), _metered(2 * UNIT, moved=False))
    assert explained.kind == "valid"
    (finding,) = findings(ChargesAreExplained(), _metered(PRICE, moved=False, used=0))
    assert "that no operation took out" in finding.message
    told = findings(ChargesAreExplained(), _metered(UNIT, UNIT, moved=False))
    assert ["that no operation took out" in finding.message for finding in told] == [True]


def test_a_charge_beside_the_invoices_is_told() -> None:
    """Where usage goes on the invoice, whatever is charged at once is charged too much."""
    books = Books()
    books.tell("record_usage", usage_id="u1", quantity=1)
    books.charge(UNIT, "u1")
    evidence = replace(books.evidence(), catalog=METERED)
    (finding,) = findings(ChargesAreExplained(), evidence)
    assert (finding.amount_minor, finding.operation) == (UNIT, "record_usage")
    assert "charged at once for usage u1" in finding.message


def test_a_refund_that_is_not_booked_names_who_gave_it() -> None:
    """Money given back that stands nowhere is told with the refund that gave it."""
    books = Books()
    books.tell("add_payment_method")
    books.tell("subscribe")
    call = books.tell("refund_payment", payment="ch_1", amount_minor=PRICE)
    charge = books.movements[0]
    books.movements.append(
        replace(charge, type="refund", provider_id="re_1", amount_minor=-PRICE, invoice=None)
    )
    (finding,) = findings(BooksEqualProvider(), books.evidence())
    assert (finding.operation, finding.call) == ("refund_payment", call)
    assert finding.amount_minor == -PRICE
