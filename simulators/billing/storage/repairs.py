"""What the reconciler needs to know: cards under way at Stripe, how far it read, what it found."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from simulators.billing.storage.tables import Base


class CardAttempt(Base):
    """A card that is about to be attached, as its holder agreed; gone once it is known how it went.

    `id` is what the idempotency keys of its requests to Stripe are made of; `token` is Stripe's
    name for the card.
    """

    __tablename__ = "card_attempts"
    id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"), index=True)
    token: Mapped[str]
    consented_at: Mapped[int]
    next_try_at: Mapped[int]
    __table_args__ = ({"sqlite_strict": True},)


class ReconcilerState(Base):
    """When the reconciler runs next, who runs it, and through when (Stripe's time) it has read."""

    __tablename__ = "reconciler_state"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    read_through: Mapped[int]
    next_run_at: Mapped[int]
    claimed_until: Mapped[int]
    __table_args__ = (CheckConstraint("id = 1", "one_row"), {"sqlite_strict": True})


class Finding(Base):
    """What the reconciler could not settle, and leaves to a person; `resolved_at` once it is gone.

    `subject` is an id, here or at Stripe.
    """

    __tablename__ = "reconciler_findings"
    kind: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    detail: Mapped[str]
    first_seen_at: Mapped[int]
    last_seen_at: Mapped[int]
    resolved_at: Mapped[int | None]
    __table_args__ = ({"sqlite_strict": True},)
