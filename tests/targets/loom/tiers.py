"""What a seat costs a month, and a yard of cloth, in pence."""

from __future__ import annotations

from typing import NamedTuple

CURRENCY = "gbp"


class Tier(NamedTuple):
    """Prices in minor units: of a seat for a month, and of a yard whenever it is woven."""

    seat_minor: int
    yard_minor: int


TIERS = {"studio": Tier(4900, 37), "mill": Tier(19900, 23)}
