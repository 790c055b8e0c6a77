"""All talk with Stripe: one gateway, plain facts, and failures that say what is known."""
