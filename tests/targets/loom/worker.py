"""What happens after the answer: Stripe's events take effect, one after the other."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from tests.targets.loom import Refusal

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from tests.targets.loom.accounts import Accounts
    from tests.targets.loom.store import Store
    from tests.targets.loom.weaving import Weaving

EVENTS = {
    "invoice.created": "draft",
    "invoice.finalized": "invoice",
    "invoice.paid": "invoice",
    "invoice.payment_failed": "invoice",
    "invoice.voided": "invoice",
    "invoice.marked_uncollectible": "invoice",
    "customer.subscription.created": "subscription",
    "customer.subscription.updated": "subscription",
    "customer.subscription.deleted": "subscription",
    "refund.created": "refund",
    "refund.updated": "refund",
    "refund.failed": "refund",
    "charge.dispute.created": "dispute",
    "charge.dispute.closed": "dispute",
}
_LOOKS_EVERY_S = 0.5
_LONGEST_PAUSE_S = 60.0
_SOON_S = 2.0
_log = logging.getLogger("loom.worker")


class Worker(threading.Thread):
    """Takes one task after the other from the store, where a crash leaves them."""

    def __init__(self, store: Store, weaving: Weaving, accounts: Accounts) -> None:
        super().__init__(name="worker", daemon=True)
        self._store = store
        self._bell = threading.Event()
        self._leaving = False
        self._does: dict[str, Callable[[str], None]] = {
            "draft": accounts.bill_with,
            "invoice": accounts.note_invoice,
            "subscription": weaving.look_again,
            "refund": accounts.note_refund,
            "dispute": accounts.note_dispute,
            "last bill": accounts.bill_at_last,
        }

    def ring(self) -> None:
        """Say that there is work."""
        self._bell.set()

    def leave(self) -> None:
        """Stop after the task at hand."""
        self._leaving = True
        self.ring()
        self.join(timeout=1.0)

    def drain(self, deadline_s: float) -> int:
        """Wait until nothing is due now or soon, or the deadline; give how much is still to do."""
        ends_at = time.monotonic() + deadline_s
        while left := self._due():
            if time.monotonic() > ends_at:
                break
            self.ring()
            time.sleep(0.01)
        return left

    def _due(self) -> int:
        count = "SELECT count(*) FROM tasks WHERE due <= ?"
        row = self._store.one(count, self._store.now() + _SOON_S)
        return int(row[0]) if row else 0

    def run(self) -> None:
        """Work until told to leave."""
        while not self._leaving:
            task = self._store.one("SELECT * FROM tasks ORDER BY due, number LIMIT 1")
            pause_s = task["due"] - self._store.now() if task else _LOOKS_EVERY_S
            if task and pause_s <= 0:
                self._do(task)
            else:
                self._bell.wait(min(pause_s, _LOOKS_EVERY_S))
                self._bell.clear()

    def _do(self, task: sqlite3.Row) -> None:
        try:
            self._does[task["kind"]](task["subject"])
        except Refusal as refusal:
            # Stripe does not know what it was about.
            _log.warning("%s %s given up: %s", task["kind"], task["subject"], refusal.code)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the task is kept
            later = self._store.now() + min(0.2 * 2 ** task["tries"], _LONGEST_PAUSE_S)
            _log.warning("%s %s later: %r", task["kind"], task["subject"], error)
            again = "UPDATE tasks SET tries = tries + 1, due = ? WHERE number = ?"
            self._store.write(again, later, task["number"])
            return
        self._store.write("DELETE FROM tasks WHERE number = ?", task["number"])
