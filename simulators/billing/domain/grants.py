"""How many credits a paid invoice brings, a renewal lets expire, and a reversal takes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from simulators.billing.domain.plans import Catalogue
    from simulators.billing.stripe_gateway.facts import InvoiceFacts

GRANTING_REASONS = frozenset({"subscription_create", "subscription_cycle"})
RENEWAL_REASON = "subscription_cycle"


@dataclass(frozen=True, slots=True)
class Renewal:
    """What one paid invoice does to a balance: `expired` credits go first, then `granted` come."""

    expired: int
    granted: int


def units_for_invoice(
    invoice: InvoiceFacts, coupons: AbstractSet[str], catalogue: Catalogue
) -> int:
    """Give the credits of a *paid* invoice.

    Only a subscription's start or renewal brings credits, and only if money came or a coupon that
    was declared free took the price to zero: a proration, a manual invoice or a zero by accident
    brings none.
    """
    if invoice.billing_reason not in GRANTING_REASONS:
        return 0
    if invoice.amount_paid_minor <= 0 and not coupons & catalogue.free_coupons:
        return 0
    return catalogue.pro_included_credits * invoice.quantity


def renewal(
    invoice: InvoiceFacts, units: int, balance: int, cap: int, rolled_through: int | None
) -> Renewal:
    """Apply rollover once per period: min(balance, cap) + units.

    `rolled_through` is the start of the newest period that was granted before, or None if none was.
    The first paid invoice expires nothing (trial credits stay), and an old invoice paid late grants
    its credits without a second rollover.
    """
    is_new_period = rolled_through is not None and invoice.period_start > rolled_through
    if units and invoice.billing_reason == RENEWAL_REASON and is_new_period:
        return Renewal(expired=max(0, balance - cap), granted=units)
    return Renewal(expired=0, granted=units)


def units_lost(units: int, amount_minor: int, lost_before_minor: int, lost_minor: int) -> int:
    """Give the credits that go back when `lost_minor` more of a charge is refunded or disputed.

    They are negative, and the customer's again, where a dispute is won and `lost_minor` negative.

    Credits are whole, so they go back in proportion, rounded down over the whole loss so far:
    partial refunds that add up to the charge take back exactly what it bought, in whatever steps.
    """
    after = min(lost_before_minor + lost_minor, amount_minor)
    before = min(lost_before_minor, amount_minor)
    return units * after // amount_minor - units * before // amount_minor
