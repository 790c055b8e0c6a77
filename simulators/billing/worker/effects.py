"""What each event means. None is believed: each only says which object to fetch from Stripe again.

So two events for one fact, a duplicate, and events out of order all end in the same books.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.billing.operations import invoicing, reversals, subscriptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulators.billing.core import Core


def _invoice(core: Core, invoice_id: str) -> None:
    if invoicing.is_settled(core, invoice_id):
        return  # Stripe tells of each payment by two events
    invoice = core.stripe.subscriptions.invoice(invoice_id)
    if invoice.subscription is None:
        invoicing.settle(core, invoice)
    else:
        # The subscription first: its record holds which period was rolled over last.
        subscriptions.level(core, invoice.subscription)
        invoicing.level(core, invoice.subscription)


def _failed_invoice(core: Core, invoice_id: str) -> None:
    _invoice(core, invoice_id)
    invoicing.note_failure(core, core.stripe.subscriptions.invoice(invoice_id))


HANDLERS: Mapping[str, Callable[[Core, str], None]] = {
    "invoice.paid": _invoice,
    "invoice.payment_succeeded": _invoice,
    "invoice.payment_failed": _failed_invoice,
    "customer.subscription.created": subscriptions.level,
    "customer.subscription.updated": subscriptions.level,
    "customer.subscription.deleted": subscriptions.level,
    "charge.refunded": reversals.level_refunds,
    "charge.dispute.created": reversals.level_dispute,
    "charge.dispute.funds_withdrawn": reversals.level_dispute,
    "charge.dispute.funds_reinstated": reversals.level_dispute,
}
