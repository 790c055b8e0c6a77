"""Two live keys and their rotation, limits, refunds within their charge, e-mails sent once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ALIVE = sa.text("revoked_at IS NULL")

REFUND_GUARD = "payments_refund_within_charge"
REFUNDS_EXCEED = (
    "NEW.kind = 'refund' AND (SELECT parent.amount_minor + NEW.amount_minor"
    " + COALESCE((SELECT SUM(other.amount_minor) FROM payments AS other"
    " WHERE other.parent_id = NEW.parent_id AND other.kind = 'refund'), 0)"
    " FROM payments AS parent WHERE parent.id = NEW.parent_id) < 0"
)
SQLITE_GUARD = (
    (
        f"CREATE TRIGGER {REFUND_GUARD} BEFORE INSERT ON payments FOR EACH ROW"
        f" WHEN {REFUNDS_EXCEED} BEGIN SELECT RAISE(ABORT, 'refunds exceed their charge'); END"
    ),
)
# Two refunds at once would each miss the other's row, so their charge is locked first.
POSTGRESQL_GUARD = (
    (
        f"CREATE FUNCTION {REFUND_GUARD}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
        "PERFORM 1 FROM payments WHERE id = NEW.parent_id FOR UPDATE; "
        f"IF {REFUNDS_EXCEED} THEN RAISE EXCEPTION 'refunds exceed their charge'"
        " USING ERRCODE = '23000'; END IF; RETURN NEW; END$$"
    ),
    (
        f"CREATE TRIGGER {REFUND_GUARD} BEFORE INSERT ON payments"
        f" FOR EACH ROW EXECUTE FUNCTION {REFUND_GUARD}()"
    ),
)

ADDED = {
    "api_keys": (
        "slot INTEGER DEFAULT '1' NOT NULL CONSTRAINT ck_api_keys_slot CHECK (slot IN (1, 2))",
        "rotated_by TEXT",
    ),
    "outbox_emails": (
        "tries INTEGER DEFAULT '0' NOT NULL",
        "claimed_until INTEGER DEFAULT '0' NOT NULL",
    ),
}


def upgrade() -> None:
    """Add the columns in place: a copied table would lose its CHECKs and STRICT."""
    bind = op.get_bind()
    integer = "INTEGER" if bind.dialect.name == "sqlite" else "BIGINT"
    for table, columns in ADDED.items():
        for column in columns:
            op.execute(f"ALTER TABLE {table} ADD COLUMN {column.replace('INTEGER', integer)}")
    op.create_index(
        "uq_api_keys_live_slot",
        "api_keys",
        ["customer_id", "slot"],
        unique=True,
        sqlite_where=ALIVE,
        postgresql_where=ALIVE,
    )
    _create_rate_hits()
    for statement in SQLITE_GUARD if bind.dialect.name == "sqlite" else POSTGRESQL_GUARD:
        op.execute(statement)


def downgrade() -> None:
    """Take everything back."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"DROP TRIGGER {REFUND_GUARD}")
    else:
        op.execute(f"DROP TRIGGER {REFUND_GUARD} ON payments")
        op.execute(f"DROP FUNCTION {REFUND_GUARD}()")
    op.drop_table("rate_hits")
    op.drop_index("uq_api_keys_live_slot", table_name="api_keys")
    for table, columns in ADDED.items():
        for column in columns:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {column.partition(' ')[0]}")


def _create_rate_hits() -> None:
    op.create_table(
        "rate_hits",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("at", INT, autoincrement=False, nullable=False),
        sa.Column("hits", INT, nullable=False),
        sa.CheckConstraint("hits > 0", name=op.f("ck_rate_hits_hits")),
        sa.PrimaryKeyConstraint("subject", "at", name=op.f("pk_rate_hits")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_rate_hits_at"), "rate_hits", ["at"])
