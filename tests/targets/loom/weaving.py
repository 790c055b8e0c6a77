"""Who may weave: workspaces, their cards, and the subscription without which nothing is woven."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from typing import TYPE_CHECKING

from tests.targets.loom.tiers import TIERS
from tests.targets.plumbing import NOT_FOUND, Doubt, Refusal, digest

if TYPE_CHECKING:
    from sqlite3 import Row

    import stripe

    from tests.targets.loom.accounts import Accounts
    from tests.targets.loom.store import Store
    from tests.targets.loom.till import Till

_WORDS = {"active": "weaving", "past_due": "owing", "unpaid": "halted"}
_TAKEN = Refusal(409, "email_taken", "The e-mail has a workspace.")


class Weaving:
    """Workspaces and their subscriptions."""

    def __init__(self, store: Store, till: Till, accounts: Accounts) -> None:
        self._store = store
        self._till = till
        self._accounts = accounts

    def open(self, email: str, name: str) -> tuple[str, str, str]:
        """Open a workspace; give its id, its customer at Stripe, and its key."""
        if self._store.one("SELECT 1 FROM workspaces WHERE email = ? AND NOT closed", email):
            raise _TAKEN
        workspace, key = f"ws_{secrets.token_hex(12)}", f"lk_test_{secrets.token_urlsafe(32)}"
        customer = self._till.open_customer(workspace, email, name)
        try:
            self._store.write(
                "INSERT INTO workspaces (id, email, name, customer, key_hash)"
                " VALUES (?, ?, ?, ?, ?)",
                *(workspace, email, name, customer, digest(key)),
            )
        except sqlite3.IntegrityError:
            raise _TAKEN from None
        return workspace, customer, key

    def close(self, workspace: Row) -> None:
        """Close a workspace: its subscription ends with a last bill, its key opens nothing."""
        if self.live(workspace["id"]):
            self.end(workspace, at_period_end=False)
        self._store.write("UPDATE workspaces SET closed = 1 WHERE id = ?", workspace["id"])

    def add_card(self, workspace: Row, token: str) -> str:
        """Keep a card by its token; the newest pays."""
        card = self._till.keep_card(workspace["customer"], token)
        add = "INSERT OR IGNORE INTO cards (id, workspace) VALUES (?, ?)"
        self._store.write(add, card, workspace["id"])
        return card

    def drop_card(self, workspace: Row, card: str) -> None:
        """Forget a card; the newest of the others pays."""
        mine = "SELECT 1 FROM cards WHERE workspace = ? AND id = ?"
        if not self._store.one(mine, workspace["id"], card):
            raise NOT_FOUND
        self._till.drop_card(card)
        self._store.write("DELETE FROM cards WHERE id = ?", card)
        newest = self._newest_card(workspace["id"])
        if newest:
            self._till.prefer(workspace["customer"], newest["id"])

    def live(self, workspace: str) -> Row | None:
        """Give the subscription by which a workspace may weave now."""
        return self._store.one(
            "SELECT * FROM subscriptions WHERE workspace = ?"
            " AND status IN ('weaving', 'owing', 'halted')",
            workspace,
        )

    def newest(self, workspace: str) -> Row:
        """Give the newest subscription, alive or ended."""
        newest = "SELECT * FROM subscriptions WHERE workspace = ? ORDER BY number DESC LIMIT 1"
        found = self._store.one(newest, workspace)
        if not found:
            raise NOT_FOUND
        return found

    def subscribe(self, workspace: Row, tier: str, seats: int) -> Row:
        """Begin a subscription and pay its first month. Raises `Refusal` or `Doubt`."""
        with self._store.in_order:
            if self.live(workspace["id"]):
                raise Refusal(409, "already_subscribed", "The workspace has a subscription.")
            if not self._newest_card(workspace["id"]):
                raise Refusal(402, "card_missing", "Add a card first.")
            begun = self._begin(workspace["id"], tier, seats)
            subscription = self._note(workspace["id"], begun)
        with contextlib.suppress(Doubt):  # Stripe's event will tell
            self._accounts.note_invoice(str(begun.latest_invoice))
        return subscription

    def change(self, workspace: Row, tier: str | None, seats: int | None) -> Row:
        """Set tier or seats; the rest of the month is prorated on the next invoice."""
        with self._store.in_order:
            old = self._must_live(workspace)
            changed = self._till.change(old["id"], tier or old["tier"], seats or old["seats"])
            return self._note(workspace["id"], changed)

    def end(self, workspace: Row, *, at_period_end: bool) -> Row:
        """End the subscription, now or with the month that is paid."""
        with self._store.in_order:
            old = self._must_live(workspace)
            if at_period_end:
                ended = self._till.schedule_end(old["id"], ends=True)
            else:
                ended = self._till.end(old["id"])
            return self._note(workspace["id"], ended)

    def resume(self, workspace: Row) -> Row:
        """Take a scheduled end back."""
        with self._store.in_order:
            old = self._must_live(workspace)
            return self._note(workspace["id"], self._till.schedule_end(old["id"], ends=False))

    def weave(self, workspace: Row, reference: str, yards: int) -> Row:
        """Write down cloth that was woven, once for each reference."""
        live = self.live(workspace["id"])
        with self._store.transaction() as db:
            same = "SELECT * FROM yards WHERE workspace = ? AND reference = ?"
            known: Row | None = db.execute(same, (workspace["id"], reference)).fetchone()
            if known and known["yards"] != yards:
                raise Refusal(409, "reference_in_use", "The reference is of other cloth.")
            if known:
                return known
            if not live or live["status"] == "halted":
                raise Refusal(409, "not_subscribed", "Subscribe first.")
            amount = yards * TIERS[live["tier"]].yard_minor
            values = (workspace["id"], reference, yards, amount, int(self._store.now()))
            woven = "INSERT INTO yards VALUES (?, ?, ?, ?, ?, NULL) RETURNING *"
            row: Row = db.execute(woven, values).fetchone()
            return row

    def look_again(self, subscription_id: str) -> None:
        """Take over what Stripe says of a subscription now, whatever an event said."""
        with self._store.in_order:
            subscription = self._till.subscription(subscription_id)
            workspace = self._store.workspace_of(subscription.customer)
            if workspace and subscription.status not in ("incomplete", "incomplete_expired"):
                self._note(workspace["id"], subscription)

    def _must_live(self, workspace: Row) -> Row:
        live = self.live(workspace["id"])
        if not live:
            raise Refusal(409, "not_subscribed", "No subscription is alive.")
        return live

    def _newest_card(self, workspace: str) -> Row | None:
        newest = "SELECT id FROM cards WHERE workspace = ? ORDER BY number DESC LIMIT 1"
        return self._store.one(newest, workspace)

    def _begin(self, workspace: str, tier: str, seats: int) -> stripe.Subscription:
        # Read in order: the attempt is a part of the idempotency key.
        row = self._store.one("SELECT * FROM workspaces WHERE id = ?", workspace)
        assert row is not None
        try:
            begun = self._till.subscribe(row, tier, seats)
        except Doubt as doubt:
            if doubt.over:  # Stripe would repeat its answer under this attempt's key
                self._next_attempt(workspace)
            raise
        except Refusal:
            self._next_attempt(workspace)
            raise
        self._next_attempt(workspace)
        return begun

    def _next_attempt(self, workspace: str) -> None:
        again = "UPDATE workspaces SET attempt = attempt + 1 WHERE id = ?"
        self._store.write(again, workspace)

    def _note(self, workspace: str, subscription: stripe.Subscription) -> Row:
        item = subscription["items"]["data"][0]
        status = _WORDS.get(subscription.status, "ended")
        ends_at = subscription.ended_at or subscription.cancel_at
        tier = str((subscription.to_dict().get("metadata") or {}).get("tier"))
        with self._store.transaction() as db:
            row: Row = db.execute(
                "INSERT INTO subscriptions"
                " (id, workspace, tier, seats, status, period_end, ends_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET tier = excluded.tier,"
                " seats = excluded.seats, status = excluded.status,"
                " period_end = excluded.period_end, ends_at = excluded.ends_at RETURNING *",
                (
                    *(subscription.id, workspace, tier, item["quantity"], status),
                    *(item["current_period_end"], ends_at),
                ),
            ).fetchone()
        if status == "ended":
            self._store.assign("last bill", subscription.id)
        return row
