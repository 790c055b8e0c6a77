"""What customers do: sign up, keep a card, use drops, and let the river flow."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from typing import TYPE_CHECKING

from tests.targets.brook.books import (
    FIRST_SOURCE_DROPS,
    PLANS,
    SIGN_UP_DROPS,
    Books,
    at_hand,
    plan_of,
    post,
)
from tests.targets.plumbing import NOT_FOUND, Doubt, Refusal, digest

if TYPE_CHECKING:
    from sqlite3 import Row

    import stripe

    from tests.targets.brook.bank import Bank
    from tests.targets.brook.till import Till

_STATES = {"active": "flowing", "past_due": "thirsty", "unpaid": "thirsty"}
_TAKEN = Refusal(409, "email-taken", "The e-mail is a customer's.")


class Counter:
    """Customers, their payment sources, usages and subscriptions."""

    def __init__(self, books: Books, bank: Bank, till: Till) -> None:
        self._books = books
        self._bank = bank
        self._till = till

    def sign_up(self, email: str) -> dict[str, object]:
        """Make a customer; the first drops come once in an e-mail's life."""
        if self._books.one("SELECT 1 FROM customers WHERE email = ? AND NOT closed", email):
            raise _TAKEN
        customer, key = f"c{secrets.token_hex(10)}", f"bk_test_{secrets.token_urlsafe(32)}"
        stripe_id = self._bank.open_customer(customer, email)
        with self._books.transaction() as db:
            before = db.execute("SELECT 1 FROM customers WHERE email = ?", (email,)).fetchone()
            columns = "(id, email, stripe_id, key_hash, returned)"
            values = (customer, email, stripe_id, digest(key), bool(before))
            try:
                db.execute(f"INSERT INTO customers {columns} VALUES (?, ?, ?, ?, ?)", values)  # noqa: S608 - no input in it
            except sqlite3.IntegrityError:
                raise _TAKEN from None
            drops = 0 if before else SIGN_UP_DROPS
            post(db, customer, drops, "welcome", customer, at=self._books.now())
        return {"id": customer, "stripe": stripe_id, "key": key, "drops": drops}

    def close(self, customer: Row) -> None:
        """Close an account: the river stops, the key opens nothing."""
        alive = self._alive(customer["id"])
        if alive:
            self.stop(customer, alive["id"], at_once=True)
        self._books.write("UPDATE customers SET closed = 1 WHERE id = ?", customer["id"])

    def add_source(self, customer: Row, token: str) -> str:
        """Keep a payment method by its token; the first brings drops, once in a life."""
        source = self._bank.keep_card(customer["stripe_id"], token)
        with self._books.transaction() as db:
            add = "INSERT OR IGNORE INTO sources (id, customer) VALUES (?, ?)"
            db.execute(add, (source, customer["id"]))
            drops = 0 if customer["returned"] else FIRST_SOURCE_DROPS
            post(db, customer["id"], drops, "first_source", "source", at=self._books.now())
        return source

    def drop_source(self, customer: Row, source: str) -> None:
        """Forget a payment method; the newest of the others pays."""
        mine = "SELECT 1 FROM sources WHERE customer = ? AND id = ?"
        if not self._books.one(mine, customer["id"], source):
            raise NOT_FOUND
        self._bank.drop_card(source)
        self._books.write("DELETE FROM sources WHERE id = ?", source)
        if newest := self._newest_source(customer["id"]):
            self._bank.prefer(customer["stripe_id"], newest)

    def use(self, customer: Row, usage_id: str, drops: int) -> Row:
        """Use drops, once for each id; what is beyond those at hand is charged. May `Refuse`."""
        with self._books.in_order:
            usage = self._opened(customer["id"], usage_id, drops)
            if usage["state"] == "done":
                return usage
            paid = None
            if usage["asked"]:  # so it may have been charged already
                paid = self._bank.charged(customer["stripe_id"], usage_id)
            else:
                usage = self._decided(customer["id"], usage)
            if usage["state"] == "done":
                return usage
            return self._charged(customer, usage, paid or self._tried(customer, usage))

    def use_again(self, name: str) -> None:
        """Find out what became of a usage whose charge was in doubt."""
        customer_id, _, usage_id = name.partition(" ")
        customer = self._books.customer("id", customer_id)
        find = "SELECT drops FROM usages WHERE customer = ? AND id = ?"
        usage = self._books.one(find, customer_id, usage_id)
        if customer and usage:
            self.use(customer, usage_id, usage["drops"])

    def _opened(self, customer: str, usage_id: str, drops: int) -> Row:
        with self._books.transaction() as db:
            add = "INSERT OR IGNORE INTO usages (customer, id, drops) VALUES (?, ?, ?)"
            db.execute(add, (customer, usage_id, drops))
            find = "SELECT * FROM usages WHERE customer = ? AND id = ?"
            usage: Row = db.execute(find, (customer, usage_id)).fetchone()
        if usage["drops"] != drops:
            raise Refusal(409, "usage-differs", "The id is of another usage.")
        return usage

    def _decided(self, customer: str, usage: Row) -> Row:
        """Cover a usage by drops at hand, or write down the charge that is to be tried."""
        source, this = self._newest_source(customer), (customer, usage["id"])
        with self._books.transaction() as db:
            there, wanted = at_hand(db, customer), usage["drops"]
            if there >= wanted:
                post(db, customer, -wanted, "used", usage["id"], at=self._books.now())
                done = "UPDATE usages SET state = 'done' WHERE customer = ? AND id = ? RETURNING *"
                row: Row = db.execute(done, this).fetchone()
                return row
            if not source:
                raise Refusal(402, "no-source", "There are too few drops, and no card.")
            asked = (wanted - there) * PLANS[plan_of(db, customer)].drop_minor
            ask = "UPDATE usages SET asked = ?, source = ?, held = ?"
            where = "WHERE customer = ? AND id = ? RETURNING *"
            noted: Row = db.execute(f"{ask} {where}", (asked, source, there, *this)).fetchone()
            return noted

    def _tried(self, customer: Row, usage: Row) -> stripe.PaymentIntent:
        this = (customer["id"], usage["id"])
        try:
            return self._bank.charge(customer["stripe_id"], usage)
        except Refusal:
            self._books.write(
                "UPDATE usages SET attempt = attempt + 1, asked = 0, held = 0"
                " WHERE customer = ? AND id = ?",
                *this,
            )
            raise
        except Doubt as doubt:
            if doubt.over:  # Stripe would repeat its answer under this attempt's key
                again = "UPDATE usages SET attempt = attempt + 1 WHERE customer = ? AND id = ?"
                self._books.write(again, *this)
            self._books.assign("usage", " ".join(this))
            raise

    def _charged(self, customer: Row, usage: Row, paid: stripe.PaymentIntent) -> Row:
        """Write down the money, the drops bought and the drops used, in one transaction."""
        bought, at = usage["drops"] - usage["held"], self._books.now()
        with self._books.transaction() as db:
            self._till.pay(db, customer["id"], paid, usage["id"])
            post(db, customer["id"], bought, "bought", str(paid.latest_charge), at=at)
            post(db, customer["id"], -usage["drops"], "used", usage["id"], at=at)
            db.execute("UPDATE customers SET plan = 'spring' WHERE id = ?", (customer["id"],))
            done = "UPDATE usages SET state = 'done', held = 0, charged = ?"
            row: Row = db.execute(
                f"{done} WHERE customer = ? AND id = ? RETURNING *",
                (paid.amount_received, customer["id"], usage["id"]),
            ).fetchone()
            return row

    def flow(self, customer: Row, seats: int) -> Row:
        """Begin a subscription to river, and pay its first month."""
        with self._books.in_order:
            if self._alive(customer["id"]):
                raise Refusal(409, "already-flowing", "The customer has a subscription.")
            if not self._newest_source(customer["id"]):
                raise Refusal(402, "no-source", "Add a card first.")
            begun = self._begun(customer["id"], seats)
            subscription = self._note(customer["id"], begun)
        with contextlib.suppress(Doubt):  # Stripe's event will tell
            self._till.paid(str(begun.latest_invoice))
        return subscription

    def _begun(self, customer: str, seats: int) -> stripe.Subscription:
        row = self._books.customer("id", customer)  # in order: the attempt is a part of the key
        assert row is not None
        over = True
        try:
            return self._bank.begin(row, seats)
        except Doubt as doubt:
            over = doubt.over
            raise
        finally:
            if over:  # who subscribes again must not be handed this answer again
                again = "UPDATE customers SET attempt = attempt + 1 WHERE id = ?"
                self._books.write(again, customer)

    def change(self, customer: Row, subscription: str, seats: int) -> Row:
        """Set the seats; more drops come with the next month."""
        with self._books.in_order:
            self._must_flow(customer, subscription)
            return self._note(customer["id"], self._bank.set_seats(subscription, seats))

    def stop(self, customer: Row, subscription: str, *, at_once: bool) -> Row:
        """End a subscription, now or with the month that is paid; the drops stay until then."""
        with self._books.in_order:
            self._must_flow(customer, subscription)
            if at_once:
                return self._note(customer["id"], self._bank.end(subscription))
            ended = self._bank.schedule_end(subscription, ends=True)
            return self._note(customer["id"], ended)

    def resume(self, customer: Row, subscription: str) -> Row:
        """Take a scheduled end back."""
        with self._books.in_order:
            self._must_flow(customer, subscription)
            flows = self._bank.schedule_end(subscription, ends=False)
            return self._note(customer["id"], flows)

    def look_again(self, subscription_id: str) -> None:
        """Take over what Stripe says of a subscription now, whatever an event said."""
        with self._books.in_order:
            subscription = self._bank.subscription(subscription_id)
            customer = self._books.customer("stripe_id", subscription.customer)
            if customer and subscription.status not in ("incomplete", "incomplete_expired"):
                self._note(customer["id"], subscription)

    def found(self, customer: Row, subscription: str) -> Row:
        """Find a customer's subscription; another's looks as if it were not there."""
        find = "SELECT * FROM subscriptions WHERE customer = ? AND id = ?"
        found = self._books.one(find, customer["id"], subscription)
        if not found:
            raise NOT_FOUND
        return found

    def _must_flow(self, customer: Row, subscription: str) -> None:
        if self.found(customer, subscription)["state"] == "dried_up":
            raise Refusal(409, "dried-up", "The subscription has ended.")

    def _alive(self, customer: str) -> Row | None:
        alive = "SELECT * FROM subscriptions WHERE customer = ? AND state <> 'dried_up'"
        return self._books.one(alive, customer)

    def _newest_source(self, customer: str) -> str | None:
        newest = "SELECT id FROM sources WHERE customer = ? ORDER BY number DESC LIMIT 1"
        found = self._books.one(newest, customer)
        return str(found["id"]) if found else None

    def _note(self, customer: str, subscription: stripe.Subscription) -> Row:
        item = subscription["items"]["data"][0]
        state = _STATES.get(subscription.status, "dried_up")
        if state == "flowing" and subscription.cancel_at_period_end:
            state = "ebbing"
        ends_at = subscription.ended_at or subscription.cancel_at
        values = (subscription.id, customer, item["quantity"], state, item["current_period_end"])
        with self._books.transaction() as db:
            db.execute("UPDATE customers SET plan = 'spring' WHERE id = ?", (customer,))
            row: Row = db.execute(
                "INSERT INTO subscriptions (id, customer, seats, state, runs_until, ends_at)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET seats = excluded.seats,"
                " state = excluded.state, runs_until = excluded.runs_until,"
                " ends_at = excluded.ends_at RETURNING *",
                (*values, ends_at),
            ).fetchone()
            return row
