"""Plans and what they cost: which plan a customer is on, and what the next fix costs there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from simulators.billing.settings import Settings

Plan = Literal["trial", "payg", "pro"]
Warning_ = Literal["low_credits", "out_of_credits_no_billing"]

# Past due keeps pro prices until the subscription ends; `unpaid` is Stripe's word for "given up".
_PAYING = frozenset({"active", "trialing", "past_due"})
_ENDED = frozenset({"canceled", "incomplete_expired"})


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The prices and grants that are on sale; amounts in minor units of `currency`."""

    currency: str
    sign_up_credits: int
    first_card_credits: int
    payg_fix_price_minor: int
    pro_price_minor: int
    pro_included_credits: int
    pro_fix_price_minor: int
    pro_rollover_cap: int
    low_credit_threshold: int
    free_coupons: frozenset[str]

    @classmethod
    def of(cls, settings: Settings) -> Catalogue:
        """Take the catalogue out of the settings."""
        return cls(
            currency=settings.currency,
            sign_up_credits=settings.sign_up_credits,
            first_card_credits=settings.first_card_credits,
            payg_fix_price_minor=settings.payg_fix_price_minor,
            pro_price_minor=settings.pro_price_minor,
            pro_included_credits=settings.pro_included_credits,
            pro_fix_price_minor=settings.pro_fix_price_minor,
            pro_rollover_cap=settings.pro_rollover_cap,
            low_credit_threshold=settings.low_credit_threshold,
            free_coupons=frozenset(settings.free_coupons),
        )

    def fix_price_minor(self, plan: str) -> int:
        """Give the price of a fix beyond the credits; a trial customer pays what payg pays."""
        return self.pro_fix_price_minor if plan == "pro" else self.payg_fix_price_minor


def plan_charged(plan: str) -> Plan:
    """Give the plan that a charged fix is charged on: a trial customer moves to payg by it."""
    return "pro" if plan == "pro" else "payg"


def plan_under(subscription_status: str, before: str) -> str:
    """Give a customer's plan from the status of their subscription at Stripe.

    A status that does not pay for pro means payg for whoever was on pro, and changes nobody else:
    an attempt that never became active must not take a trial customer's trial away.
    """
    if subscription_status in _PAYING:
        return "pro"
    return "payg" if before == "pro" else before


def has_ended(subscription_status: str) -> bool:
    """Tell whether Stripe will never bill this subscription again; nothing brings it back."""
    return subscription_status in _ENDED


def warning(plan: str, balance: int, threshold: int, *, has_billing: bool) -> Warning_ | None:
    """Tell a customer that credits run low, in time to act.

    A payg customer without credits lives on charges, so an empty balance is no news there.
    """
    if balance == 0 and not has_billing:
        return "out_of_credits_no_billing"
    if balance == 0 and plan == "payg":
        return None
    return "low_credits" if balance <= threshold else None
