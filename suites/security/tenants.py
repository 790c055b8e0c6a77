"""Tenants with everything that one can have, and who else may try to reach it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from harness.operations import OPERATIONS
from harness.target.template import placeholders
from suites.e2e.steps import add_card, sign_up, subscribed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.session import Customer, Session
    from harness.target import profile
    from harness.target.protocol import Outcome, Role
    from suites.security.tampering import Alter

IDS = frozenset({"customer", "subscription", "payment", "payment_method", "key"})
STATE = (
    *("get_customer", "get_subscription", "get_balance"),
    *("list_payment_methods", "list_ledger", "list_payments", "list_invoices"),
)
SETTLE_S = 10.0


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer and the ids of what is theirs, by the name of the input that takes them."""

    customer: Customer
    ids: Mapping[str, str]


def stranger(billing: Session) -> Customer:
    """Make another customer; skip where customers have no credential of their own."""
    customer = sign_up(billing)
    if customer.credential is None:
        pytest.skip("the target gives its customers no credential of their own")
    return customer


def plain_tenant(billing: Session) -> Tenant:
    """Make a customer with nothing but the account: enough where ids of things are not tried."""
    customer = stranger(billing)
    return Tenant(customer, {"customer": customer.id})


def settled_tenant(billing: Session) -> Tenant:
    """Make a customer with a card, a subscription, payments and a second key, where there are."""
    customer = stranger(billing)
    ids = {"customer": customer.id}
    if _has(billing, "add_payment_method"):
        _keep(ids, add_card(billing, customer), "payment_method")
    if _has(billing, "subscribe") and billing.target.profile.catalog.plan("pro"):
        _, answer, _ = subscribed(billing, customer)
        _keep(ids, answer, "subscription")
    if _has(billing, "create_key"):
        _keep(ids, billing.ok("create_key", customer=customer), "key")
    if _has(billing, "drain"):
        billing.perform("drain", deadline_s=SETTLE_S)
    for operation, output in (
        ("list_payments", "payment"),
        ("list_payment_methods", "payment_method"),
    ):
        if _has(billing, operation):
            for item in billing.ok(operation, customer=customer)["items"][:1]:
                if item.get(output):
                    ids[output] = str(item[output])
    return Tenant(customer, ids)


def inputs_for(billing: Session, operation: str, ids: Mapping[str, str]) -> dict[str, Any]:
    """Give inputs with which an operation would succeed for whom the ids belong to."""
    catalog = billing.target.profile.catalog
    plan = catalog.plan("payg" if operation == "set_plan" else "pro")
    samples: dict[str, Any] = {
        "email": billing.names.email(),
        "name": "Ada",
        "source": "direct",
        "token": "pm_card_visa",
        "consent": True,
        "plan": plan[0] if plan else None,
        "quantity": 2 if operation == "change_subscription" else 1,
        "usage_id": billing.names.new("usage"),
        "amount_minor": 101,
        "units": 1,
        "reason": "made good",
        "at_period_end": False,
        "providers": ["github"],
        "ttl_minutes": 10,
    }
    known = {**samples, **ids}
    return {name: known[name] for name in OPERATIONS[operation].inputs if name in known}


def aimed(billing: Session, tenant: Tenant) -> list[str]:
    """Name the operations whose requests say, by an id, whose it is about."""
    return [
        name
        for name, mapping in billing.target.profile.operations.items()
        if (named := ids_in(mapping)) and named <= tenant.ids.keys()
    ]


def ids_in(mapping: profile.Mapping) -> set[str]:
    """Name the inputs of a request that are ids of things that belong to somebody."""
    parts = [mapping.request, mapping.query, mapping.headers, mapping.body or {}]
    return placeholders(parts) & IDS


def attempt(
    billing: Session,
    operation: str,
    ids: Mapping[str, str],
    caller: Customer,
    role: Role = "other_tenant",
    *,
    said: Mapping[str, Any] | None = None,
    alter: Alter | None = None,
) -> Outcome:
    """Perform an operation about what the ids name, with the caller's credential.

    `said` goes in place of inputs; `alter` changes the calls themselves.
    """
    inputs = {**inputs_for(billing, operation, ids), **(said or {})}
    about = replace(caller, id=str(inputs.pop("customer", caller.id)))
    return billing.perform(operation, customer=about, role=role, alter=alter, **inputs)


def state_of(billing: Session, tenant: Tenant) -> dict[str, Mapping[str, Any]]:
    """Read everything of a tenant's that the target shows to its owner."""
    found = {}
    for operation in STATE:
        if _has(billing, operation) and ids_in(billing.target.profile.operations[operation]) <= (
            tenant.ids.keys()
        ):
            outcome = attempt(billing, operation, tenant.ids, tenant.customer, "customer")
            assert outcome.kind == "ok", (
                f"a customer can no longer read what is his own: {operation} was {outcome}"
            )
            found[operation] = outcome.outputs
    return found


def nobodys(text: str, turn: int = 1) -> str:
    """Turn an id into one of the same form that nobody has.

    >>> nobodys("cust_01ABCxyz")
    'cust_12BCDyza'
    """
    head, tail = (text[:-8], text[-8:]) if len(text) > 8 else ("", text)
    return head + "".join(_next(letter, turn) for letter in tail)


def _next(letter: str, turn: int) -> str:
    for first, count in (("0", 10), ("a", 26), ("A", 26)):
        place = ord(letter) - ord(first)
        if 0 <= place < count:
            return chr(ord(first) + (place + turn) % count)
    return letter


def _has(billing: Session, operation: str) -> bool:
    return operation in billing.target.operations


def _keep(ids: dict[str, str], outcome: Outcome, output: str) -> None:
    if outcome.get(output):
        ids[output] = str(outcome[output])
