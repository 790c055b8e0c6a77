"""The endpoints: for each resource its parameters, its handlers and its routes."""

from simulators.stripe.resources import (
    catalog,
    charges,
    coupons,
    customers,
    disputes,
    events,
    invoices,
    payment_intents,
    payment_methods,
    plans,
    refunds,
    setup_intents,
    sources,
    subscription_items,
    subscriptions,
    test_clocks,
)

ROUTES = [
    *catalog.ROUTES,
    *charges.ROUTES,
    *coupons.ROUTES,
    *customers.ROUTES,
    *disputes.ROUTES,
    *events.ROUTES,
    *invoices.ROUTES,
    *payment_intents.ROUTES,
    *payment_methods.ROUTES,
    *plans.ROUTES,
    *refunds.ROUTES,
    *setup_intents.ROUTES,
    *sources.ROUTES,
    *subscription_items.ROUTES,
    *subscriptions.ROUTES,
    *test_clocks.ROUTES,
]
"""Every endpoint that is built; any other address is answered as one Stripe does not know."""
