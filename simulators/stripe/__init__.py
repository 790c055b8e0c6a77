"""A stateful Stripe API with a virtual clock and a journal."""
