"""Money: what was woven is billed with a month's invoice, paid through Stripe, and given back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from tests.targets.plumbing import NOT_FOUND, Doubt, Refusal

if TYPE_CHECKING:
    from sqlite3 import Row

    import stripe

    from tests.targets.loom.store import Store
    from tests.targets.loom.till import Till

# A mistake to make on purpose, so that tests see it found: LOOM_MISTAKE in the environment.
MISTAKE = os.environ.get("LOOM_MISTAKE", "")
_GATHER = "UPDATE yards SET bill = ? WHERE workspace = ? AND bill IS NULL"


class Accounts:
    """Bills, invoices, payments and refunds."""

    def __init__(self, store: Store, till: Till) -> None:
        self._store = store
        self._till = till

    def owed(self, workspace: str) -> int:
        """Tell what a workspace owes, in minor units: cloth not yet billed, invoices not paid."""
        yards = "SELECT coalesce(sum(amount), 0) FROM yards WHERE workspace = ? AND bill IS NULL"
        invoices = (
            "SELECT coalesce(sum(amount), 0) FROM invoices"
            " WHERE workspace = ? AND status IN ('draft', 'open')"
        )
        with self._store.transaction() as db:
            return sum(
                int(db.execute(query, (workspace,)).fetchone()[0]) for query in (yards, invoices)
            )

    def bill_with(self, invoice_id: str) -> None:
        """Put what was woven on the draft of a month's invoice; too late, it waits for the next."""
        with self._store.in_order:
            invoice = self._till.invoice(invoice_id)
            workspace = self._store.workspace_of(invoice.customer)
            if workspace and invoice.billing_reason == "subscription_cycle":
                bill = self._bill(workspace["id"], invoice_id)
                if bill and not bill["placed"]:
                    self._place(workspace, bill, invoice_id)
        self.note_invoice(invoice_id)

    def _place(self, workspace: Row, bill: Row, invoice: str) -> None:
        try:
            self._till.place(workspace["customer"], bill, invoice)
        except Refusal:
            with self._store.transaction() as db:
                db.execute("UPDATE yards SET bill = NULL WHERE bill = ?", (bill["id"],))
                db.execute("DELETE FROM bills WHERE id = ?", (bill["id"],))
        else:
            self._placed(bill)

    def bill_at_last(self, subscription: str) -> None:
        """Bill what was woven when no month's invoice will come any more."""
        with self._store.in_order:
            workspace = self._store.one(
                "SELECT workspaces.* FROM workspaces JOIN subscriptions"
                " ON workspace = workspaces.id WHERE subscriptions.id = ?",
                subscription,
            )
            bill = self._bill(workspace["id"], f"last-{subscription}") if workspace else None
            if not workspace or not bill or bill["placed"]:
                return
            invoice = self._till.last_invoice(workspace["customer"], bill)
            if invoice.status == "draft":
                self._till.place(workspace["customer"], bill, str(invoice.id))
                self._till.collect(str(invoice.id))
            self._placed(bill)
        self.note_invoice(str(invoice.id))

    def _bill(self, workspace: str, name: str) -> Row | None:
        """Find or make a bill of all that was woven and stands on none."""
        with self._store.transaction() as db:
            find = "SELECT * FROM bills WHERE id = ?"
            bill: Row | None = db.execute(find, (name,)).fetchone()
            if bill:
                return bill
            woven = "SELECT sum(amount) FROM yards WHERE workspace = ? AND bill IS NULL"
            amount = db.execute(woven, (workspace,)).fetchone()[0]
            if not amount:
                return None
            amount = 2 * amount if MISTAKE == "bill-twice" else amount
            make = "INSERT INTO bills (id, workspace, amount) VALUES (?, ?, ?) RETURNING *"
            made: Row = db.execute(make, (name, workspace, amount)).fetchone()
            db.execute(_GATHER, (name, workspace))
            return made

    def _placed(self, bill: Row) -> None:
        self._store.write("UPDATE bills SET placed = 1 WHERE id = ?", bill["id"])

    def note_invoice(self, invoice_id: str) -> None:
        """Write down an invoice as it is at Stripe now, and the money that paid it."""
        with self._store.in_order:
            invoice = self._till.invoice(invoice_id)
            workspace = self._store.workspace_of(invoice.customer)
            if not workspace:
                return
            charges = self._till.charges_of(invoice_id) if invoice.status == "paid" else []
            self._store.write(
                "INSERT INTO invoices (id, workspace, amount, status, at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE"
                " SET amount = excluded.amount, status = excluded.status",
                *(invoice.id, workspace["id"], invoice.amount_due, invoice.status, invoice.created),
            )
            for charge in charges:
                self._pay(workspace["id"], charge, charge.amount, invoice_id)

    def note_refund(self, refund_id: str) -> None:
        """Write down a refund as it is at Stripe now, whoever gave it."""
        with self._store.in_order:
            refund = self._till.refund_now(refund_id)
            workspace = self._paid_by(refund.charge)
            if workspace and MISTAKE != "forget-refund":
                self._pay(workspace, refund, -refund.amount, str(refund.charge))

    def note_dispute(self, dispute_id: str) -> None:
        """Write down money that a card's holder took back."""
        with self._store.in_order:
            dispute = self._till.dispute(dispute_id)
            workspace = self._paid_by(dispute.charge)
            if workspace and dispute.balance_transactions:
                self._pay(workspace, dispute, -dispute.amount, str(dispute.charge))

    def refund(self, charge: str, amount: int | None, reference: str) -> str:
        """Give a payment back, in whole or in part, once for each reference; give Stripe's id."""
        with self._store.in_order:
            payment = self._store.one("SELECT * FROM payments WHERE id = ?", charge)
            if not payment or payment["amount"] < 0:
                raise NOT_FOUND
            refund = self._begun_refund(payment, amount, reference)
            given = refund["refund"] or self._give_back(payment, refund)
        self.note_refund(given)
        return str(given)

    def _begun_refund(self, payment: Row, amount: int | None, reference: str) -> Row:
        with self._store.transaction() as db:
            find = "SELECT * FROM refunds WHERE reference = ?"
            known: Row | None = db.execute(find, (reference,)).fetchone()
            if known:
                if known["payment"] != payment["number"] or amount not in {None, known["amount"]}:
                    raise Refusal(409, "reference_in_use", "The reference is of another refund.")
                return known
            given = "SELECT coalesce(sum(amount), 0) FROM refunds WHERE payment = ?"
            left = payment["amount"] - db.execute(given, (payment["number"],)).fetchone()[0]
            asked = left if amount is None else amount
            if not 0 < asked <= left:
                raise Refusal(422, "refund_too_large", f"Of this payment {left} are left.")
            make = "INSERT INTO refunds (reference, payment, amount) VALUES (?, ?, ?) RETURNING *"
            made: Row = db.execute(make, (reference, payment["number"], asked)).fetchone()
            return made

    def _give_back(self, payment: Row, refund: Row) -> str:
        reference = refund["reference"]
        try:
            given = self._till.refund(payment["id"], refund).id
        except Refusal:
            self._store.write("DELETE FROM refunds WHERE reference = ?", reference)
            raise
        except Doubt as doubt:
            if doubt.over:  # Stripe would repeat its answer under this attempt's key
                again = "UPDATE refunds SET attempt = attempt + 1 WHERE reference = ?"
                self._store.write(again, reference)
            raise
        self._store.write("UPDATE refunds SET refund = ? WHERE reference = ?", given, reference)
        return given

    def _paid_by(self, charge: object) -> str | None:
        paid = self._store.one("SELECT workspace FROM payments WHERE id = ?", str(charge))
        return str(paid["workspace"]) if paid else None

    def _pay(
        self, workspace: str, moved: stripe.Charge | stripe.Refund | Any, amount: int, cause: str
    ) -> None:
        """Write down money that moved, once for each id; only its status may change."""
        status = "failed" if moved.status in {"failed", "canceled", "won"} else "settled"
        self._store.write(
            "INSERT INTO payments (id, workspace, amount, status, cause, at)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET status = excluded.status",
            *(moved.id, workspace, amount, status, cause, moved.created),
        )
