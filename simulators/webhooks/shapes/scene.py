"""The facts that all objects of one purchase agree on: who, what, how much, when."""

from __future__ import annotations

import copy
import secrets
import string
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulators.webhooks.events import Obj

API_VERSION = "2026-10-28.endive"
"""The newest version that the installed `stripe` package knows; its annotations are the shapes."""

_ALPHABET = string.ascii_letters + string.digits
_TOKEN_LETTERS = 22
_DECEMBER = 12


def new_token() -> str:
    """Draw what sets the ids of one purchase apart from all others: an identity, no choice."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_TOKEN_LETTERS))


def fresh(template: Obj, **fields: object) -> Obj:
    """Return a new object from a template, its id first, with these fields in place of its own."""
    first = {"id": fields["id"]} if "id" in fields else {}
    return {**first, **copy.deepcopy(template), **fields}


def month_later(moment: int, months: int = 1) -> int:
    """Return the same day and hour of a later month, or that month's last day; Unix seconds.

    >>> datetime.fromtimestamp(month_later(1706659200), UTC).date().isoformat()
    '2024-02-29'
    """
    begin = datetime.fromtimestamp(moment, UTC)
    count = begin.month - 1 + months
    year, month = begin.year + count // _DECEMBER, count % _DECEMBER + 1
    following = datetime(year + month // _DECEMBER, month % _DECEMBER + 1, 1, tzinfo=UTC)
    length_days = (following - datetime(year, month, 1, tzinfo=UTC)).days
    return int(begin.replace(year=year, month=month, day=min(begin.day, length_days)).timestamp())


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One customer's purchase of a monthly plan.

    `now` is when things happen and `began_at` since when customer and subscription exist, both in
    Unix seconds. `amount_minor` is what a month costs for the whole `quantity`, which divides it.
    `token` ends every id that is not given; `ids` gives ids by prefix. A plan is the id of a price.
    """

    now: int
    began_at: int
    customer: str
    subscription: str
    plan: str
    amount_minor: int
    currency: str
    quantity: int = 1
    token: str = field(default_factory=new_token)
    ids: dict[str, str] = field(default_factory=dict)

    def id(self, prefix: str) -> str:
        """Return the id of this scene's object of that kind, always the same."""
        return self.ids.get(prefix) or f"{prefix}_{self.token}"

    @property
    def unit_minor(self) -> int:
        """What one unit of the plan costs a month."""
        return self.amount_minor // self.quantity

    def period(self, back: int = 0) -> tuple[int, int]:
        """Return the month that runs at `now`, or one before it.

        Months are counted from the beginning, so a short one shifts none of those that follow.

        >>> january = 1706659200  # 31 January 2024
        >>> scene = Scene(now=january + 40 * 86_400, began_at=january, customer="cus_1",
        ...     subscription="sub_1", plan="price_1", amount_minor=100, currency="usd")
        >>> [datetime.fromtimestamp(end, UTC).strftime("%d %b") for end in scene.period()]
        ['29 Feb', '31 Mar']
        """
        months = 0
        while month_later(self.began_at, months + 1) <= self.now:
            months += 1
        start = months - back
        return month_later(self.began_at, start), month_later(self.began_at, start + 1)
