from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.money import MoneyForm, NotMoney, exponent, from_minor, spoken, to_minor
from harness.target.template import encode

CURRENCIES = st.sampled_from(["usd", "EUR", "jpy", "KRW", "kwd", "BHD"])
FORMS: st.SearchStrategy[MoneyForm] = st.sampled_from(["minor", "decimal_string", "decimal_number"])
AMOUNTS = st.integers(-(10**30), 10**30)


@given(AMOUNTS, FORMS, CURRENCIES)
def test_an_amount_survives_the_way_out_and_back(amount: int, form: MoneyForm, code: str) -> None:
    """What is written in any form and currency is read as the same amount."""
    assert to_minor(from_minor(amount, form, code), form, code) == amount


@given(st.integers(-(10**13), 10**13), FORMS, CURRENCIES)
def test_an_amount_survives_the_wire(amount: int, form: MoneyForm, code: str) -> None:
    """An amount written as JSON and parsed as replies are is the same amount."""
    _, body = encode({"amount": from_minor(amount, form, code)}, "json")
    parsed = json.loads(body, parse_float=Decimal)
    assert to_minor(parsed["amount"], form, code) == amount


@given(AMOUNTS, CURRENCIES)
def test_a_decimal_has_the_currencys_decimals(amount: int, code: str) -> None:
    """Text shows exactly as many decimals as the currency has."""
    written = str(from_minor(amount, "decimal_string", code))
    assert len(written.partition(".")[2]) == exponent(code)


@given(AMOUNTS, CURRENCIES, st.integers(1, 9), st.integers(1, 40))
def test_a_fraction_of_the_smallest_unit_is_no_money(
    amount: int, code: str, digit: int, zeros: int
) -> None:
    """A digit after the last decimal is refused, however far behind it stands."""
    written = str(from_minor(amount, "decimal_string", code))
    point = "" if "." in written else "."
    fraction = f"{written}{point}{'0' * (zeros - 1)}{digit}"
    with pytest.raises(NotMoney):
        to_minor(fraction, "decimal_string", code)
    with pytest.raises(NotMoney):
        to_minor(Decimal(fraction), "decimal_number", code)


@pytest.mark.parametrize("form", ["minor", "decimal_string", "decimal_number"])
@pytest.mark.parametrize(
    "value", [True, False, None, 12.5, float("nan"), [], {}, b"1", Decimal("NaN"), Decimal("Inf")]
)
def test_what_is_no_amount_is_refused(value: object, form: MoneyForm) -> None:
    """Booleans, floats, nothing, and numbers that are not finite are no money in any form."""
    with pytest.raises(NotMoney):
        to_minor(value, form, "usd")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "12,50",
        "1_000",
        " 12.50",
        "12.50\n",
        "$1",
        "NaN",
        "1e2",
        "1e999999999",
        "١٢",
        "--1",
    ],
)
def test_text_that_is_no_plain_decimal_is_refused(text: str) -> None:
    """Only digits with a point and a sign are an amount in text."""
    with pytest.raises(NotMoney):
        to_minor(text, "decimal_string", "usd")


def test_forms_are_not_mixed_up() -> None:
    """Text is no number, a number is no text, and a decimal is nothing in minor units."""
    for value, form in (("5", "minor"), (5, "decimal_string"), ("5", "decimal_number")):
        with pytest.raises(NotMoney):
            to_minor(value, form, "usd")  # type: ignore[arg-type] # the loop's literal widens
    assert to_minor(5, "decimal_number", "usd") == 500


@pytest.mark.parametrize("text", ["1e999999", "-1E+999999", "1e400000000"])
def test_a_number_beyond_all_money_is_refused(text: str) -> None:
    """A number with an exponent meant to exhaust its reader is refused at once."""
    with pytest.raises(NotMoney):
        to_minor(json.loads(text, parse_float=Decimal), "decimal_number", "usd")


def test_amounts_are_spoken_with_their_currency() -> None:
    """People read amounts in the major unit, with the sign and the code."""
    told = [spoken(-5, "usd"), spoken(1250, "jpy"), spoken(1250, "kwd"), spoken(0, "eur")]
    assert told == ["-0.05 USD", "1250 JPY", "1.250 KWD", "0.00 EUR"]
