"""What happened at Stripe since a moment, for whoever compares it with our books."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulators.billing.stripe_gateway import facts
from simulators.billing.stripe_gateway.calls import PAGE, Caller, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    import stripe


@dataclass(frozen=True, slots=True)
class ChargeSeen:
    """A charge that took money; what we wrote on it, if it is one of ours."""

    movement: facts.Movement
    stripe_customer_id: str | None
    customer_id: str | None
    fix_id: str | None
    attempt_id: str | None
    environment: str | None
    created_at: int


@dataclass(frozen=True, slots=True)
class EventSeen:
    """An event; `object_customer` is the Stripe customer that its object names, if it names one."""

    id: str
    type: str
    object_id: str
    object_customer: str | None
    object_charge: str | None
    created_at: int


@dataclass(frozen=True, slots=True)
class CustomerSeen:
    """A Stripe customer, and our id for it."""

    id: str
    customer_id: str | None


class Listings:
    """Reads that span all customers; each pages through all there is, newest first."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def customers_since(self, moment: int) -> Sequence[CustomerSeen]:
        """List the customers made at or after `moment` (Unix seconds, Stripe's time)."""
        listing = self._caller.v1.customers.list
        params: stripe.params.CustomerListParams = {"created": {"gte": moment}, "limit": PAGE}

        def seen(page: stripe.ListObject[stripe.Customer]) -> list[CustomerSeen]:
            return [
                CustomerSeen(each.id, facts.our_id(each.metadata, "customer_id"))
                for each in page.auto_paging_iter()
            ]

        return self._caller.call(lambda: read(seen, listing(params)))

    def charges_since(self, moment: int) -> Sequence[ChargeSeen]:
        """List the charges that succeeded, made at or after `moment`."""
        listing = self._caller.v1.charges.list
        params: stripe.params.ChargeListParams = {"created": {"gte": moment}, "limit": PAGE}

        def seen(page: stripe.ListObject[stripe.Charge]) -> list[ChargeSeen]:
            found = page.auto_paging_iter()
            return [_charge(each) for each in found if each.status == "succeeded"]

        return self._caller.call(lambda: read(seen, listing(params)))

    def events_since(self, moment: int, types: Sequence[str]) -> Sequence[EventSeen]:
        """List the events of `types` made at or after `moment`; Stripe keeps them for 30 days."""
        listing = self._caller.v1.events.list
        params: stripe.params.EventListParams = {
            "created": {"gte": moment},
            "types": list(types),
            "limit": PAGE,
        }

        def seen(page: stripe.ListObject[stripe.Event]) -> list[EventSeen]:
            return [_event(each) for each in page.auto_paging_iter()]

        return self._caller.call(lambda: read(seen, listing(params)))


def _charge(found: stripe.Charge) -> ChargeSeen:
    intent = facts.identifier(found.payment_intent)
    return ChargeSeen(
        movement=facts.Movement(found.id, found.amount, found.currency, intent),
        stripe_customer_id=facts.identifier(found.customer),
        customer_id=facts.our_id(found.metadata, "customer_id"),
        fix_id=facts.our_id(found.metadata, "fix_id"),
        attempt_id=facts.our_id(found.metadata, "ledger_id"),
        environment=facts.our_id(found.metadata, "environment"),
        created_at=found.created,
    )


def _event(found: stripe.Event) -> EventSeen:
    about = found.data.object
    return EventSeen(
        id=found.id,
        type=found.type,
        object_id=getattr(about, "id"),  # noqa: B009  # typed as a dict, and is none
        object_customer=facts.identifier(getattr(about, "customer", None)),
        object_charge=facts.identifier(getattr(about, "charge", None)),
        created_at=found.created,
    )
