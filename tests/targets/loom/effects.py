"""Which of Stripe's events mean what to Loom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.targets.plumbing import Worker

if TYPE_CHECKING:
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


def worker(store: Store, weaving: Weaving, accounts: Accounts) -> Worker:
    """Give the worker by whom events take effect, one after the other."""
    return Worker(
        store,
        {
            "draft": accounts.bill_with,
            "invoice": accounts.note_invoice,
            "subscription": weaving.look_again,
            "refund": accounts.note_refund,
            "dispute": accounts.note_dispute,
            "last bill": accounts.bill_at_last,
        },
    )
