"""Stripe as the service sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.billing.stripe_gateway.calls import Caller
from simulators.billing.stripe_gateway.charges import ChargeCalls
from simulators.billing.stripe_gateway.customers import CustomerCalls
from simulators.billing.stripe_gateway.listings import Listings
from simulators.billing.stripe_gateway.subscriptions import SubscriptionCalls
from simulators.billing.stripe_gateway.test_clocks import TestClockCalls

if TYPE_CHECKING:
    import stripe

    from simulators.billing.settings import Settings


class StripeGateway:
    """Every call that the service makes; each raises `GatewayError` and nothing else of Stripe's.

    `transport` is what the official client sends through; tests hand in a plain object.
    """

    def __init__(self, settings: Settings, transport: stripe.HTTPClient | None = None) -> None:
        caller = Caller(settings, transport)
        self.customers = CustomerCalls(caller)
        self.charges = ChargeCalls(caller)
        self.subscriptions = SubscriptionCalls(caller)
        self.listings = Listings(caller)
        self.test_clocks = TestClockCalls(caller)
