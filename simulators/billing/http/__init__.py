"""The HTTP layer: thin routes over the operations, problem documents, keys and idempotency."""
