"""The audit: a payment provider's record against a target's books over a window, reading only.

`provider` reads Stripe, `database` and `api` read the books, `matching` lets go of what agrees and
has the rest judged by `harness.checks`; `auditing` puts it together and `telling` writes metrics.
"""
