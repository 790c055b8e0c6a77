"""What the service does, operation by operation: short transactions around calls to Stripe."""
