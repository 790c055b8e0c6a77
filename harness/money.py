"""Money as targets write it, turned into integers in minor units, and back.

Exponents are ISO 4217's; Stripe's list of zero- and three-decimal currencies is the same but for
currencies that no longer have coins (https://docs.stripe.com/currencies#zero-decimal).
"""

from __future__ import annotations

import re
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow
from typing import Literal

MoneyForm = Literal["minor", "decimal_string", "decimal_number"]

_ZERO_DECIMAL = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf".split()  # noqa: SIM905 - a list of codes reads best as one line
)
_THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
_DIGITS_MAX = 60
# Nothing is rounded silently: what does not fit is an error.
_EXACT = Context(prec=_DIGITS_MAX, traps=[Inexact, InvalidOperation, Overflow])
_PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?")


class NotMoney(ValueError):
    """A value that cannot be an amount in this form and currency."""


def exponent(currency: str) -> int:
    """Give the number of decimals of a currency.

    >>> exponent("usd"), exponent("JPY"), exponent("kwd")
    (2, 0, 3)
    """
    code = currency.lower()
    if code in _ZERO_DECIMAL:
        return 0
    return 3 if code in _THREE_DECIMAL else 2


def to_minor(value: object, form: MoneyForm, currency: str) -> int:
    """Turn an amount as a target wrote it into minor units.

    Raises `NotMoney` for anything that is not exactly an amount: a fraction of the smallest unit,
    a boolean, a number where text was declared.

    >>> to_minor("12.50", "decimal_string", "eur")
    1250
    >>> to_minor(500, "minor", "jpy")
    500
    """
    if form == "minor":
        if isinstance(value, bool) or not isinstance(value, int):
            raise NotMoney(f"{value!r} is not an integer in minor units")
        return value
    return _from_decimal(_as_decimal(value, form), currency)


def _as_decimal(value: object, form: MoneyForm) -> Decimal:
    wanted = str if form == "decimal_string" else (int, Decimal)
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise NotMoney(f"{value!r} is not a {form.replace('_', ' ')}")
    if isinstance(value, str) and not _PLAIN.fullmatch(value):
        raise NotMoney(f"{value!r} is not a decimal amount")
    return Decimal(value)


def _from_decimal(amount: Decimal, currency: str) -> int:
    try:
        scaled = _EXACT.scaleb(amount, exponent(currency))
        whole = _EXACT.to_integral_exact(scaled)
    except DecimalException:
        raise NotMoney(
            f"{amount} is not a whole number of the smallest unit of {currency}"
        ) from None
    if not whole.is_finite() or whole.adjusted() >= _DIGITS_MAX:
        raise NotMoney(f"{amount} is no amount of money")
    return int(whole)


def from_minor(amount_minor: int, form: MoneyForm, currency: str) -> int | str | Decimal:
    """Write an amount in the form that a target takes.

    >>> from_minor(1250, "decimal_string", "eur")
    '12.50'
    """
    if form == "minor":
        return amount_minor
    amount = _EXACT.scaleb(Decimal(amount_minor), -exponent(currency))
    return f"{amount:f}" if form == "decimal_string" else amount


def spoken(amount_minor: int, currency: str) -> str:
    """Write an amount for people.

    >>> spoken(-59900, "usd")
    '-599.00 USD'
    """
    places = exponent(currency)
    return f"{Decimal(amount_minor).scaleb(-places):.{places}f} {currency.upper()}"
