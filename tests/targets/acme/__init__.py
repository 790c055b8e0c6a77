"""Acme Mailroom bills for parcels: a billing API as unlike the reference as is honest.

The harness knows it by `tests/targets/acme.toml` alone. It makes no refunds and closes no accounts.
"""

from __future__ import annotations


class Refusal(Exception):
    """Acme says no: an HTTP status, and the reason that goes into `error.reason`."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
