"""What the service does, operation by operation, each in short transactions around calls to Stripe."""
