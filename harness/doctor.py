"""Tries each operation of a profile on the live target, and explains what does not fit."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import NotMapped, Unknown
from harness.operations import OPERATIONS
from harness.signing import header
from harness.target.wire import Call, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.history import Exchange
    from harness.session import Customer, Session
    from harness.target.profile import Mapping
    from harness.target.protocol import Outcome

State = Literal["works", "mismatch", "refused", "missing", "not tried"]

_BODY_CHARS = 400
_REFUND_MINOR = 100
_DRAIN_S = 3.0
_LATER_S = 60
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_CONTROLS = ("advance_time", "drain")
# A type that Stripe sends and billing code has no use for: nothing should come of it.
_HARMLESS = "product.created"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What came of one operation: what was sent, expected and received, and why it does not fit.

    One that works may have a `why` too: which of its mapped outputs came back empty.
    """

    operation: str
    state: State
    why: str = ""
    sent: str = ""
    expected: str = ""
    received: str = ""


@dataclass(frozen=True, slots=True)
class Means:
    """What may be used beside the API itself.

    `webhook_secret` signs an event; `now` gives the target's time and `move` takes it forward, both
    in Unix seconds, where controls of everybody's time may be tried. `patience_s` is how
    long a payment may take to be shown.
    """

    webhook_secret: str | None = None
    now: Callable[[], float] = time.time
    move: Callable[[int], object] | None = None
    patience_s: float = 5.0


def diagnose(session: Session, means: Means | None = None) -> list[Diagnosis]:
    """Try every operation that the target maps, in an order in which each has what it needs.

    One customer is made for it, pays with a test card, and is closed at the end.
    """
    doctor = _Doctor(session, means or Means())
    for part in (doctor.open, doctor.pay, doctor.manage, doctor.keys, doctor.events):
        part()
    doctor.controls()
    doctor.end()
    return doctor.all()


def diagnose_reading(session: Session, customer: Customer) -> list[Diagnosis]:
    """Try only what reads, about a customer that is there; nothing but GET is ever sent."""
    doctor = _Doctor(session, Means(), customer, alter=_only_reading)
    for operation, known in OPERATIONS.items():
        if known.reads:
            doctor.attempt(operation)
        else:
            doctor.leave(operation, "it writes, and --read-only sends nothing that does")
    return doctor.all()


class _Writes(Exception):
    """A request that is not sent, because it may change something."""


def _only_reading(call: Call) -> Call:
    if call.method not in _SAFE_METHODS:
        raise _Writes(f"its request is {call.method}, and --read-only sends nothing but GET")
    return call


class _Doctor:
    """One examination: what is known of its customer, and what was found."""

    def __init__(
        self,
        session: Session,
        means: Means,
        customer: Customer | None = None,
        *,
        alter: Callable[[Call], Call] | None = None,
    ) -> None:
        self._session = session
        self._means = means
        self._customer = customer
        self._alter = alter
        self._known: dict[str, Any] = {}
        self._found: dict[str, Diagnosis] = {}
        self._mapped = session.target.operations

    def all(self) -> list[Diagnosis]:
        """Give a diagnosis of every operation there is."""
        return [self._found.get(name) or Diagnosis(name, "missing") for name in OPERATIONS]

    def open(self) -> None:
        """Make a customer, give him a card and a plan, and let him use something."""
        names = self._session.names
        self.attempt("create_customer", email=names.email(), name="Doctor", source="direct")
        self._customer = next(iter(self._session.customers), None)
        self.attempt("add_payment_method", token="pm_card_visa", consent=True)  # noqa: S106 - Stripe's test card
        self.attempt("list_payment_methods")
        self.attempt("set_plan", plan=self._plan("payg", "trial", "pro"))
        self.attempt("record_usage", usage_id=names.new("usage"), quantity=1)

    def pay(self) -> None:
        """Subscribe, change that, let it end and take that back, then end it."""
        plan = self._plan("pro", "payg", "trial")
        subscribed = self.attempt("subscribe", plan=plan, quantity=1)
        if subscribed and self._state("record_usage") == "refused":
            # Some take usage of subscribers alone.
            usage_id = self._session.names.new("usage")
            self.attempt("record_usage", usage_id=usage_id, quantity=1, again=True)
        own: dict[str, Any] = {"subscription": self._known.get("subscription")}
        for operation in ("get_subscription", "change_subscription", "cancel_subscription"):
            if not subscribed and operation in self._mapped:
                self.leave(operation, "there is no subscription")
        if subscribed:
            self.attempt("get_subscription", **own)
            self.attempt("change_subscription", **own, plan=plan, quantity=2)
        for operation in ("get_customer", "get_balance"):
            self.attempt(operation)
        self._stop(own, subscribed=subscribed)

    def _stop(self, own: dict[str, Any], *, subscribed: bool) -> None:
        scheduled = subscribed and self.attempt("cancel_subscription", **own, at_period_end=True)
        if scheduled:
            self.attempt("get_subscription", **own)
            self.attempt("resume_subscription", **own)
        else:
            self.leave("resume_subscription", "no end could be scheduled that it takes back")
        if subscribed:
            self.attempt("cancel_subscription", **own, at_period_end=False)

    def manage(self) -> None:
        """Read the books, refund a little of a payment, and give a unit."""
        payment = self._payment()
        for operation in ("list_ledger", "list_payments", "list_invoices"):
            self.attempt(operation)
        if payment:
            amount_minor = min(_REFUND_MINOR, payment.get("amount_minor") or _REFUND_MINOR)
            self.attempt("refund_payment", payment=payment["payment"], amount_minor=amount_minor)
        else:
            self.leave("refund_payment", "no payment to refund was seen in list_payments")
        self.attempt("adjust_credits", units=1, reason="tried by the doctor")

    def keys(self) -> None:
        """Make a key of its own, rotate and revoke that one, and never the one in use."""
        if not self.attempt("create_key"):
            for operation in ("rotate_key", "revoke_key"):
                self.leave(operation, "no key of its own could be made, and the one in use is kept")
        else:
            own = {"key": self._known["key"]}
            if self.attempt("rotate_key", **own, credential=self._known["credential"]):
                own = {"key": self._known["key"]}
            self.attempt("revoke_key", **own)
        self.attempt("exchange_credentials", providers=["github"], ttl_minutes=10)

    def events(self) -> None:
        """Send a signed event of a harmless type, then one that nobody signed."""
        operation, secret = "receive_webhook", self._means.webhook_secret
        if operation in self._mapped and not secret:
            self.leave(operation, "the variable that [webhooks] secret_env names is not set")
        if operation not in self._mapped or not secret:
            return
        now = int(time.time())  # signatures are of this hour, whatever hour the target lives in
        payload = _event(self._session.names.new("evt"), now)
        signed = (("Stripe-Signature", header(payload, secret, now)),)
        if not self.attempt(operation, payload=payload, signature_headers=signed):
            return
        forged = _event(self._session.names.new("evt"), now)
        outcome = self._session.perform(operation, payload=forged, signature_headers=())
        if outcome.kind != "refused":
            told = _mismatch(operation, outcome, self._session.records[-1].exchanges[-1])
            why = f"an event that nobody signed was {outcome}, where it must be refused"
            found = replace(told, state="mismatch", why=why, expected="a refusal")
            self._found[operation] = found

    def controls(self) -> None:
        """Try what moves everybody's time, where that is allowed."""
        move = self._means.move
        if move is None:
            for operation in _CONTROLS:
                self.leave(operation, "it concerns everybody's time: --controls tries it")
        else:
            moment = int(self._means.now()) + _LATER_S
            if "advance_time" in self._mapped:
                move(moment)
            self.attempt("advance_time", to=moment)
            self.attempt("drain", deadline_s=_DRAIN_S)
        self.leave("purge_customer", "it deletes customers for good")
        self.leave("arm_failpoint", "it breaks the target on purpose")

    def end(self) -> None:
        """Take the card away, and close the customer."""
        if self._known.get("payment_method") or self._state("add_payment_method") == "missing":
            method = self._known.get("payment_method")
            self.attempt("remove_payment_method", payment_method=method)
        else:
            self.leave("remove_payment_method", "no payment method is known to remove")
        self.attempt("close_customer")

    def leave(self, operation: str, why: str) -> None:
        """Note that a mapped operation is not tried, and why."""
        if operation in self._mapped and self._state(operation) in {None, "missing"}:
            self._found[operation] = Diagnosis(operation, "not tried", why)

    def attempt(self, operation: str, *, again: bool = False, **inputs: Any) -> bool:
        """Try an operation, and say whether it worked; a fault that was found once stays found."""
        before = None if again else self._found.get(operation)
        told = self._try(operation, inputs)
        # Of two that worked the fuller answer counts: an end is shown only while one is scheduled.
        fuller = told.state != "works" or not told.why
        if before is None or (before.state == "works" and fuller):
            self._found[operation] = told
        return told.state == "works"

    def _try(self, operation: str, inputs: dict[str, Any]) -> Diagnosis:
        if operation not in self._mapped:
            return Diagnosis(operation, "missing")
        if self._customer is None and operation != "create_customer":
            return Diagnosis(operation, "not tried", "no customer could be made")
        given = {name: value for name, value in inputs.items() if value is not None}
        given.setdefault("customer", self._customer)
        try:
            outcome = self._session.perform(operation, alter=self._alter, **given)
        except NotMapped as error:
            return Diagnosis(operation, "not tried", error.message)
        except _Writes as error:
            return Diagnosis(operation, "not tried", str(error))
        self._known |= {name: value for name, value in outcome.outputs.items() if value is not None}
        return self._explained(operation, outcome)

    def _explained(self, operation: str, outcome: Outcome) -> Diagnosis:
        exchanges = self._session.records[-1].exchanges
        mapping = self._session.target.profile.operations.get(operation)
        return _explain(operation, mapping, outcome, exchanges[-1] if exchanges else None)

    def _state(self, operation: str) -> State | None:
        found = self._found.get(operation)
        return found.state if found else None

    def _plan(self, *roles: Literal["trial", "payg", "pro"]) -> str | None:
        """Give the name of the first plan that plays one of these parts, or of any plan."""
        catalog = self._session.target.profile.catalog
        found = [plan for role in roles if (plan := catalog.plan(role))]
        return found[0][0] if found else next(iter(catalog.plans), None)

    def _payment(self) -> dict[str, Any] | None:
        """Wait a while for a payment that can be refunded."""
        if self._customer is None or self._state("subscribe") != "works":
            return None
        try:
            shown = self._session.until(
                lambda outcome: bool(_refundable(outcome)),
                "list_payments",
                customer=self._customer,
                deadline_s=self._means.patience_s,
            )
        except (Unknown, AssertionError, NotMapped):
            return None
        return _refundable(shown)[0]


def _refundable(outcome: Outcome) -> list[dict[str, Any]]:
    items = outcome.get("items") or []
    return [item for item in items if item.get("payment") and (item.get("amount_minor") or 0) > 0]


def _event(name: str, now: int) -> bytes:
    """Give an event of Stripe's about a product that nobody has."""
    product = {"id": f"prod_{name}", "object": "product", "name": "tried by the doctor"}
    event = {
        "id": name.replace("-", "_"),
        "object": "event",
        "type": _HARMLESS,
        "created": now,
        "livemode": False,
        "data": {"object": product},
    }
    return json.dumps(event).encode()


def _explain(
    operation: str, mapping: Mapping | None, outcome: Outcome, last: Exchange | None
) -> Diagnosis:
    if outcome.kind == "ok":
        return Diagnosis(operation, "works", _empty(mapping, outcome) if mapping else "")
    told = _mismatch(operation, outcome, last)
    return replace(told, expected=_expected(mapping) if mapping else "HTTP 2xx")


def _mismatch(operation: str, outcome: Outcome, last: Exchange | None) -> Diagnosis:
    state: State = "refused" if outcome.kind == "refused" else "mismatch"
    if last is None:
        return Diagnosis(operation, state, str(outcome))
    return Diagnosis(operation, state, str(outcome), sent=_sent(last), received=_received(last))


def _empty(mapping: Mapping, outcome: Outcome) -> str:
    """Name the outputs that the profile maps and the answer left empty: right, or a wrong path."""
    sources, shown = mapping.reply, [dict(outcome.outputs)]
    if mapping.items:
        sources, shown = mapping.items.reply, outcome.get("items") or []
        if not shown:
            return "the list is empty: none of its fields was seen"
    empty = [name for name in sources if all(item.get(name) in (None, "") for item in shown)]
    told = ", ".join(f"{name} at {sources[name]!r}" for name in empty)
    return f"left empty: {told}" if told else ""


def _expected(mapping: Mapping) -> str:
    """Say which answer the profile takes for a success."""
    statuses = ", ".join(map(str, [*mapping.ok, *mapping.accepted])) or "2xx"
    parts = [f"{output} at {source!r}" for output, source in mapping.reply.items()]
    if mapping.items:
        parts.append(f"a list at {mapping.items.path!r}")
    return f"HTTP {statuses}" + (f" with {', '.join(parts)}" if parts else "")


def _sent(exchange: Exchange) -> str:
    call = exchange.call
    query = "&".join(f"{name}={value}" for name, value in call.query)
    body = call.body[:_BODY_CHARS].decode("utf-8", "backslashreplace")
    return f"{call.method} {call.path}{'?' if query else ''}{query} {body}".rstrip()


def _received(exchange: Exchange) -> str:
    reply = exchange.reply
    if not isinstance(reply, Reply):
        return f"no reply: {reply.reason} {reply.detail}".rstrip()
    body = reply.body[:_BODY_CHARS].decode("utf-8", "backslashreplace")
    return f"HTTP {reply.status} {body}".rstrip()
