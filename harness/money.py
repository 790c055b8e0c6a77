"""Money as targets write it, turned into integers in minor units, and back.

Exponents are ISO 4217's; Stripe's list of zero- and three-decimal currencies is the same but for
currencies that no longer have coins (https://docs.stripe.com/currencies#zero-decimal).
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Literal

MoneyForm = Literal["minor", "decimal_string", "decimal_number"]

_ZERO_DECIMAL = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf".split()  # noqa: SIM905 - a list of codes reads best as one line
)
_THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})


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
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise NotMoney(f"{value!r} is not a decimal amount") from None
    if not amount.is_finite():
        raise NotMoney(f"{value!r} is not a finite amount")
    return amount


def _from_decimal(amount: Decimal, currency: str) -> int:
    scaled = amount.scaleb(exponent(currency))
    if scaled != scaled.to_integral_value():
        raise NotMoney(f"{amount} has a fraction of the smallest unit of {currency}")
    return int(scaled)


def from_minor(amount_minor: int, form: MoneyForm, currency: str) -> int | str | Decimal:
    """Write an amount in the form that a target takes.

    >>> from_minor(1250, "decimal_string", "eur")
    '12.50'
    """
    if form == "minor":
        return amount_minor
    amount = Decimal(amount_minor).scaleb(-exponent(currency))
    return f"{amount:f}" if form == "decimal_string" else amount


def spoken(amount_minor: int, currency: str) -> str:
    """Write an amount for people.

    >>> spoken(-59900, "usd")
    '-599.00 USD'
    """
    places = exponent(currency)
    return f"{Decimal(amount_minor).scaleb(-places):.{places}f} {currency.upper()}"
