"""All talk with Stripe: one gateway, answers as plain facts, and failures that say what is known."""
