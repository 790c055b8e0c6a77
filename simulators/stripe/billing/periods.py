"""Billing periods: how an anchor divides time.

An anchor keeps its day of the month: 31 January renews on 28 February and then on 31 March.
Everything is UTC, so daylight saving moves nothing.
"""

import calendar
from datetime import UTC, datetime

DAY_S = 86_400
_MONTHS = {"month": 1, "year": 12}
_DAYS = {"day": 1, "week": 7}


def boundary(anchor: int, interval: str, interval_count: int, index: int) -> int:
    """Return the anchor moved by `index` periods, in seconds since 1970; `index` may be negative.

    >>> jan_31 = 1_706_659_200
    >>> [datetime.fromtimestamp(boundary(jan_31, "month", 1, n), UTC).day for n in range(4)]
    [31, 29, 31, 30]
    """
    if interval in _DAYS:
        return anchor + index * interval_count * _DAYS[interval] * DAY_S
    start = datetime.fromtimestamp(anchor, UTC)
    months = start.year * 12 + start.month - 1 + index * interval_count * _MONTHS[interval]
    year, month = divmod(months, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())


def period_around(anchor: int, interval: str, interval_count: int, moment: int) -> tuple[int, int]:
    """Return the period of the anchor's grid that contains `moment`: [start, end)."""
    days = _DAYS.get(interval, 0) or _MONTHS.get(interval, 1) * 28
    index = (moment - anchor) // (days * interval_count * DAY_S)
    while boundary(anchor, interval, interval_count, index) > moment:
        index -= 1
    while boundary(anchor, interval, interval_count, index + 1) <= moment:
        index += 1
    return (
        boundary(anchor, interval, interval_count, index),
        boundary(anchor, interval, interval_count, index + 1),
    )


def prorate(amount_minor: int, part_s: int, whole_s: int) -> int:
    """Return the share of an amount for part of a period, to the second, halves away from zero.

    >>> prorate(1000, 1, 3), prorate(5, 1, 2), prorate(-5, 1, 2)
    (333, 3, -3)
    """
    share = (2 * abs(amount_minor) * part_s + whole_s) // (2 * whole_s)
    return share if amount_minor >= 0 else -share
