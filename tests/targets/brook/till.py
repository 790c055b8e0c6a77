"""Money that moved, and the drops that it brought or takes back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.targets.brook.books import PLANS, Books, at_hand, post, settle_debt, take_back
from tests.targets.plumbing import NOT_FOUND, Doubt, Refusal

if TYPE_CHECKING:
    import sqlite3
    from sqlite3 import Row

    import stripe

    from tests.targets.brook.bank import Bank

# A mistake to make on purpose, so that tests see it found: BROOK_MISTAKE in the environment.
MISTAKE = os.environ.get("BROOK_MISTAKE", "")
_BRINGS = ("subscription_create", "subscription_cycle")


class Till:
    """Payments, grants, refunds and disputes."""

    def __init__(self, books: Books, bank: Bank) -> None:
        self._books = books
        self._bank = bank

    def pay(
        self, db: sqlite3.Connection, customer: str, paid: stripe.PaymentIntent, cause: str
    ) -> None:
        """Write down money taken, once for each charge."""
        db.execute(
            "INSERT OR IGNORE INTO payments (id, customer, amount, state, cause, at)"
            " VALUES (?, ?, ?, 'taken', ?, ?)",
            (str(paid.latest_charge), customer, paid.amount_received, cause, paid.created),
        )

    def paid(self, invoice_id: str) -> None:
        """Write down a paid invoice's money and drops, once however often it is told."""
        with self._books.in_order:
            invoice = self._bank.invoice(invoice_id)
            customer = self._books.customer("stripe_id", invoice.customer)
            if not customer or invoice.status != "paid":
                return
            charges = self._bank.intents_of(invoice_id)
            with self._books.transaction() as db:
                for charge in charges:
                    self.pay(db, customer["id"], charge, invoice_id)
                if invoice.amount_paid and invoice.billing_reason in _BRINGS:
                    self._refill(db, customer["id"], invoice)

    def _refill(self, db: sqlite3.Connection, customer: str, invoice: stripe.Invoice) -> None:
        """Let what is left of the last month run dry, and bring the month's drops."""
        cause, at = str(invoice.id), self._books.now()
        newest = "SELECT refilled_at < ? FROM customers WHERE id = ?"
        if db.execute(newest, (invoice.created, customer)).fetchone()[0]:
            # A month runs dry once: an older invoice that is paid late dries nothing.
            if invoice.billing_reason == "subscription_cycle":
                post(db, customer, -max(0, at_hand(db, customer)), "ran_dry", cause, at=at)
            refilled = "UPDATE customers SET refilled_at = ? WHERE id = ?"
            db.execute(refilled, (invoice.created, customer))
        seats = max((line.quantity or 1 for line in _regular(invoice)), default=1)
        drops = PLANS["river"].drops * seats
        if post(db, customer, drops, "river", cause, at=at):
            brought = "UPDATE payments SET brought = ? WHERE customer = ? AND cause = ?"
            db.execute(brought, (drops, customer, cause))
            settle_debt(db, customer, f"owed, from {cause}", at)

    def refund(self, charge: str, amount: int | None, key: str) -> str:
        """Give a payment back, in whole or in part; give the refund's id."""
        with self._books.in_order:
            payment = self._books.one("SELECT * FROM payments WHERE id = ?", charge)
            if not payment or payment["amount"] < 0:
                raise NOT_FOUND
            if amount is not None and amount <= 0:
                raise Refusal(422, "nothing-to-refund", "An amount above nothing is due.")
            refund = self._tried(payment["id"], amount, key)
            self.given_back(refund)
            return refund

    def _tried(self, charge: str, amount: int | None, key: str) -> str:
        tries = self._books.one("SELECT count FROM tries WHERE key = ?", key)
        try:
            return self._bank.give_back(charge, amount, key, tries["count"] if tries else 0).id
        except Doubt as doubt:
            if doubt.over:  # Stripe would repeat its answer under this attempt's key
                again = "INSERT INTO tries VALUES (?, 1) ON CONFLICT (key) DO UPDATE"
                self._books.write(f"{again} SET count = count + 1", key)
            raise

    def given_back(self, refund_id: str) -> None:
        """Write down a refund as it is at Stripe now, and take back what its money had brought."""
        with self._books.in_order:
            refund = self._bank.refund_now(refund_id)
            payment = self._books.one("SELECT * FROM payments WHERE id = ?", str(refund.charge))
            if payment and MISTAKE != "forget-refund":
                failed = refund.status in {"failed", "canceled"}
                self._give_back(payment, refund_id, refund.amount, refund.created, failed=failed)

    def disputed(self, dispute_id: str) -> None:
        """Write down money that its holder took back, and take back what it had brought."""
        with self._books.in_order:
            dispute = self._bank.dispute(dispute_id)
            payment = self._books.one("SELECT * FROM payments WHERE id = ?", str(dispute.charge))
            if payment and dispute.balance_transactions:
                won = dispute.status == "won"
                self._give_back(payment, dispute_id, dispute.amount, dispute.created, failed=won)

    def _give_back(self, payment: Row, moved: str, amount: int, at: int, *, failed: bool) -> None:
        state = "failed" if failed else "returned"
        with self._books.transaction() as db:
            db.execute(
                "INSERT INTO payments (id, customer, amount, state, cause, at)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state",
                (moved, payment["customer"], -amount, state, payment["id"], at),
            )
            back = "SELECT sum(-amount) FROM payments WHERE cause = ? AND state = 'returned'"
            returned = db.execute(back, (payment["id"],)).fetchone()[0] or 0
            due = payment["brought"] * returned // payment["amount"]
            if due > payment["taken"]:
                more = due - payment["taken"]
                take_back(db, payment["customer"], more, moved, self._books.now())
                taken = "UPDATE payments SET taken = ? WHERE id = ?"
                db.execute(taken, (due, payment["id"]))


def _regular(invoice: stripe.Invoice) -> list[stripe.InvoiceLineItem]:
    """Give the lines of a month, not those of a change in between."""
    details = [
        (line, line.parent and line.parent.subscription_item_details) for line in invoice.lines
    ]
    return [line for line, item in details if not (item and item.proration)]
