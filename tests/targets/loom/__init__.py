"""Loom weaves by the yard: subscriptions by the seat, and use that is billed with the invoice.

It has no credits at all. The harness knows it by `tests/targets/loom.toml` alone.
"""

from __future__ import annotations


class Refusal(Exception):
    """Loom says no: an HTTP status, a stable code, and a sentence for whoever reads it."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


NOT_FOUND = Refusal(404, "not_found", "There is nothing of that id.")
