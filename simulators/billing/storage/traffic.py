"""What was asked of the service lately, by whom: the rows that the limits are counted from."""

from __future__ import annotations

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from simulators.billing.storage.tables import Base


class RateHit(Base):
    """How many requests of a subject were let through in one second.

    A subject is a key's place, the operator, or the keyed hash of an address. Rows that have left
    the window are deleted, so the table is never larger than an hour of traffic.
    """

    __tablename__ = "rate_hits"
    subject: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, index=True)
    hits: Mapped[int]
    __table_args__ = (CheckConstraint("hits > 0", "hits"), {"sqlite_strict": True})
