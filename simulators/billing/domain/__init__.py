"""The rules of plans, credits and reversals as pure functions: no clock, no database, no Stripe."""
