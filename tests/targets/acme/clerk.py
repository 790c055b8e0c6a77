"""What happens after the answer: parcels are billed, and Stripe's events take effect."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from tests.targets.acme import tariffs
from tests.targets.acme.books import Books, at_hand, pay, post, tariff
from tests.targets.acme.cashier import Cashier, Declined, Doubt, Taken

if TYPE_CHECKING:
    import sqlite3

    from tests.targets.acme.contracts import Contracts

_LONGEST_PAUSE_S = 10.0
_log = logging.getLogger("acme.clerk")


class Clerk(threading.Thread):
    """Takes one task after the other from the books, where a crash leaves them."""

    def __init__(self, books: Books, cashier: Cashier, contracts: Contracts) -> None:
        super().__init__(name="clerk", daemon=True)
        self._books = books
        self._cashier = cashier
        self._contracts = contracts
        self._bell = threading.Event()
        self._leaving = False

    def ring(self) -> None:
        """Say that there is work."""
        self._bell.set()

    def leave(self) -> None:
        """Stop after the task at hand."""
        self._leaving = True
        self.ring()
        self.join(timeout=1.0)

    def run(self) -> None:
        """Work until told to leave."""
        while not self._leaving:
            task = self._books.one("SELECT * FROM tasks ORDER BY due LIMIT 1")
            pause_s = task["due"] - time.time() if task else _LONGEST_PAUSE_S
            if task and pause_s <= 0:
                self._do(task)
            else:
                self._bell.wait(pause_s)
                self._bell.clear()

    def _do(self, task: sqlite3.Row) -> None:
        try:
            match task["kind"]:
                case "parcel":
                    self._bill(task["subject"])
                case "contract":
                    self._contracts.look_again(task["subject"])
                case "invoice":
                    self._contracts.paid(task["subject"])
            self._write("DELETE FROM tasks WHERE number = ?", task["number"])
        except Declined:
            # Only an event can end here: Stripe does not know what it was about.
            self._write("DELETE FROM tasks WHERE number = ?", task["number"])
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the task is kept
            later = time.time() + min(0.2 * 2 ** task["tries"], _LONGEST_PAUSE_S)
            _log.warning("%s %s later: %r", task["kind"], task["subject"], error)
            again = "UPDATE tasks SET tries = tries + 1, due = ? WHERE number = ?"
            self._write(again, later, task["number"])

    def _write(self, statement: str, *values: object) -> None:
        with self._books.transaction() as db:
            db.execute(statement, values)

    def _bill(self, parcel_id: str) -> None:
        parcel = self._parcel(parcel_id)
        taken = None
        if parcel["asked_minor"]:  # so it may have been charged already
            taken = self._cashier.find_charge(parcel["stripe_customer"], parcel)
        else:
            self._decide(parcel)
            parcel = self._parcel(parcel_id)
        if parcel["state"] != "pending":
            return
        try:
            taken = taken or self._cashier.charge(parcel["stripe_customer"], parcel)
        except Declined as refusal:
            self._reject(parcel_id, str(refusal))
        except Doubt as doubt:
            if doubt.over:  # Stripe would repeat its answer under this attempt's key
                self._write("UPDATE parcels SET attempt = attempt + 1 WHERE id = ?", parcel_id)
            raise
        else:
            self._charged(parcel, taken)

    def _parcel(self, parcel_id: str) -> sqlite3.Row:
        found = self._books.one(
            "SELECT parcels.*, stripe_customer FROM parcels"
            " JOIN accounts ON accounts.id = account WHERE parcels.id = ?",
            parcel_id,
        )
        assert found is not None
        return found

    def _decide(self, parcel: sqlite3.Row) -> None:
        """Cover a parcel by units, reject it, or write down the charge that is to be tried."""
        account, pieces = parcel["account"], parcel["pieces"]
        with self._books.transaction() as db:
            units = at_hand(db, account)
            if units >= pieces:
                post(db, account, -pieces, "spent", parcel["reference"])
                change = "UPDATE parcels SET state = 'covered' WHERE id = ?"
                db.execute(change, (parcel["id"],))
                return
            newest = "SELECT id FROM cards WHERE account = ? ORDER BY number DESC LIMIT 1"
            card = db.execute(newest, (account,)).fetchone()
            if not card:
                change = "UPDATE parcels SET state = 'rejected', reason = ? WHERE id = ?"
                db.execute(change, ("card_missing", parcel["id"]))
                return
            amount_minor = (pieces - units) * tariffs.PIECE_MINOR[tariff(db, account)]
            change = "UPDATE parcels SET asked_minor = ?, asked_card = ?, held = ? WHERE id = ?"
            db.execute(change, (amount_minor, card["id"], units, parcel["id"]))

    def _reject(self, parcel_id: str, reason: str) -> None:
        """Let go of what the parcel holds; sent again, it is another attempt."""
        self._write(
            "UPDATE parcels SET state = 'rejected', reason = ?, attempt = attempt + 1,"
            " asked_minor = NULL, asked_card = NULL, held = 0 WHERE id = ?",
            *(reason, parcel_id),
        )

    def _charged(self, parcel: sqlite3.Row, taken: Taken) -> None:
        """Write down the money, the units bought and the units spent, in one transaction."""
        account, pieces = parcel["account"], parcel["pieces"]
        with self._books.transaction() as db:
            pay(db, account, *taken, parcel["reference"])
            post(db, account, pieces - parcel["held"], "bought", taken.charge)
            post(db, account, -pieces, "spent", parcel["reference"])
            db.execute("UPDATE accounts SET tariff = 'metered' WHERE id = ?", (account,))
            change = "UPDATE parcels SET state = 'billed', held = 0, charged_minor = ? WHERE id = ?"
            db.execute(change, (taken.amount_minor, parcel["id"]))
