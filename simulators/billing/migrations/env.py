"""Alembic's entry: runs revisions on the connection that `storage.migrate` hands over."""

from alembic import context

from simulators.billing.storage.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # Every revision in one transaction: a migration that fails leaves the schema as it was.
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
