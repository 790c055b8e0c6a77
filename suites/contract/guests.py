"""Customers of the run's own, in the state in which an operation can be tried on them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.errors import Unknown
from harness.target.wire import Call
from suites.e2e.steps import add_card, sign_up, use
from suites.security.tenants import Tenant, inputs_for, settled_tenant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.session import Customer, Session
    from harness.target.protocol import Outcome

# What leaves a customer in a state in which the next request of this kind is refused, by the state
# that it needs: with a card, with a second key, with a subscription, or just signed up.
_NEEDS_CARD = frozenset({"set_plan", "subscribe", "remove_payment_method"})
_NEEDS_KEY = frozenset({"rotate_key", "revoke_key"})
_NEEDS_SUBSCRIPTION = frozenset({"cancel_subscription"})
_SPENDING = (
    _NEEDS_CARD | _NEEDS_KEY | _NEEDS_SUBSCRIPTION | frozenset({"close_customer", "create_key"})
)
# The share of a customer's hourly allowance after which another one takes over.
_SHARE = 0.6
_REQUESTS_MAX = 400


class Guests:
    """Hands out customers: one for most requests, others for those that would spend it.

    `now` is who makes the request that is being made.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        allowed = session.target.profile.limits.get("api_per_hour")
        self._requests_max = int(allowed * _SHARE) if allowed else _REQUESTS_MAX
        self._requests: Counter[str] = Counter()
        self._keys: dict[str, str] = {}
        self._shared: Tenant | None = None
        self._spare: Tenant | None = None
        self._now: Tenant | None = None
        self._owners: dict[str, str] = {}

    @property
    def now(self) -> Tenant:
        """Who makes the request that is being made."""
        return self._now or self._common()

    def come(self, operation: str | None, *, is_good: bool) -> Tenant:
        """Choose who makes the next request: a good one must not spend the common customer."""
        is_spent = is_good and operation in _SPENDING
        self._now = self._disposable() if is_spent else self._common()
        return self._now

    def come_prepared(self, operation: str) -> Tenant:
        """Choose somebody with whom the operation succeeds."""
        self._now = self._prepared(operation) if operation in _SPENDING else self._common()
        return self._now

    def come_as_owner(self, ids: Iterable[object]) -> Tenant | None:
        """Choose whom one of these ids belongs to, if one is known."""
        for each in ids:
            owner = self.named(self._owners.get(str(each), str(each)))
            if owner is not None:
                self._now = Tenant(owner, {"customer": owner.id})
                return self._now
        return None

    def named(self, customer: str | None) -> Customer | None:
        """Give the customer of an id, if it is one of the run's own."""
        return next((each for each in self.session.customers if each.id == customer), None)

    def locked_out(self, customer: str) -> None:
        """Note that a customer's key opens nothing: presenting it again and again locks one out."""
        self._goes_by(customer, None)

    def charge(self, customer: str) -> None:
        """Count a request of a customer's; a new one takes over before a limit would be reached."""
        self._requests[customer] += 1

    def heed(
        self, operation: str, customer: str | None, outcome: Outcome, key: object = None
    ) -> None:
        """Note what an operation that succeeded changed: whose a key is, and who is spent."""
        if outcome.kind != "ok" or customer is None:
            return
        if outcome.get("key"):
            self._owners[str(outcome["key"])] = customer
        if operation == "rotate_key":
            self._keys[customer] = str(outcome["key"])
            self._goes_by(customer, outcome["credential"])
        elif operation == "close_customer" or (
            operation == "revoke_key" and self._keys.get(customer) == key
        ):
            self.locked_out(customer)
        if operation in _SPENDING and self._spare and self._spare.customer.id == customer:
            self._spare = None

    def _goes_by(self, customer: str, credential: str | None) -> None:
        for place, each in enumerate(self.session.customers):
            if each.id == customer:
                self.session.customers[place] = replace(each, credential=credential)

    def _common(self) -> Tenant:
        shared = self._shared
        if shared is None or self._requests[shared.customer.id] >= self._requests_max:
            shared = self._shared = settled_tenant(self.session)
            if "record_usage" in self.session.target.operations:
                use(self.session, shared.customer)  # an empty list says nothing of its items
        return shared

    def _disposable(self) -> Tenant:
        if self._spare is None:
            customer = sign_up(self.session)
            self._spare = Tenant(customer, {"customer": customer.id})
        return self._spare

    def _prepared(self, operation: str) -> Tenant:
        if operation in _NEEDS_SUBSCRIPTION:
            return settled_tenant(self.session)
        customer = sign_up(self.session)
        ids = {"customer": customer.id}
        has = self.session.target.operations
        if "add_payment_method" in has and operation in _NEEDS_CARD:
            added = add_card(self.session, customer).get("payment_method")
            ids |= {"payment_method": str(added)} if added else {}
        if "create_key" in has and operation in _NEEDS_KEY:
            ids["key"] = str(self.session.ok("create_key", customer=customer)["key"])
        return Tenant(customer, ids)


def good_call(session: Session, operation: str, tenant: Tenant) -> Call:
    """Give the request that the harness itself would send, with which the operation succeeds."""
    performance = session.target.perform(
        operation,
        role="customer",
        credential=tenant.customer.credential,
        **inputs_for(session, operation, tenant.ids),
    )
    call = next(performance)
    performance.close()
    if not isinstance(call, Call):
        raise Unknown(f"{operation} begins with a wait, so what it sends cannot be told")
    return call
