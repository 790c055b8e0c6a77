"""What happens after the answer: parcels are billed, and Stripe's events take effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.targets.acme import tariffs
from tests.targets.acme.books import Books, at_hand, pay, post, tariff
from tests.targets.plumbing import Doubt, Refusal, Worker

if TYPE_CHECKING:
    import sqlite3

    from tests.targets.acme.cashier import Cashier, Taken
    from tests.targets.acme.contracts import Contracts


class Clerk(Worker):
    """Bills parcels, and has Stripe's events take effect, one after the other."""

    def __init__(self, books: Books, cashier: Cashier, contracts: Contracts) -> None:
        self._books = books
        self._cashier = cashier
        does = {"parcel": self._bill, "contract": contracts.look_again, "invoice": contracts.paid}
        super().__init__(books, does)

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
        except Refusal as refusal:
            self._reject(parcel_id, refusal.code)
        except Doubt as doubt:
            if doubt.over:  # Stripe would repeat its answer under this attempt's key
                self._books.write(
                    "UPDATE parcels SET attempt = attempt + 1 WHERE id = ?", parcel_id
                )
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
        self._books.write(
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
