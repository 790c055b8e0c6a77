"""The one place where a paid invoice becomes money and credits, whoever learns of it first.

The answer to a subscription, `invoice.paid`, `invoice.payment_succeeded` and a late retry all end
here. The invoice is read from Stripe, never from an event's payload, and an invoice is settled
once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from simulators.billing import books, ledger
from simulators.billing.domain import grants
from simulators.billing.identifiers import new_id
from simulators.billing.ledger import Posting
from simulators.billing.storage.database import locked_customer
from simulators.billing.storage.tables import Customer, Invoice, OutboxEmail, Subscription

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from simulators.billing.core import Core
    from simulators.billing.stripe_gateway.facts import InvoiceFacts, Movement


class UnknownCustomerError(Exception):
    """Stripe speaks of a customer that this service does not know, or not yet."""


@dataclass(frozen=True, slots=True)
class _Paid:
    """A paid invoice, and what paid it: charges, or coupons."""

    invoice: InvoiceFacts
    charges: Sequence[Movement]
    coupons: frozenset[str]


def level(core: Core, stripe_subscription_id: str) -> None:
    """Bring the books level with Stripe for every invoice of a subscription, oldest period first.

    The order makes rollover come out the same however late and in whatever order the events came.
    """
    for invoice in core.stripe.subscriptions.invoices_of(stripe_subscription_id):
        settle(core, invoice)


def is_settled(core: Core, invoice_id: str) -> bool:
    """Whether the books hold what an invoice came to, which is final."""
    with core.database.read() as session:
        known = _row(session, invoice_id)
        return known is not None and known.settled_at is not None


def settle(core: Core, invoice: InvoiceFacts) -> None:
    """Bring the books level with Stripe for one invoice; one that is settled stays as it is."""
    if is_settled(core, invoice.id):
        return
    paid = _how_paid(core, invoice)
    now = core.clock.now()
    with core.database.write("invoice.settle") as session:
        customer = customer_at_stripe(session, invoice.stripe_customer_id)
        row = _mirror(session, customer, invoice)
        if row.settled_at is None and paid is not None:
            purpose = books.Purpose(invoice.id, "pro")
            for charge in paid.charges:
                books.record_charge(session, customer.id, charge, purpose, now)
            row.credits_granted = _grant(core, session, customer, paid, now)
            row.settled_at = now


def _how_paid(core: Core, invoice: InvoiceFacts) -> _Paid | None:
    """Ask Stripe how an invoice was paid; None if it was not."""
    calls = core.stripe.subscriptions
    if invoice.status != "paid":
        return None
    if invoice.amount_paid_minor > 0:
        return _Paid(invoice, calls.charges_of_invoice(invoice.id), frozenset())
    # Only where some coupon was declared free can one explain a zero.
    coupons = calls.coupons_of(invoice.id) if core.catalogue.free_coupons else frozenset()
    return _Paid(invoice, (), coupons)


def note_failure(core: Core, invoice: InvoiceFacts) -> None:
    """Owe the customer a word about an invoice that could not be paid; once per invoice."""
    if invoice.status == "paid":
        return
    with core.database.write() as session:
        customer = customer_at_stripe(session, invoice.stripe_customer_id)
        owed = select(OutboxEmail.id).where(
            OutboxEmail.customer_id == customer.id,
            OutboxEmail.template == "payment_failed",
            OutboxEmail.cause == invoice.id,
        )
        if session.scalar(owed) is None:
            email = OutboxEmail(
                id=new_id("mail"),
                customer_id=customer.id,
                template="payment_failed",
                cause=invoice.id,
                due_at=core.clock.now(),
                state="due",
            )
            session.add(email)


def customer_at_stripe(session: Session, stripe_customer_id: str) -> Customer:
    """Load and lock the customer that Stripe speaks of."""
    found = select(Customer.id).where(Customer.stripe_customer_id == stripe_customer_id)
    customer_id = session.scalar(found)
    customer = locked_customer(session, customer_id) if customer_id else None
    if customer is None:
        raise UnknownCustomerError
    return customer


def _grant(core: Core, session: Session, customer: Customer, paid: _Paid, now: int) -> int:
    """Grant an invoice's credits, after what a renewal lets expire; give how many."""
    invoice = paid.invoice
    units = grants.units_for_invoice(invoice, paid.coupons, core.catalogue)
    if not units or ledger.has_entry(session, customer.id, "pro_subscription_payment", invoice.id):
        return units
    subscription = session.scalar(
        select(Subscription).where(Subscription.stripe_id == invoice.subscription)
    )
    rolled_through = subscription.rolled_through if subscription else None
    balance = ledger.balance(session, customer.id)
    change = grants.renewal(
        invoice, units, balance, core.catalogue.pro_rollover_cap, rolled_through
    )
    if change.expired:
        expiry = Posting(-change.expired, "rollover_expired", invoice.id)
        ledger.append(session, customer.id, expiry, at=now)
    details = {"subscription": invoice.subscription or "", "invoice": invoice.id}
    grant = Posting(change.granted, "pro_subscription_payment", invoice.id, details)
    ledger.append(session, customer.id, grant, at=now)
    if subscription is not None:
        subscription.rolled_through = max(rolled_through or 0, invoice.period_start)
    return units


def _mirror(session: Session, customer: Customer, invoice: InvoiceFacts) -> Invoice:
    row = _row(session, invoice.id)
    if row is None:
        row = Invoice(id=invoice.id, customer_id=customer.id, credits_granted=0)
        session.add(row)
    if row.settled_at is None:
        row.subscription_stripe_id = invoice.subscription
        row.status = invoice.status
        row.billing_reason = invoice.billing_reason
        row.amount_due_minor = invoice.amount_due_minor
        row.amount_paid_minor = invoice.amount_paid_minor
        row.currency = invoice.currency
        row.period_start = invoice.period_start
        row.period_end = invoice.period_end
        row.created_at = invoice.created_at
    return row


def _row(session: Session, invoice_id: str) -> Invoice | None:
    return session.scalar(select(Invoice).where(Invoice.id == invoice_id))
