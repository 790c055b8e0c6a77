"""Who is on business, until when, and which units a paid month brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.targets.acme import tariffs
from tests.targets.acme.books import Books, at_hand, pay, post
from tests.targets.plumbing import Doubt, Refusal

if TYPE_CHECKING:
    import sqlite3

    import stripe

    from tests.targets.acme.cashier import Cashier

_STATES = {"active": "running", "past_due": "overdue", "canceled": "ended"}


class Contracts:
    """Business contracts, which are Stripe subscriptions."""

    def __init__(self, books: Books, cashier: Cashier) -> None:
        self._books = books
        self._cashier = cashier

    def begin(self, account: sqlite3.Row, seats: int) -> sqlite3.Row:
        """Put an account on business. Raises `Refusal`, or `Doubt` to be settled by a webhook."""
        with self._books.in_order:
            if self._books.one(
                "SELECT 1 FROM contracts WHERE account = ? AND state <> 'ended'", account["id"]
            ):
                raise Refusal(409, "contract_running")
            if not self._books.one("SELECT 1 FROM cards WHERE account = ?", account["id"]):
                raise Refusal(402, "card_missing")
            return self._note(account["id"], self._subscribe(account["id"], seats))

    def end(self, account: str, contract: str, *, at_term_end: bool) -> sqlite3.Row:
        """End a contract, now or with the month that is paid."""
        with self._books.in_order:
            known = self._books.one(
                "SELECT state FROM contracts WHERE account = ? AND id = ?", account, contract
            )
            if not known:
                raise Refusal(404, "not_found")
            if known["state"] == "ended":
                raise Refusal(409, "contract_ended")
            if at_term_end:
                ended = self._cashier.schedule_end(contract, ends=True)
            else:
                ended = self._cashier.end(contract)
            return self._note(account, ended)

    def look_again(self, contract: str) -> None:
        """Take over what Stripe says of a contract now, whatever the event said."""
        with self._books.in_order:
            subscription = self._cashier.subscription(contract)
            account = self._account_of(subscription.customer)
            if account and subscription.status not in ("incomplete", "incomplete_expired"):
                self._note(account, subscription)

    def paid(self, invoice_id: str) -> None:
        """Write down a paid invoice's money and units, once however often it is told."""
        invoice = self._cashier.invoice(invoice_id)
        account = self._account_of(invoice.customer)
        if not account or invoice.status != "paid":
            return
        charges = self._cashier.invoice_charges(invoice_id)
        with self._books.transaction() as db:
            for taken in charges:
                pay(db, account, *taken, invoice_id)
            if invoice.amount_paid and invoice.billing_reason in (
                "subscription_create",
                "subscription_cycle",
            ):
                _grant(db, account, invoice)

    def _subscribe(self, account: str, seats: int) -> stripe.Subscription:
        # Read under the lock: the attempt is part of the idempotency key.
        row = self._books.one("SELECT * FROM accounts WHERE id = ?", account)
        assert row is not None
        try:
            begun = self._cashier.begin_contract(row, seats)
        except (Refusal, Doubt) as error:
            if isinstance(error, Refusal) or error.over:
                self._next_attempt(account)
            raise
        # Who comes back after this contract has ended must not be handed the ended one again.
        self._next_attempt(account)
        return begun

    def _next_attempt(self, account: str) -> None:
        again = "UPDATE accounts SET contract_attempt = contract_attempt + 1 WHERE id = ?"
        self._books.write(again, account)

    def _account_of(self, customer: object) -> str | None:
        row = self._books.one("SELECT id FROM accounts WHERE stripe_customer = ?", str(customer))
        return str(row["id"]) if row else None

    def _note(self, account: str, subscription: stripe.Subscription) -> sqlite3.Row:
        state = _STATES.get(subscription.status, subscription.status)
        ends_at = subscription.ended_at or subscription.cancel_at
        seats = subscription["items"]["data"][0]["quantity"]
        with self._books.transaction() as db:
            db.execute("UPDATE accounts SET tariff = 'metered' WHERE id = ?", (account,))
            row: sqlite3.Row = db.execute(
                "INSERT OR REPLACE INTO contracts VALUES (?, ?, ?, ?, ?) RETURNING *",
                (subscription.id, account, seats, state, ends_at),
            ).fetchone()
            return row


def _grant(db: sqlite3.Connection, account: str, invoice: stripe.Invoice) -> None:
    cause = str(invoice.id)
    newest = "SELECT rolled_over_at < ? FROM accounts WHERE id = ?"
    if db.execute(newest, (invoice.created, account)).fetchone()[0]:
        # A month is rolled over once: an older invoice that is paid late lets nothing lapse.
        left = at_hand(db, account) - tariffs.BUSINESS_ROLLOVER_UNITS
        if invoice.billing_reason == "subscription_cycle" and left > 0:
            post(db, account, -left, "lapsed", cause)
        rolled = "UPDATE accounts SET rolled_over_at = ? WHERE id = ?"
        db.execute(rolled, (invoice.created, account))
    lines = [line for line in invoice.lines.data if not _is_proration(line)]
    seats = max((line.quantity or 1 for line in lines), default=1)
    post(db, account, tariffs.BUSINESS_UNITS * seats, "tariff_paid", cause)


def _is_proration(line: stripe.InvoiceLineItem) -> bool:
    details = line.parent and line.parent.subscription_item_details
    return bool(details and details.proration)
