"""What a piece costs, and which units come for nothing."""

from __future__ import annotations

CURRENCY = "eur"
WELCOME_UNITS = 3
CARD_BONUS_UNITS = 2
RUNNING_LOW_UNITS = 1

PIECE_MINOR = {"free": 1250, "metered": 1250, "business": 975}
"""The price of a piece beyond the units at hand, by tariff."""

BUSINESS_MONTH_MINOR = 24000
BUSINESS_UNITS = 20
BUSINESS_ROLLOVER_UNITS = 4


def money(amount_minor: int) -> dict[str, str]:
    """Write an amount as Acme's API does.

    >>> money(1250)
    {'value': '12.50', 'currency': 'eur'}
    """
    return {"value": f"{amount_minor // 100}.{amount_minor % 100:02d}", "currency": CURRENCY}
