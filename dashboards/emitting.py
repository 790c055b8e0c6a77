"""Makes six representative things happen at a target, through its own operations.

A customer signs up, uses a unit, subscribes and so pays; another one's card is declined; an event
of the provider arrives. Each has a metric that must move, and a panel that must show it.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import NotMapped
from harness.signing import header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.session import Customer, Session

GOOD_CARD, BAD_CARD = "pm_card_visa", "pm_card_chargeCustomerFail"


@dataclass(frozen=True, slots=True)
class Event:
    """A thing that happens: the series that must grow by it, and the panel that shows it."""

    name: str
    series: str
    panel: str


SIX = (
    Event("a customer signs up", 'billing_conversions_total{stage="signup"}', "conversion_funnel"),
    Event("a unit is used", "billing_usage_fixes_total", "usage_by_plan"),
    Event("a plan is placed", "billing_subscriptions_created_total", "subscription_creation_rate"),
    Event("a payment succeeds", 'billing_payments_total{status="succeeded"}', "revenue_by_plan"),
    Event("a payment fails", "billing_payment_failures_total", "failed_payments"),
    Event("an event arrives", "billing_webhook_events_total", "webhook_events"),
)


def emit_six(session: Session, secret: str | None) -> Mapping[str, str]:
    """Let the six happen; give, by an event's name, why one could not be made to happen."""
    emitter = _Emitter(session)
    try:
        good = emitter.customer(GOOD_CARD)
        emitter.use(good)
        emitter.place(good, ("a plan is placed", "a payment succeeds"), is_paid=True)
        emitter.place(emitter.customer(BAD_CARD), ("a payment fails",), is_paid=False)
        emitter.event(secret)
    finally:
        emitter.close()
    return emitter.missing


class _Emitter:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._subscriptions: list[tuple[Customer, object]] = []
        self.missing: dict[str, str] = {}

    def customer(self, card: str) -> Customer | None:
        """Sign a customer up, with a test card of Stripe's."""
        names = self._session.names
        inputs = {"email": names.email(), "name": "Validation", "source": "direct"}
        if not self._happens("a customer signs up", "create_customer", None, inputs):
            return None
        found = self._session.customers[-1]
        with contextlib.suppress(NotMapped):  # where there are none, cards come in another way
            self._session.perform("add_payment_method", customer=found, token=card, consent=True)
        return found

    def use(self, customer: Customer | None) -> None:
        """Use one unit."""
        inputs = {"usage_id": self._session.names.new("usage"), "quantity": 1}
        self._happens("a unit is used", "record_usage", customer, inputs)

    def place(self, customer: Customer | None, events: tuple[str, ...], *, is_paid: bool) -> None:
        """Subscribe to a plan that costs something; with a bad card that is refused."""
        plan = self._session.target.profile.catalog.plan("pro")
        inputs = {"plan": plan[0] if plan else None, "quantity": 1}
        expected = ("ok",) if is_paid else ("refused", "ok")
        for name in events:
            if not plan:
                self.missing[name] = "no plan of [catalog.plans] has the role pro"
        if plan and self._happens(events[0], "subscribe", customer, inputs, expected) and customer:
            last = self._session.records[-1].outcome.get("subscription")
            self._subscriptions.append((customer, last))
        if events[0] in self.missing:
            self.missing.update(dict.fromkeys(events, self.missing[events[0]]))

    def event(self, secret: str | None) -> None:
        """Send an event of a type from which nothing follows, signed as the provider signs."""
        name, now = "an event arrives", int(time.time())
        if secret is None:
            self.missing[name] = "the variable that [webhooks] secret_env names is not set"
            return
        event = {
            "id": self._session.names.new("evt").replace("-", "_"),
            "object": "event",
            "type": "product.created",
            "created": now,
            "livemode": False,
            "data": {"object": {"id": "prod_validation", "object": "product"}},
        }
        raw = json.dumps(event).encode()
        signed = (("Stripe-Signature", header(raw, secret, now)),)
        inputs = {"payload": raw, "signature_headers": signed}
        self._happens(name, "receive_webhook", None, inputs)

    def close(self) -> None:
        """End what was subscribed to, and close the customers."""
        for customer, subscription in self._subscriptions:
            with contextlib.suppress(NotMapped):
                self._session.perform(
                    "cancel_subscription",
                    customer=customer,
                    subscription=subscription,
                    at_period_end=False,
                )
        for customer in self._session.customers:
            with contextlib.suppress(NotMapped):
                self._session.perform("close_customer", customer=customer)

    def _happens(
        self,
        name: str,
        operation: str,
        customer: Customer | None,
        inputs: Mapping[str, Any],
        expected: tuple[str, ...] = ("ok",),
    ) -> bool:
        if customer is None and operation in {"record_usage", "subscribe"}:
            self.missing.setdefault(name, "no customer could be made")
            return False
        try:
            outcome = self._session.perform(operation, customer=customer, **inputs)
        except NotMapped as error:
            self.missing.setdefault(name, error.message)
            return False
        if outcome.kind not in expected:
            self.missing.setdefault(name, f"{operation} was {outcome}")
        return outcome.kind == "ok"
