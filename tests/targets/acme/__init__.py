"""Acme Mailroom bills for parcels: a billing API as unlike the reference as is honest.

The harness knows it by `tests/targets/acme.toml` alone. It makes no refunds and closes no accounts.
"""
