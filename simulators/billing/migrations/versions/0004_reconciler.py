"""What the reconciler needs: attempts to attach cards, how far it has read, what it found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ADDED = {"onboarding_attempts": "stripe_customer_id TEXT", "payment_methods": "detached_at INTEGER"}
TABLES = ("card_attempts", "reconciler_state", "reconciler_findings")


def upgrade() -> None:
    """Add the columns in place, then the tables; cards removed before this were detached then."""
    integer = "INTEGER" if op.get_bind().dialect.name == "sqlite" else "BIGINT"
    for table, column in ADDED.items():
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column.replace('INTEGER', integer)}")
    op.execute("UPDATE payment_methods SET detached_at = removed_at")
    _create_card_attempts()
    _create_state()
    _create_findings()


def downgrade() -> None:
    """Take everything back."""
    for table in reversed(TABLES):
        op.drop_table(table)
    for table, column in ADDED.items():
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column.partition(' ')[0]}")


def _create_card_attempts() -> None:
    op.create_table(
        "card_attempts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("consented_at", INT, nullable=False),
        sa.Column("next_try_at", INT, nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_card_attempts_customer_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_card_attempts")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_card_attempts_customer_id"), "card_attempts", ["customer_id"])


def _create_state() -> None:
    op.create_table(
        "reconciler_state",
        sa.Column("id", INT, autoincrement=False, nullable=False),
        sa.Column("read_through", INT, nullable=False),
        sa.Column("next_run_at", INT, nullable=False),
        sa.Column("claimed_until", INT, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_reconciler_state_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciler_state")),
        sqlite_strict=True,
    )


def _create_findings() -> None:
    op.create_table(
        "reconciler_findings",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("first_seen_at", INT, nullable=False),
        sa.Column("last_seen_at", INT, nullable=False),
        sa.Column("resolved_at", INT, nullable=True),
        sa.PrimaryKeyConstraint("kind", "subject", name=op.f("pk_reconciler_findings")),
        sqlite_strict=True,
    )
