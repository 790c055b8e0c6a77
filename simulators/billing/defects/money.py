"""Mistakes that cost the customer or the merchant money."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel
from sqlalchemy.orm import object_session

from simulators.billing import ledger
from simulators.billing.defects.catalogue import defect
from simulators.billing.domain import grants
from simulators.billing.domain.plans import Catalogue
from simulators.billing.http import operator
from simulators.billing.http.auth import operator as only_operator
from simulators.billing.http.operator import _charge
from simulators.billing.ledger import Posting
from simulators.billing.operations import charging, invoicing, reports
from simulators.billing.operations.charging import _consume
from simulators.billing.stripe_gateway import facts
from simulators.billing.stripe_gateway.calls import read
from simulators.billing.stripe_gateway.charges import ChargeCalls
from simulators.billing.stripe_gateway.errors import StripeRefusal
from simulators.billing.stripe_gateway.subscriptions import SubscriptionCalls

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from fastapi import Response

    from simulators.billing.core import Answer, Core
    from simulators.billing.defects.overlay import Overlay
    from simulators.billing.domain.grants import Renewal
    from simulators.billing.operations.charging import Charge
    from simulators.billing.storage.tables import Customer, FixAttempt, Invoice
    from simulators.billing.stripe_gateway.facts import (
        ChargeOrder,
        Intent,
        InvoiceFacts,
        Movement,
        RefundOrder,
        SubscriptionFacts,
    )


@defect("canary", "money", breaks=3, found_by=("books_equal_provider", "charges_are_explained"))
def canary(overlay: Overlay) -> None:
    """Charge a cent more at Stripe than is written down: a run that misses this sees nothing."""

    def charge(self: ChargeCalls, order: ChargeOrder) -> Intent:
        paid: Intent = genuine(self, replace(order, amount_minor=order.amount_minor + 1))
        return replace(paid, amount_minor=order.amount_minor)

    genuine = overlay.replace(ChargeCalls, "charge", charge)


@defect(
    "refund-through-floats",
    "money",
    breaks=3,
    found_by=("test_a_partial_refund_is_exact_to_the_cent",),
)
def refund_through_floats(overlay: Overlay) -> None:
    """Turn a refund into dollars and back, so that 19.99 gives back 19.98."""

    def refund(self: ChargeCalls, order: RefundOrder) -> Movement:
        dollars = order.amount_minor / 100
        given: Movement = genuine(self, replace(order, amount_minor=int(dollars * 100)))
        return given

    genuine = overlay.replace(ChargeCalls, "refund", refund)


@defect(
    "invoice-from-rounded-unit-price",
    "money",
    breaks=3,
    found_by=("test_invoices_and_payments_show_the_same_amounts",),
)
def invoice_from_rounded_unit_price(overlay: Overlay) -> None:
    """Show invoices as units times a rounded price of one, which differs from what was paid."""

    def shown(row: Invoice) -> dict[str, Any]:
        view: dict[str, Any] = genuine(row)
        if row.credits_granted:
            total = round(row.amount_paid_minor / row.credits_granted) * row.credits_granted
            view |= {"amount_due_minor": total, "amount_paid_minor": total}
        return view

    genuine = overlay.replace(reports, "_invoice", shown)


@defect(
    "quantity-not-in-grant",
    "money",
    breaks=2,
    found_by=("invoices_grant_once", "test_quantity_multiplies_price_and_units"),
)
def quantity_not_in_grant(overlay: Overlay) -> None:
    """Grant the units of one seat, whatever quantity was paid for."""

    def units(invoice: InvoiceFacts, coupons: AbstractSet[str], catalogue: Catalogue) -> int:
        found: int = genuine(replace(invoice, quantity=1), coupons, catalogue)
        return found

    genuine = overlay.replace(grants, "units_for_invoice", units)


@defect(
    "quantity-change-not-prorated",
    "money",
    breaks=3,
    found_by=("test_more_seats_in_mid_period_are_paid_for",),
)
def quantity_change_not_prorated(overlay: Overlay) -> None:
    """Change the quantity in mid-period without charging for the rest of the period."""

    def change(
        self: SubscriptionCalls, stripe_id: str, item_id: str, quantity: int
    ) -> SubscriptionFacts:
        caller = self._caller
        items = [{"id": item_id, "quantity": quantity}]
        params: Any = {"items": items, "proration_behavior": "none"}
        return read(
            facts.subscription,
            caller.call(lambda: caller.v1.subscriptions.update(stripe_id, params)),
        )

    overlay.replace(SubscriptionCalls, "change_quantity", change)


class _AnyAmount(BaseModel):
    """A refund that forgot to say that an amount is above zero."""

    amount_minor: int | None = None


@defect(
    "zero-refund-gives-all-back",
    "money",
    breaks=4,
    found_by=("test_a_refund_of_nothing_is_refused",),
)
def zero_refund_gives_all_back(overlay: Overlay) -> None:
    """Take a refund of zero for one without an amount, and give the whole charge back."""

    async def refund_payment(
        request: Request, charge: Annotated[Any, Depends(_charge)], body: _AnyAmount | None = None
    ) -> Response:
        asked: Any = body
        return await operator.refund_payment(request, charge, asked)

    overlay.replace_route(
        "POST",
        "/api/v1/operator/payments/{payment_id}/refund",
        refund_payment,
        dependencies=[Depends(only_operator)],
    )


@defect(
    "trial-with-card-charged-nothing",
    "money",
    breaks=1,
    found_by=("purchases_are_paid", "test_beyond_the_units_each_usage_is_charged_once"),
)
def trial_with_card_charged_nothing(overlay: Overlay) -> None:
    """Find no price for the plan `trial`, take it for zero, and give fixes away."""

    def start(
        core: Core, customer: Customer, attempt: FixAttempt, card_id: str, now: int
    ) -> Charge | Answer:
        session = object_session(customer)
        if customer.plan != "trial" or session is None:
            charge: Charge = genuine(core, customer, attempt, card_id, now)
            return charge
        ledger.append(session, customer.id, Posting(1, "purchased", attempt.id), at=now)
        return _consume(session, customer, attempt, now)

    genuine = overlay.replace(charging, "_start_charge", start)


@defect(
    "declined-charge-counts-as-paid",
    "money",
    breaks=1,
    found_by=(
        "purchases_are_paid",
        "books_equal_provider",
        "test_a_declined_card_charges_and_consumes_nothing",
    ),
)
def declined_charge_counts_as_paid(overlay: Overlay) -> None:
    """Look at whether there is a payment intent, not at its status, and credit a declined one."""

    def charge(self: ChargeCalls, order: ChargeOrder) -> Intent:
        try:
            paid: Intent = genuine(self, order)
        except StripeRefusal as refusal:
            intent = refusal.card.payment_intent if refusal.card else None
            if intent is None:
                raise
            return replace(self.intent(intent), status="succeeded")
        return paid

    genuine = overlay.replace(ChargeCalls, "charge", charge)


@defect(
    "renewal-grants-without-payment",
    "money",
    breaks=2,
    found_by=("invoices_grant_once", "test_a_renewal_that_is_not_paid_grants_nothing"),
)
def renewal_grants_without_payment(overlay: Overlay) -> None:
    """Grant a renewal's units when the invoice is there, before it is paid."""

    def how_paid(core: Core, invoice: InvoiceFacts) -> Any:
        if invoice.status == "open":
            due = invoice.amount_due_minor
            invoice = replace(invoice, status="paid", amount_paid_minor=due)
        return genuine(core, invoice)

    genuine = overlay.replace(invoicing, "_how_paid", how_paid)


@defect(
    "rollover-cap-ignored",
    "money",
    breaks=2,
    found_by=("test_a_renewal_keeps_no_more_than_the_rollover_cap",),
)
def rollover_cap_ignored(overlay: Overlay) -> None:
    """Carry every unit that is left into the next period."""

    def renewal(
        invoice: InvoiceFacts, units: int, balance: int, cap: int, rolled_through: int | None
    ) -> Renewal:
        change: Renewal = genuine(invoice, units, balance, max(balance, cap), rolled_through)
        return change

    genuine = overlay.replace(grants, "renewal", renewal)


@defect(
    "overage-at-the-wrong-plans-rate",
    "money",
    breaks=3,
    found_by=("charges_are_explained", "test_usage_beyond_the_plan_is_charged_at_its_own_rate"),
)
def overage_at_the_wrong_plans_rate(overlay: Overlay) -> None:
    """Charge whoever is on the subscription the price of whoever is not."""

    def price(self: Catalogue, plan: str) -> int:  # noqa: ARG001  # which is the mistake
        return self.payg_fix_price_minor

    overlay.replace(Catalogue, "fix_price_minor", price)
