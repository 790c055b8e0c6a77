"""The schema as the code sees it; what the ledger's truth rests on, the database holds itself.

Times are Unix seconds, amounts minor units, flags 0 or 1; only types that SQLite's STRICT tables
and PostgreSQL share. What no constraint can say is in `guards`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# SQLite's rowid alias must be spelt INTEGER; elsewhere Unix times need 64 bits.
Int = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Names every constraint, so that a migration can name it too."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {int: Int, str: Text, bytes: LargeBinary}


def _table(*arguments: Any) -> tuple[Any, ...]:
    return (*arguments, {"sqlite_strict": True})


def _live(name: str, *columns: str, where: str) -> Index:
    """Make an index unique among the rows that `where` says are alive."""
    return Index(
        name, *columns, unique=True, sqlite_where=text(where), postgresql_where=text(where)
    )


class Deployment(Base):
    """Which environment this database belongs to: one row, and production is for ever."""

    __tablename__ = "deployment"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    environment: Mapped[str]
    __table_args__ = _table(CheckConstraint("id = 1", "one_row"))


class ClockOffset(Base):
    """How far test controls have moved the clock from the wall's, for every process."""

    __tablename__ = "clock_offset"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    offset_s: Mapped[int]
    __table_args__ = _table(CheckConstraint("id = 1", "one_row"))


class Customer(Base):
    """A customer. The balance is not here: it is the ledger's."""

    __tablename__ = "customers"
    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str]
    name: Mapped[str | None]
    source: Mapped[str]
    installation_id: Mapped[str | None]
    stripe_customer_id: Mapped[str] = mapped_column(unique=True)
    plan: Mapped[str]
    created_at: Mapped[int]
    closed_at: Mapped[int | None]
    __table_args__ = _table(
        CheckConstraint("plan IN ('trial', 'payg', 'pro')", "plan"),
        CheckConstraint("source IN ('direct', 'gh_marketplace')", "source"),
        _live("uq_customers_open_email", "email", where="closed_at IS NULL"),
        _live("uq_customers_open_install", "installation_id", where="closed_at IS NULL"),
    )


class OnboardingAttempt(Base):
    """An onboarding under way, or cut off: its ids are used again for the same e-mail."""

    __tablename__ = "onboarding_attempts"
    email_digest: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[int]
    stripe_customer_id: Mapped[str | None]
    __table_args__ = _table()


class EarnedGrant(Base):
    """A grant that an e-mail has earned once in its life, whichever account it came with."""

    __tablename__ = "earned_grants"
    email_digest: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"), index=True)
    __table_args__ = _table()


class ApiKey(Base):
    """A customer's key, as a keyed hash; two slots, so that at most two keys live at once."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"), index=True)
    digest: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[int]
    revoked_at: Mapped[int | None]
    slot: Mapped[int] = mapped_column(CheckConstraint("slot IN (1, 2)", "slot"), server_default="1")
    rotated_by: Mapped[str | None]
    __table_args__ = _table(
        _live("uq_api_keys_live_slot", "customer_id", "slot", where="revoked_at IS NULL")
    )


class PaymentMethod(Base):
    """A card on file at Stripe; nothing of its number but the last four digits."""

    __tablename__ = "payment_methods"
    position: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"), index=True)
    brand: Mapped[str | None]
    last4: Mapped[str | None]
    exp_month: Mapped[int | None]
    exp_year: Mapped[int | None]
    is_default: Mapped[int]
    consented_at: Mapped[int]
    created_at: Mapped[int]
    removed_at: Mapped[int | None]
    detached_at: Mapped[int | None]
    __table_args__ = (
        CheckConstraint("is_default IN (0, 1)", "is_default"),
        _live(
            "uq_payment_methods_default",
            "customer_id",
            where="is_default = 1 AND removed_at IS NULL",
        ),
        {"sqlite_strict": True, "sqlite_autoincrement": True},
    )


class CreditTransaction(Base):
    """An entry of the ledger; a stale or racing one has no place in the chain."""

    __tablename__ = "credit_transactions"
    id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"))
    sequence: Mapped[int]
    previous_sequence: Mapped[int | None]
    balance_before: Mapped[int]
    amount: Mapped[int]
    balance_after: Mapped[int]
    source: Mapped[str]
    cause: Mapped[str]
    details: Mapped[str]
    created_at: Mapped[int]
    __table_args__ = _table(
        UniqueConstraint("customer_id", "sequence"),
        # What the next entry refers to.
        UniqueConstraint("customer_id", "sequence", "balance_after"),
        UniqueConstraint("customer_id", "source", "cause"),
        ForeignKeyConstraint(
            ["customer_id", "previous_sequence", "balance_before"],
            [
                "credit_transactions.customer_id",
                "credit_transactions.sequence",
                "credit_transactions.balance_after",
            ],
            name="fk_credit_transactions_chain",
        ),
        CheckConstraint("balance_after = balance_before + amount", "sum"),
        CheckConstraint("balance_before >= 0 AND balance_after >= 0", "never_negative"),
        # A nullable foreign key checks nothing, so the first entry needs a rule of its own.
        CheckConstraint(
            "(sequence = 1 AND previous_sequence IS NULL AND balance_before = 0)"
            " OR (sequence > 1 AND previous_sequence IS NOT NULL"
            " AND previous_sequence = sequence - 1)",
            "chain",
        ),
        CheckConstraint(
            "(source IN ('trial_signup', 'trial_billing_added', 'pro_subscription_payment',"
            " 'purchased') AND amount > 0)"
            " OR (source = 'consumed' AND amount = -1)"
            " OR (source = 'rollover_expired' AND amount < 0)"
            " OR (source = 'adjustment' AND amount <> 0)",
            "sign",
        ),
        CheckConstraint("cause <> ''", "cause"),
    )


class Payment(Base):
    """One movement of money: a charge, a refund, a dispute. States are derived from these."""

    __tablename__ = "payments"
    position: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"), index=True)
    kind: Mapped[str]
    stripe_id: Mapped[str] = mapped_column(unique=True)
    payment_intent: Mapped[str | None]
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("payments.id"), index=True)
    amount_minor: Mapped[int]
    currency: Mapped[str]
    cause: Mapped[str]
    plan: Mapped[str]
    created_at: Mapped[int]
    __table_args__ = (
        CheckConstraint(
            "(kind = 'charge' AND amount_minor > 0 AND parent_id IS NULL)"
            " OR (kind = 'refund' AND amount_minor < 0 AND parent_id IS NOT NULL)"
            " OR (kind = 'dispute' AND amount_minor <> 0 AND parent_id IS NOT NULL)",
            "sign",
        ),
        CheckConstraint("cause <> ''", "cause"),
        {"sqlite_strict": True, "sqlite_autoincrement": True},
    )


class Debt(Base):
    """Credits taken back after their use (positive), or paid off by a later grant (negative)."""

    __tablename__ = "debts"
    id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"))
    units: Mapped[int]
    cause: Mapped[str]
    created_at: Mapped[int]
    __table_args__ = _table(
        UniqueConstraint("customer_id", "cause"), CheckConstraint("units <> 0", "units")
    )


class PurgePermit(Base):
    """Leave to delete a customer's append-only rows; refused by the database in production."""

    __tablename__ = "purge_permits"
    customer_id: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[int]
    __table_args__ = _table()


class FixAttempt(Base):
    """One try to have a fix paid for; of a fix, at most one is pending or has succeeded."""

    __tablename__ = "fix_attempts"
    position: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"))
    fix_id: Mapped[str]
    number: Mapped[int]
    repository: Mapped[str | None]
    outcome: Mapped[str]
    reason: Mapped[str | None]
    plan: Mapped[str]
    amount_minor: Mapped[int]
    currency: Mapped[str]
    payment_method_id: Mapped[str | None]
    payment_intent: Mapped[str | None]
    answer: Mapped[str | None]
    created_at: Mapped[int]
    settled_at: Mapped[int | None]
    # How many requests have taken this on; only the newest may call it off.
    claims: Mapped[int]
    next_try_at: Mapped[int | None]
    __table_args__ = (
        UniqueConstraint("customer_id", "fix_id", "number"),
        CheckConstraint("outcome IN ('pending', 'credit', 'charged', 'refused')", "outcome"),
        CheckConstraint("(answer IS NOT NULL) = (outcome IN ('credit', 'charged'))", "answer"),
        _live("uq_fix_attempts_living", "customer_id", "fix_id", where="outcome <> 'refused'"),
        Index("ix_fix_attempts_outcome_next_try_at", "outcome", "next_try_at"),
        {"sqlite_strict": True, "sqlite_autoincrement": True},
    )


class Subscription(Base):
    """A subscription as last seen at Stripe; `revision` counts how often it was brought level."""

    __tablename__ = "subscriptions"
    position: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"))
    stripe_id: Mapped[str | None] = mapped_column(unique=True)
    plan: Mapped[str]
    quantity: Mapped[int]
    payment_method_id: Mapped[str | None]
    status: Mapped[str]
    current_period_start: Mapped[int | None]
    current_period_end: Mapped[int | None]
    cancel_at_period_end: Mapped[int]
    ends_at: Mapped[int | None]
    created_at: Mapped[int]
    ended_at: Mapped[int | None]
    rolled_through: Mapped[int | None]
    revision: Mapped[int]
    # How many requests have taken this on; only the newest may call it off.
    claims: Mapped[int]
    next_try_at: Mapped[int | None]
    __table_args__ = (
        CheckConstraint("quantity > 0", "quantity"),
        _live("uq_subscriptions_living", "customer_id", where="ended_at IS NULL"),
        Index("ix_subscriptions_status_next_try_at", "status", "next_try_at"),
        {"sqlite_strict": True, "sqlite_autoincrement": True},
    )


class Invoice(Base):
    """An invoice as last seen at Stripe; `settled_at` is set once it is in the books."""

    __tablename__ = "invoices"
    position: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"), index=True)
    subscription_stripe_id: Mapped[str | None]
    status: Mapped[str]
    billing_reason: Mapped[str | None]
    amount_due_minor: Mapped[int]
    amount_paid_minor: Mapped[int]
    currency: Mapped[str]
    credits_granted: Mapped[int]
    period_start: Mapped[int]
    period_end: Mapped[int]
    created_at: Mapped[int]
    settled_at: Mapped[int | None]
    __table_args__ = ({"sqlite_strict": True, "sqlite_autoincrement": True},)


class WebhookEvent(Base):
    """A verified event, stored before it was acknowledged, and what became of it."""

    __tablename__ = "webhook_events"
    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    payload: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str | None]
    tries: Mapped[int]
    received_at: Mapped[int]
    next_try_at: Mapped[int]
    claimed_until: Mapped[int]
    settled_at: Mapped[int | None]
    customer_id: Mapped[str | None] = mapped_column(index=True)
    __table_args__ = _table(
        CheckConstraint("state IN ('pending', 'waiting', 'done', 'ignored', 'expired')", "state"),
        Index("ix_webhook_events_state_next_try_at", "state", "next_try_at"),
    )


class IdempotencyRecord(Base):
    """A client's idempotency key (a keyed hash) and its first answer, sealed if secret."""

    __tablename__ = "idempotency_records"
    scope: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str | None] = mapped_column(index=True)
    fingerprint: Mapped[str]
    lease_id: Mapped[str | None]
    leased_until: Mapped[int]
    status: Mapped[int | None]
    body: Mapped[bytes | None]
    is_sealed: Mapped[int]
    created_at: Mapped[int]
    expires_at: Mapped[int] = mapped_column(index=True)
    __table_args__ = _table(CheckConstraint("(status IS NULL) = (body IS NULL)", "answer"))


class OutboxEmail(Base):
    """An e-mail that is owed to a customer from `due_at` on, unless their account closes first."""

    __tablename__ = "outbox_emails"
    id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"))
    template: Mapped[str]
    cause: Mapped[str]
    due_at: Mapped[int]
    state: Mapped[str]
    settled_at: Mapped[int | None]
    tries: Mapped[int] = mapped_column(server_default="0")
    claimed_until: Mapped[int] = mapped_column(server_default="0")
    __table_args__ = _table(
        UniqueConstraint("customer_id", "template", "cause"),
        CheckConstraint("state IN ('due', 'sent', 'dropped')", "state"),
        Index("ix_outbox_emails_state_due_at", "state", "due_at"),
    )
