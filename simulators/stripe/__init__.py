"""A stateful Stripe API with a virtual clock, webhooks and a journal of money moved."""
