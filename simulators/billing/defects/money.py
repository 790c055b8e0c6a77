"""Mistakes that cost the customer or the merchant money."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simulators.billing.defects.catalogue import defect
from simulators.billing.stripe_gateway.charges import ChargeCalls

if TYPE_CHECKING:
    from simulators.billing.defects.overlay import Overlay
    from simulators.billing.stripe_gateway.facts import ChargeOrder, Intent


@defect("canary", "money", breaks=3, found_by=("books_equal_provider", "charges_are_explained"))
def canary(overlay: Overlay) -> None:
    """Charges a cent more at Stripe than is written down: a run that misses this sees nothing."""
    genuine = ChargeCalls.charge

    def charge(self: ChargeCalls, order: ChargeOrder) -> Intent:
        paid = genuine(self, replace(order, amount_minor=order.amount_minor + 1))
        return replace(paid, amount_minor=order.amount_minor)

    overlay.replace(ChargeCalls, "charge", charge)
