"""Cursor pages, stable while rows are added: a cursor is the place of the last row seen."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from simulators.billing.problems import Rejection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import InstrumentedAttribute, Session

NEWEST_FIRST = "-created_at"
OLDEST_FIRST = "created_at"
_POSITION_MAX = 2**62


@dataclass(frozen=True, slots=True)
class PageQuery:
    """What a client asked for, as text; nothing of it reaches SQL but as a bound value."""

    limit: int = 20
    cursor: str | None = None
    sort: str = NEWEST_FIRST
    filter: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A table that can be paged: what orders it, and by which columns it may be filtered."""

    table: Any
    position: InstrumentedAttribute[int]
    filters: Mapping[str, InstrumentedAttribute[Any]]


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, and where the next page starts, if there is one."""

    rows: Sequence[Any]
    next_cursor: str | None


def page(session: Session, listing: Listing, customer_id: str, query: PageQuery) -> Page:
    """Give one page of a customer's rows."""
    if query.sort not in {NEWEST_FIRST, OLDEST_FIRST}:
        raise _invalid(f"sort must be {NEWEST_FIRST} or {OLDEST_FIRST}")
    newest_first = query.sort == NEWEST_FIRST
    place = listing.position
    statement = select(listing.table).where(listing.table.customer_id == customer_id)
    if query.filter is not None:
        column, value = _filter(listing, query.filter)
        statement = statement.where(column == value)
    if query.cursor is not None:
        last = _decode(query.cursor, query.sort)
        statement = statement.where(place < last if newest_first else place > last)
    statement = statement.order_by(place.desc() if newest_first else place.asc())
    rows = session.scalars(statement.limit(query.limit + 1)).all()
    if len(rows) <= query.limit:
        return Page(rows, None)
    shown = rows[: query.limit]
    return Page(shown, _encode(getattr(shown[-1], place.key), query.sort))


def _filter(listing: Listing, text: str) -> tuple[InstrumentedAttribute[Any], str]:
    name, colon, value = text.partition(":")
    column = listing.filters.get(name)
    if not colon or column is None or "\0" in value:
        raise _invalid("filter must be field:value, of " + ", ".join(sorted(listing.filters)))
    return column, value


def _encode(position: int, sort: str) -> str:
    return base64.urlsafe_b64encode(f"{sort}|{position}".encode()).decode().rstrip("=")


def _decode(cursor: str, sort: str) -> int:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), "-_", validate=True).decode()
        told_sort, _, digits = text.partition("|")
        position = int(digits)
    except (ValueError, binascii.Error):
        raise _invalid("cursor is not one of ours") from None
    if told_sort != sort or not 0 <= position < _POSITION_MAX:
        raise _invalid("cursor belongs to another listing")
    return position


def _invalid(detail: str) -> Rejection:
    return Rejection(422, "invalid_query", detail)
