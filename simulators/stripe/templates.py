"""The fields of new objects, with the values that nothing was said about.

Data only: every object that the API shows has all of its fields from the start, as at Stripe.
"""

import copy

from simulators.webhooks.events import Obj
from simulators.webhooks.shapes import billing_fields, payment_fields


def fresh(template: Obj, **fields: object) -> Obj:
    """Return a new object from a template, with these fields in place of its own."""
    return {**copy.deepcopy(template), **fields}


# What Stripe shows is what events carry; a key that begins with "_" is the simulator's own.
PAYMENT_INTENT: Obj = {**payment_fields.PAYMENT_INTENT, "_invoice": None}
CHARGE: Obj = {**payment_fields.CHARGE, "_released": 0}
INVOICE: Obj = {**billing_fields.INVOICE, "_subscription": None}
SUBSCRIPTION: Obj = billing_fields.SUBSCRIPTION
CUSTOMER: Obj = billing_fields.CUSTOMER

SETUP_INTENT: Obj = {
    "object": "setup_intent",
    "application": None,
    "automatic_payment_methods": None,
    "cancellation_reason": None,
    "customer": None,
    "customer_account": None,
    "description": None,
    "excluded_payment_method_types": None,
    "flow_directions": None,
    "last_setup_error": None,
    "latest_attempt": None,
    "livemode": False,
    "mandate": None,
    "metadata": {},
    "next_action": None,
    "on_behalf_of": None,
    "payment_method": None,
    "payment_method_configuration_details": None,
    "payment_method_options": {
        "card": {"mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
    },
    "payment_method_types": ["card"],
    "single_use_mandate": None,
    "status": "requires_payment_method",
    "usage": "off_session",
}
