"""Loom weaves by the yard: subscriptions by the seat, and use that is billed with the invoice.

It has no credits at all. The harness knows it by `tests/targets/loom.toml` alone.
"""
