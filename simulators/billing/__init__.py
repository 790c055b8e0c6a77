"""The reference billing service: the suites' first target, and billing with Stripe done right.

Where to look: `domain` holds the rules as pure functions, `ledger` the only code that writes
credits, `stripe_gateway` the only code that talks to Stripe, `storage` the schema and all that
differs between databases, `http` the routes, `worker` what happens after an answer was given.
"""
