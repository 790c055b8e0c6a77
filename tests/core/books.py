"""A tiny billing service in memory: what happened, what was seen of it, and its true books."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from harness.checks.evidence import CustomerState, Entry, Evidence, Payment
from harness.history import Record
from harness.operations import OPERATIONS
from harness.provider import Journal, Movement
from harness.target.profile import Catalog
from harness.target.protocol import Outcome, refused, unknown

CATALOG = Catalog.model_validate(
    {
        "currency": "usd",
        "grants": {"sign_up": 3, "billing_added": 2},
        "plans": {
            "payg": {"overage_minor": 2900},
            "pro": {"price_minor": 59900, "included_units": 6, "overage_minor": 1500},
        },
    }
)
CUSTOMER, PROVIDER_CUSTOMER = "c1", "cus_1"


@dataclass
class Books:
    """One customer's true books. `tell` performs an operation and records what was seen of it."""

    names_charges: bool = True
    records: list[Record] = field(default_factory=list)
    ledger: list[Entry] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    movements: list[Movement] = field(default_factory=list)
    made_by: dict[str, str] = field(default_factory=dict)
    card: bool = False
    pro: bool = False

    def __post_init__(self) -> None:
        """Sign up."""
        self.tell("create_customer")

    @property
    def units(self) -> int:
        return sum(entry.units for entry in self.ledger)

    def tell(self, operation: str, seen: str = "", *, applied: bool = True, **inputs: Any) -> str:
        """Perform an operation; `seen="unknown"` hides its outcome, which may not have been."""
        number = len(self.records) + 1
        call = f"main-{number}"
        outcome = self._perform(operation, call, inputs) if applied else unknown("timeout")
        if seen == "unknown":
            outcome = unknown("timeout")
        record = Record(
            call, "a test", operation, "customer", CUSTOMER, inputs, number, number + 0.5, outcome
        )
        self.records.append(record)
        return call

    def evidence(self, **state: Any) -> Evidence:
        """Give what a judge would gather; `state` overrides what the target shows."""
        shown = CustomerState(
            CUSTOMER, PROVIDER_CUSTOMER, self.units, tuple(self.ledger), tuple(self.payments)
        )
        return Evidence(
            history=tuple(self.records),
            states=(replace(shown, **state),),
            catalog=CATALOG,
            journal=Journal(tuple(self.movements)),
            operations=frozenset(OPERATIONS),
        )

    def enter(self, units: int, source: str, cause: str, call: str = "") -> None:
        """Write a line of the ledger; `call` is the operation behind it."""
        self.made_by[cause] = call
        self.ledger.append(Entry(units, self.units + units, source, cause))

    def charge(self, amount: int, cause: str, *, invoice: str | None = None) -> str:
        """Move money, and book it."""
        number = len(self.movements) + 1
        name = f"ch_{number}"
        named = {"usage": cause} if self.names_charges and invoice is None else {}
        self.movements.append(
            Movement(
                type="charge",
                provider_id=name,
                customer=PROVIDER_CUSTOMER,
                amount_minor=amount,
                currency="usd",
                state="succeeded",
                at=number,
                payment_intent=f"pi_{number}",
                invoice=invoice,
                metadata=named,
            )
        )
        told = cause if self.names_charges else None
        self.payments.append(Payment(amount, "usd", name, "succeeded", told))
        return name

    def rechain(self) -> None:
        """Make the balances follow from the units again, as a service that is wrong inside does."""
        entries, self.ledger = self.ledger, []
        for entry in entries:
            self.ledger.append(replace(entry, balance_after=self.units + entry.units))

    def _perform(self, operation: str, call: str, inputs: dict[str, Any]) -> Outcome:
        if operation == "create_customer":
            self.enter(CATALOG.grants.sign_up, "trial_signup", "sign-up", call)
        elif operation == "add_payment_method":
            if not self.card:
                self.enter(CATALOG.grants.billing_added, "trial_billing_added", "card", call)
            self.card = True
        elif operation == "subscribe":
            return self._subscribe(call, int(inputs.get("quantity") or 1))
        elif operation == "cancel_subscription":
            self.pro = False
        elif operation == "record_usage":
            return self._use(call, inputs["usage_id"], inputs.get("quantity") or 1)
        return Outcome("ok")

    def _subscribe(self, call: str, quantity: int) -> Outcome:
        if self.pro or not self.card:
            return refused("already_subscribed" if self.pro else "no_billing_info")
        plan = CATALOG.plans["pro"]
        invoice = f"in_{call}"
        self.pro = True
        self.charge(plan.price_minor * quantity, invoice, invoice=invoice)
        self.enter(plan.included_units * quantity, "pro_subscription_payment", invoice, call)
        return Outcome("ok")

    def _use(self, call: str, usage_id: str, quantity: int) -> Outcome:
        if any(entry.cause == usage_id for entry in self.ledger):
            return Outcome("ok")
        short = max(0, quantity - self.units)
        if short and not self.card:
            return refused("no_billing_info")
        price = CATALOG.plans["pro" if self.pro else "payg"].overage_minor or 0
        if short:
            self.enter(short, "purchased", self.charge(short * price, usage_id), call)
        self.enter(-quantity, "consumed", usage_id, call)
        return Outcome("ok", {"charged_minor": short * price})
