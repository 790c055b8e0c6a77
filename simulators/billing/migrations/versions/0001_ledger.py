"""Customers, keys, the ledger and the payments, guarded by the database itself."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TABLES = (
    "deployment",
    "clock_offset",
    "customers",
    "onboarding_attempts",
    "earned_grants",
    "api_keys",
    "purge_permits",
    "credit_transactions",
    "payments",
    "debts",
)

APPEND_ONLY = ("credit_transactions", "payments", "debts")

UNPERMITTED = "NOT EXISTS (SELECT 1 FROM purge_permits WHERE customer_id = OLD.customer_id)"
SIGN = (
    "(source IN ('trial_signup', 'trial_billing_added', 'pro_subscription_payment', 'purchased')"
    " AND amount > 0)"
    " OR (source = 'consumed' AND amount = -1)"
    " OR (source = 'rollover_expired' AND amount < 0)"
    " OR (source = 'adjustment' AND amount <> 0)"
)
# A nullable foreign key checks nothing, so the first entry needs a rule of its own.
CHAIN = (
    "(sequence = 1 AND previous_sequence IS NULL AND balance_before = 0)"
    " OR (sequence > 1 AND previous_sequence IS NOT NULL AND previous_sequence = sequence - 1)"
)
# Name, what happens, table, when it is refused, and why.
GUARDS = (
    *(
        (f"{table}_no_update", "UPDATE", table, "1 = 1", f"{table} is append-only")
        for table in APPEND_ONLY
    ),
    *(
        (f"{table}_no_delete", "DELETE", table, UNPERMITTED, f"{table} is append-only")
        for table in APPEND_ONLY
    ),
    *(
        (
            f"deployment_production_{verb.lower()}",
            verb,
            "deployment",
            "OLD.environment = 'production'",
            "production is for ever",
        )
        for verb in ("UPDATE", "DELETE")
    ),
    (
        "purge_permits_not_in_production",
        "INSERT",
        "purge_permits",
        "NOT EXISTS (SELECT 1 FROM deployment WHERE environment <> 'production')",
        "purges are not permitted in production",
    ),
)


def upgrade() -> None:
    """Create the tables, then the triggers that no constraint replaces."""
    _create_deployment()
    _create_clock_offset()
    _create_customers()
    _create_onboarding_attempts()
    _create_earned_grants()
    _create_api_keys()
    _create_purge_permits()
    _create_credit_transactions()
    _create_payments()
    _create_debts()
    is_sqlite = op.get_context().dialect.name == "sqlite"
    for guard in GUARDS:
        (_guard_sqlite if is_sqlite else _guard_postgresql)(*guard)
    if not is_sqlite:
        for table in APPEND_ONLY:
            _refuse_truncate(table)


def downgrade() -> None:
    """Drop everything; SQLite would fire the triggers against deletion, so they go first."""
    is_sqlite = op.get_context().dialect.name == "sqlite"
    if is_sqlite:
        for name, *_ in GUARDS:
            op.execute(f"DROP TRIGGER {name}")
    for table in reversed(TABLES):
        op.drop_table(table)
    if not is_sqlite:
        for name, *_ in GUARDS:
            op.execute(f"DROP FUNCTION {name}()")
        for table in APPEND_ONLY:
            op.execute(f"DROP FUNCTION {table}_no_truncate()")


def _guard_sqlite(name: str, happens: str, table: str, condition: str, message: str) -> None:
    op.execute(
        f"CREATE TRIGGER {name} BEFORE {happens} ON {table} FOR EACH ROW"
        f" WHEN {condition} BEGIN SELECT RAISE(ABORT, '{message}'); END"
    )


def _guard_postgresql(name: str, happens: str, table: str, condition: str, message: str) -> None:
    row = "OLD" if happens == "DELETE" else "NEW"
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
        f"IF {condition} THEN RAISE EXCEPTION '{message}' USING ERRCODE = '23000';"
        f" END IF; RETURN {row}; END$$"
    )
    op.execute(
        f"CREATE TRIGGER {name} BEFORE {happens} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"
    )


def _refuse_truncate(table: str) -> None:
    name = f"{table}_no_truncate"
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        f" RAISE EXCEPTION '{table} is append-only' USING ERRCODE = '23000'; END$$"
    )
    op.execute(
        f"CREATE TRIGGER {name} BEFORE TRUNCATE ON {table}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
    )


def where(condition: str) -> dict[str, Any]:
    """Make an index count only the rows that are alive, on either database."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def _create_deployment() -> None:
    op.create_table(
        "deployment",
        sa.Column("id", INT, autoincrement=False, nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_deployment_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment")),
        sqlite_strict=True,
    )


def _create_clock_offset() -> None:
    op.create_table(
        "clock_offset",
        sa.Column("id", INT, autoincrement=False, nullable=False),
        sa.Column("offset_s", INT, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_clock_offset_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clock_offset")),
        sqlite_strict=True,
    )


def _create_customers() -> None:
    op.create_table(
        "customers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("installation_id", sa.Text(), nullable=True),
        sa.Column("stripe_customer_id", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("created_at", INT, nullable=False),
        sa.Column("closed_at", INT, nullable=True),
        sa.CheckConstraint("plan IN ('trial', 'payg', 'pro')", name=op.f("ck_customers_plan")),
        sa.CheckConstraint(
            "source IN ('direct', 'gh_marketplace')", name=op.f("ck_customers_source")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customers")),
        sa.UniqueConstraint("stripe_customer_id", name=op.f("uq_customers_stripe_customer_id")),
        sqlite_strict=True,
    )
    op.create_index(
        "uq_customers_open_email", "customers", ["email"], unique=True, **where("closed_at IS NULL")
    )
    op.create_index(
        "uq_customers_open_install",
        "customers",
        ["installation_id"],
        unique=True,
        **where("closed_at IS NULL"),
    )


def _create_onboarding_attempts() -> None:
    op.create_table(
        "onboarding_attempts",
        sa.Column("email_digest", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("created_at", INT, nullable=False),
        sa.PrimaryKeyConstraint("email_digest", name=op.f("pk_onboarding_attempts")),
        sa.UniqueConstraint("customer_id", name=op.f("uq_onboarding_attempts_customer_id")),
        sqlite_strict=True,
    )


def _create_earned_grants() -> None:
    op.create_table(
        "earned_grants",
        sa.Column("email_digest", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_earned_grants_customer_id")
        ),
        sa.PrimaryKeyConstraint("email_digest", "source", name=op.f("pk_earned_grants")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_earned_grants_customer_id"), "earned_grants", ["customer_id"])


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("created_at", INT, nullable=False),
        sa.Column("revoked_at", INT, nullable=True),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_api_keys_customer_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_api_keys_customer_id"), "api_keys", ["customer_id"])


def _create_purge_permits() -> None:
    op.create_table(
        "purge_permits",
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("created_at", INT, nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_purge_permits")),
        sqlite_strict=True,
    )


def _create_credit_transactions() -> None:
    op.create_table(
        "credit_transactions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("sequence", INT, nullable=False),
        sa.Column("previous_sequence", INT, nullable=True),
        sa.Column("balance_before", INT, nullable=False),
        sa.Column("amount", INT, nullable=False),
        sa.Column("balance_after", INT, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("created_at", INT, nullable=False),
        sa.CheckConstraint(SIGN, name=op.f("ck_credit_transactions_sign")),
        sa.CheckConstraint("cause <> ''", name=op.f("ck_credit_transactions_cause")),
        sa.CheckConstraint(CHAIN, name=op.f("ck_credit_transactions_chain")),
        sa.CheckConstraint(
            "balance_after = balance_before + amount", name=op.f("ck_credit_transactions_sum")
        ),
        sa.CheckConstraint(
            "balance_before >= 0 AND balance_after >= 0",
            name=op.f("ck_credit_transactions_never_negative"),
        ),
        sa.ForeignKeyConstraint(
            ["customer_id", "previous_sequence", "balance_before"],
            [
                "credit_transactions.customer_id",
                "credit_transactions.sequence",
                "credit_transactions.balance_after",
            ],
            name="fk_credit_transactions_chain",
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_credit_transactions_customer_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_transactions")),
        sa.UniqueConstraint(
            "customer_id",
            "sequence",
            "balance_after",
            name=op.f("uq_credit_transactions_customer_id_sequence_balance_after"),
        ),
        sa.UniqueConstraint(
            "customer_id", "sequence", name=op.f("uq_credit_transactions_customer_id_sequence")
        ),
        sa.UniqueConstraint(
            "customer_id",
            "source",
            "cause",
            name=op.f("uq_credit_transactions_customer_id_source_cause"),
        ),
        sqlite_strict=True,
    )


def _create_payments() -> None:
    op.create_table(
        "payments",
        sa.Column("position", INT, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("stripe_id", sa.Text(), nullable=False),
        sa.Column("payment_intent", sa.Text(), nullable=True),
        sa.Column("parent_id", sa.Text(), nullable=True),
        sa.Column("amount_minor", INT, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("created_at", INT, nullable=False),
        sa.CheckConstraint(
            "(kind = 'charge' AND amount_minor > 0 AND parent_id IS NULL)"
            " OR (kind = 'refund' AND amount_minor < 0 AND parent_id IS NOT NULL)"
            " OR (kind = 'dispute' AND amount_minor <> 0 AND parent_id IS NOT NULL)",
            name=op.f("ck_payments_sign"),
        ),
        sa.CheckConstraint("cause <> ''", name=op.f("ck_payments_cause")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_payments_customer_id")
        ),
        sa.ForeignKeyConstraint(["parent_id"], ["payments.id"], name=op.f("fk_payments_parent_id")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_payments")),
        sa.UniqueConstraint("id", name=op.f("uq_payments_id")),
        sa.UniqueConstraint("stripe_id", name=op.f("uq_payments_stripe_id")),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_payments_customer_id"), "payments", ["customer_id"])
    op.create_index(op.f("ix_payments_parent_id"), "payments", ["parent_id"])


def _create_debts() -> None:
    op.create_table(
        "debts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("units", INT, nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("created_at", INT, nullable=False),
        sa.CheckConstraint("units <> 0", name=op.f("ck_debts_units")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_debts_customer_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_debts")),
        sa.UniqueConstraint("customer_id", "cause", name=op.f("uq_debts_customer_id_cause")),
        sqlite_strict=True,
    )
