"""What the service wants to know of Stripe's objects, as plain data.

The shapes are those of the installed package's API version: a subscription's period lives on its
items, an invoice names its subscription under `parent`, and a line its price under `pricing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import stripe


@dataclass(frozen=True, slots=True)
class CustomerOrder:
    """A customer to be made; `key` is the idempotency key.

    `test_clock` is a clock of Stripe's test mode by which the customer's time goes.
    """

    customer_id: str
    email: str
    name: str | None
    source: str
    key: str
    test_clock: str | None = None


@dataclass(frozen=True, slots=True)
class ChargeOrder:
    """A charge to be made; amounts in minor units of the catalogue's currency."""

    stripe_customer_id: str
    payment_method: str
    amount_minor: int
    attempt_id: str
    customer_id: str
    fix_id: str
    key: str


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """A refund of a charge to be made; `request_id` is what it is looked up by."""

    charge: str
    amount_minor: int
    customer_id: str
    request_id: str
    key: str


@dataclass(frozen=True, slots=True)
class SubscribeOrder:
    """A subscription to pro to be made."""

    stripe_customer_id: str
    payment_method: str
    quantity: int
    record_id: str
    customer_id: str
    key: str


@dataclass(frozen=True, slots=True)
class ProPrice:
    """What pro is called at Stripe."""

    price: str
    product: str


@dataclass(frozen=True, slots=True)
class Card:
    """A payment method on file."""

    id: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None


@dataclass(frozen=True, slots=True)
class Intent:
    """A payment intent: what was asked for, and how far it came."""

    id: str
    status: str
    amount_minor: int
    currency: str
    charge: str | None
    client_secret: str | None
    failure_code: str | None
    decline_code: str | None
    attempt_id: str | None


@dataclass(frozen=True, slots=True)
class SubscriptionFacts:
    """A subscription as it stands; `record_id` is our own id for it, from its metadata."""

    id: str
    stripe_customer_id: str
    status: str
    item_id: str
    product: str
    quantity: int
    current_period_start: int
    current_period_end: int
    cancel_at_period_end: bool
    ends_at: int | None
    ended_at: int | None
    created_at: int
    record_id: str | None


@dataclass(frozen=True, slots=True)
class InvoiceFacts:
    """An invoice; `quantity` and the period are those of its plan line, not of prorations."""

    id: str
    stripe_customer_id: str
    subscription: str | None
    status: str
    billing_reason: str | None
    amount_due_minor: int
    amount_paid_minor: int
    currency: str
    quantity: int
    period_start: int
    period_end: int
    created_at: int


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that moved: a charge, or what took the charge `parent` back; amounts are positive.

    What a dispute took and then gave back is the negative of a loss.
    """

    stripe_id: str
    amount_minor: int
    currency: str
    payment_intent: str | None = None
    parent: str | None = None


def identifier(value: object) -> str | None:
    """Give the id of an expandable field, expanded or not."""
    if value is None or isinstance(value, str):
        return value
    found: str = value.id  # type: ignore[attr-defined]  # an expanded object always has an id
    return found


def own_id(found: object) -> str:
    """Give the id of an object that Stripe answered with."""
    return required(getattr(found, "id", None))


def required(value: object) -> str:
    """Give the id of an expandable field that Stripe always fills."""
    if (found := identifier(value)) is None:
        raise ValueError("a field that Stripe always fills is empty")
    return found


def our_id(metadata: stripe.StripeObject | None, name: str) -> str | None:
    """Give what we wrote on an object under `name`, if it is one of ours."""
    if metadata is None or name not in metadata:
        return None
    return str(metadata[name])


def card(method: stripe.PaymentMethod) -> Card:
    """Read a payment method."""
    details = getattr(method, "card", None)
    return Card(
        id=method.id,
        brand=getattr(details, "brand", None),
        last4=getattr(details, "last4", None),
        exp_month=getattr(details, "exp_month", None),
        exp_year=getattr(details, "exp_year", None),
    )


def intent(found: stripe.PaymentIntent) -> Intent:
    """Read a payment intent."""
    failure = getattr(found, "last_payment_error", None)
    return Intent(
        id=found.id,
        status=found.status,
        amount_minor=found.amount,
        currency=found.currency,
        charge=identifier(found.latest_charge),
        client_secret=found.client_secret,
        failure_code=getattr(failure, "code", None),
        decline_code=getattr(failure, "decline_code", None),
        attempt_id=our_id(found.metadata, "ledger_id"),
    )


def subscription(found: stripe.Subscription) -> SubscriptionFacts:
    """Read a subscription; ours have one item."""
    item = found["items"].data[0]
    at_end = bool(found.cancel_at_period_end)
    return SubscriptionFacts(
        id=found.id,
        stripe_customer_id=required(found.customer),
        status=found.status,
        item_id=item.id,
        product=required(item.price.product),
        quantity=item.quantity or 1,
        current_period_start=item.current_period_start,
        current_period_end=item.current_period_end,
        cancel_at_period_end=at_end,
        ends_at=found.cancel_at or (item.current_period_end if at_end else None),
        ended_at=found.ended_at,
        created_at=found.created,
        record_id=our_id(found.metadata, "ledger_id"),
    )


def invoice(found: stripe.Invoice) -> InvoiceFacts:
    """Read an invoice; where it has no plan line its own period counts."""
    line = next((each for each in found.lines.data if _is_plan_line(each)), None)
    period = line.period if line else None
    parent = getattr(found.parent, "subscription_details", None) if found.parent else None
    return InvoiceFacts(
        id=required(found.id),
        stripe_customer_id=required(found.customer),
        subscription=identifier(getattr(parent, "subscription", None)),
        status=found.status or "draft",
        billing_reason=found.billing_reason,
        amount_due_minor=found.amount_due,
        amount_paid_minor=found.amount_paid,
        currency=found.currency,
        quantity=(line.quantity or 1) if line else 0,
        period_start=period.start if period else found.period_start,
        period_end=period.end if period else found.period_end,
        created_at=found.created,
    )


def coupons(found: stripe.Invoice) -> frozenset[str]:
    """Read the coupons of an invoice whose discounts were expanded."""
    sources = (getattr(each, "source", None) for each in found.discounts or ())
    found_ids = (identifier(getattr(source, "coupon", None)) for source in sources)
    return frozenset(coupon for coupon in found_ids if coupon)


def _is_plan_line(line: stripe.InvoiceLineItem) -> bool:
    details = getattr(line.parent, "subscription_item_details", None) if line.parent else None
    return details is not None and not details.proration
