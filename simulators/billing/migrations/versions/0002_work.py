"""What is under way: cards, fixes, subscriptions, invoices, the inbox, answers kept, e-mails."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TABLES = (
    "payment_methods",
    "fix_attempts",
    "subscriptions",
    "invoices",
    "webhook_events",
    "idempotency_records",
    "outbox_emails",
)


def upgrade() -> None:
    """Create the tables."""
    _create_payment_methods()
    _create_fix_attempts()
    _create_subscriptions()
    _create_invoices()
    _create_webhook_events()
    _create_idempotency_records()
    _create_outbox_emails()


def downgrade() -> None:
    """Drop the tables."""
    for table in reversed(TABLES):
        op.drop_table(table)


def where(condition: str) -> dict[str, Any]:
    """Make an index count only the rows that are alive, on either database."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def _create_payment_methods() -> None:
    op.create_table(
        "payment_methods",
        sa.Column("position", INT, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("brand", sa.Text(), nullable=True),
        sa.Column("last4", sa.Text(), nullable=True),
        sa.Column("exp_month", INT, nullable=True),
        sa.Column("exp_year", INT, nullable=True),
        sa.Column("is_default", INT, nullable=False),
        sa.Column("consented_at", INT, nullable=False),
        sa.Column("created_at", INT, nullable=False),
        sa.Column("removed_at", INT, nullable=True),
        sa.CheckConstraint("is_default IN (0, 1)", name=op.f("ck_payment_methods_is_default")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_payment_methods_customer_id")
        ),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_payment_methods")),
        sa.UniqueConstraint("id", name=op.f("uq_payment_methods_id")),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_payment_methods_customer_id"), "payment_methods", ["customer_id"])
    op.create_index(
        "uq_payment_methods_default",
        "payment_methods",
        ["customer_id"],
        unique=True,
        **where("is_default = 1 AND removed_at IS NULL"),
    )


def _create_fix_attempts() -> None:
    op.create_table(
        "fix_attempts",
        sa.Column("position", INT, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("fix_id", sa.Text(), nullable=False),
        sa.Column("number", INT, nullable=False),
        sa.Column("repository", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("amount_minor", INT, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("payment_method_id", sa.Text(), nullable=True),
        sa.Column("payment_intent", sa.Text(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("created_at", INT, nullable=False),
        sa.Column("settled_at", INT, nullable=True),
        sa.Column("claims", INT, nullable=False),
        sa.Column("next_try_at", INT, nullable=True),
        sa.CheckConstraint(
            "(answer IS NOT NULL) = (outcome IN ('credit', 'charged'))",
            name=op.f("ck_fix_attempts_answer"),
        ),
        sa.CheckConstraint(
            "outcome IN ('pending', 'credit', 'charged', 'refused')",
            name=op.f("ck_fix_attempts_outcome"),
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_fix_attempts_customer_id")
        ),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_fix_attempts")),
        sa.UniqueConstraint(
            "customer_id",
            "fix_id",
            "number",
            name=op.f("uq_fix_attempts_customer_id_fix_id_number"),
        ),
        sa.UniqueConstraint("id", name=op.f("uq_fix_attempts_id")),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index(
        "ix_fix_attempts_outcome_next_try_at", "fix_attempts", ["outcome", "next_try_at"]
    )
    op.create_index(
        "uq_fix_attempts_living",
        "fix_attempts",
        ["customer_id", "fix_id"],
        unique=True,
        **where("outcome <> 'refused'"),
    )


def _create_subscriptions() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("position", INT, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("stripe_id", sa.Text(), nullable=True),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("quantity", INT, nullable=False),
        sa.Column("payment_method_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("current_period_start", INT, nullable=True),
        sa.Column("current_period_end", INT, nullable=True),
        sa.Column("cancel_at_period_end", INT, nullable=False),
        sa.Column("ends_at", INT, nullable=True),
        sa.Column("created_at", INT, nullable=False),
        sa.Column("ended_at", INT, nullable=True),
        sa.Column("rolled_through", INT, nullable=True),
        sa.Column("revision", INT, nullable=False),
        sa.Column("claims", INT, nullable=False),
        sa.Column("next_try_at", INT, nullable=True),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_subscriptions_quantity")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_subscriptions_customer_id")
        ),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_subscriptions")),
        sa.UniqueConstraint("id", name=op.f("uq_subscriptions_id")),
        sa.UniqueConstraint("stripe_id", name=op.f("uq_subscriptions_stripe_id")),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index(
        "ix_subscriptions_status_next_try_at", "subscriptions", ["status", "next_try_at"]
    )
    op.create_index(
        "uq_subscriptions_living",
        "subscriptions",
        ["customer_id"],
        unique=True,
        **where("ended_at IS NULL"),
    )


def _create_invoices() -> None:
    op.create_table(
        "invoices",
        sa.Column("position", INT, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("subscription_stripe_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("billing_reason", sa.Text(), nullable=True),
        sa.Column("amount_due_minor", INT, nullable=False),
        sa.Column("amount_paid_minor", INT, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("credits_granted", INT, nullable=False),
        sa.Column("period_start", INT, nullable=False),
        sa.Column("period_end", INT, nullable=False),
        sa.Column("created_at", INT, nullable=False),
        sa.Column("settled_at", INT, nullable=True),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_invoices_customer_id")
        ),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_invoices")),
        sa.UniqueConstraint("id", name=op.f("uq_invoices_id")),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_invoices_customer_id"), "invoices", ["customer_id"])


def _create_webhook_events() -> None:
    op.create_table(
        "webhook_events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("tries", INT, nullable=False),
        sa.Column("received_at", INT, nullable=False),
        sa.Column("next_try_at", INT, nullable=False),
        sa.Column("claimed_until", INT, nullable=False),
        sa.Column("settled_at", INT, nullable=True),
        sa.Column("customer_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'waiting', 'done', 'ignored', 'expired')",
            name=op.f("ck_webhook_events_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_events")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_webhook_events_customer_id"), "webhook_events", ["customer_id"])
    op.create_index(
        "ix_webhook_events_state_next_try_at", "webhook_events", ["state", "next_try_at"]
    )


def _create_idempotency_records() -> None:
    op.create_table(
        "idempotency_records",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("lease_id", sa.Text(), nullable=True),
        sa.Column("leased_until", INT, nullable=False),
        sa.Column("status", INT, nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("is_sealed", INT, nullable=False),
        sa.Column("created_at", INT, nullable=False),
        sa.Column("expires_at", INT, nullable=False),
        sa.CheckConstraint(
            "(status IS NULL) = (body IS NULL)", name=op.f("ck_idempotency_records_answer")
        ),
        sa.PrimaryKeyConstraint("scope", name=op.f("pk_idempotency_records")),
        sqlite_strict=True,
    )
    op.create_index(
        op.f("ix_idempotency_records_customer_id"), "idempotency_records", ["customer_id"]
    )
    op.create_index(
        op.f("ix_idempotency_records_expires_at"), "idempotency_records", ["expires_at"]
    )


def _create_outbox_emails() -> None:
    op.create_table(
        "outbox_emails",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("due_at", INT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("settled_at", INT, nullable=True),
        sa.CheckConstraint(
            "state IN ('due', 'sent', 'dropped')", name=op.f("ck_outbox_emails_state")
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_outbox_emails_customer_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_emails")),
        sa.UniqueConstraint(
            "customer_id",
            "template",
            "cause",
            name=op.f("uq_outbox_emails_customer_id_template_cause"),
        ),
        sqlite_strict=True,
    )
    op.create_index("ix_outbox_emails_state_due_at", "outbox_emails", ["state", "due_at"])
