"""The first schema: customers, keys, the ledger and the payments, guarded by the database itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TABLES = (
    "clock_offset",
    "customers",
    "deployment",
    "idempotency_records",
    "onboarding_attempts",
    "purge_permits",
    "webhook_events",
    "api_keys",
    "credit_transactions",
    "debts",
    "earned_grants",
    "fix_attempts",
    "invoices",
    "outbox_emails",
    "payment_methods",
    "payments",
    "subscriptions",
)

APPEND_ONLY = ("credit_transactions", "payments", "debts")

SQLITE_APPEND_ONLY = (
    "CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} FOR EACH ROW WHEN 1 "
    "BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END",
    "CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} FOR EACH ROW WHEN "
    "NOT EXISTS (SELECT 1 FROM purge_permits WHERE customer_id = OLD.customer_id) "
    "BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END",
)

SQLITE_PRODUCTION = (
    "CREATE TRIGGER purge_permits_not_in_production BEFORE INSERT ON purge_permits FOR EACH ROW WHEN "
    "NOT EXISTS (SELECT 1 FROM deployment WHERE environment <> 'production') "
    "BEGIN SELECT RAISE(ABORT, 'purges are not permitted in production'); END",
    "CREATE TRIGGER deployment_production_update BEFORE UPDATE ON deployment FOR EACH ROW WHEN "
    "OLD.environment = 'production' BEGIN SELECT RAISE(ABORT, 'production is for ever'); END",
    "CREATE TRIGGER deployment_production_delete BEFORE DELETE ON deployment FOR EACH ROW WHEN "
    "OLD.environment = 'production' BEGIN SELECT RAISE(ABORT, 'production is for ever'); END",
)


def upgrade() -> None:
    """Create every table, then the triggers that constraints cannot replace."""
    _create_clock_offset()
    _create_customers()
    _create_deployment()
    _create_idempotency_records()
    _create_onboarding_attempts()
    _create_purge_permits()
    _create_webhook_events()
    _create_api_keys()
    _create_credit_transactions()
    _create_debts()
    _create_earned_grants()
    _create_fix_attempts()
    _create_invoices()
    _create_outbox_emails()
    _create_payment_methods()
    _create_payments()
    _create_subscriptions()
    if op.get_context().dialect.name == "sqlite":
        for table in APPEND_ONLY:
            for statement in SQLITE_APPEND_ONLY:
                op.execute(statement.format(table=table))
        for statement in SQLITE_PRODUCTION:
            op.execute(statement)


def downgrade() -> None:
    """Drop everything; SQLite drops a table's triggers and indexes with it."""
    if op.get_context().dialect.name == "sqlite":
        for table in APPEND_ONLY:
            op.execute(f"DROP TRIGGER {table}_no_delete")
    for table in reversed(TABLES):
        op.drop_table(table)


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
        "uq_customers_open_email",
        "customers",
        ["email"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_index(
        "uq_customers_open_install",
        "customers",
        ["installation_id"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )


def _create_deployment() -> None:
    op.create_table(
        "deployment",
        sa.Column("id", INT, autoincrement=False, nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_deployment_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment")),
        sqlite_strict=True,
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
        op.f("ix_idempotency_records_customer_id"),
        "idempotency_records",
        ["customer_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_idempotency_records_expires_at"),
        "idempotency_records",
        ["expires_at"],
        unique=False,
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


def _create_purge_permits() -> None:
    op.create_table(
        "purge_permits",
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("created_at", INT, nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_purge_permits")),
        sqlite_strict=True,
    )


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
    op.create_index(
        op.f("ix_webhook_events_customer_id"), "webhook_events", ["customer_id"], unique=False
    )
    op.create_index(
        "ix_webhook_events_state_next_try_at",
        "webhook_events",
        ["state", "next_try_at"],
        unique=False,
    )


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
    op.create_index(op.f("ix_api_keys_customer_id"), "api_keys", ["customer_id"], unique=False)


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
        sa.CheckConstraint(
            "(source IN ('trial_signup', 'trial_billing_added', 'pro_subscription_payment', 'purchased') AND amount > 0) OR (source = 'consumed' AND amount = -1) OR (source = 'rollover_expired' AND amount < 0) OR (source = 'adjustment' AND amount <> 0)",
            name=op.f("ck_credit_transactions_sign"),
        ),
        sa.CheckConstraint("cause <> ''", name=op.f("ck_credit_transactions_cause")),
        sa.CheckConstraint(
            "(sequence = 1 AND previous_sequence IS NULL AND balance_before = 0) OR (sequence > 1 AND previous_sequence IS NOT NULL AND previous_sequence = sequence - 1)",
            name=op.f("ck_credit_transactions_chain"),
        ),
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
    op.create_index(
        op.f("ix_earned_grants_customer_id"), "earned_grants", ["customer_id"], unique=False
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
        "ix_fix_attempts_outcome_next_try_at",
        "fix_attempts",
        ["outcome", "next_try_at"],
        unique=False,
    )
    op.create_index(
        "uq_fix_attempts_living",
        "fix_attempts",
        ["customer_id", "fix_id"],
        unique=True,
        sqlite_where=sa.text("outcome <> 'refused'"),
        postgresql_where=sa.text("outcome <> 'refused'"),
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
    op.create_index(op.f("ix_invoices_customer_id"), "invoices", ["customer_id"], unique=False)


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
    op.create_index(
        "ix_outbox_emails_state_due_at", "outbox_emails", ["state", "due_at"], unique=False
    )


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
    op.create_index(
        op.f("ix_payment_methods_customer_id"), "payment_methods", ["customer_id"], unique=False
    )
    op.create_index(
        "uq_payment_methods_default",
        "payment_methods",
        ["customer_id"],
        unique=True,
        sqlite_where=sa.text("is_default = 1 AND removed_at IS NULL"),
        postgresql_where=sa.text("is_default = 1 AND removed_at IS NULL"),
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
            "(kind = 'charge' AND amount_minor > 0 AND parent_id IS NULL) OR (kind IN ('refund', 'dispute') AND amount_minor < 0 AND parent_id IS NOT NULL)",
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
    op.create_index(op.f("ix_payments_customer_id"), "payments", ["customer_id"], unique=False)
    op.create_index(op.f("ix_payments_parent_id"), "payments", ["parent_id"], unique=False)


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
        "ix_subscriptions_status_next_try_at",
        "subscriptions",
        ["status", "next_try_at"],
        unique=False,
    )
    op.create_index(
        "uq_subscriptions_living",
        "subscriptions",
        ["customer_id"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
