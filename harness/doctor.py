"""Tries each operation of a profile on the live target, and explains what does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import NotMapped
from harness.operations import OPERATIONS
from harness.target.wire import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.history import Exchange
    from harness.session import Customer, Session
    from harness.target.profile import Mapping
    from harness.target.protocol import Outcome

State = Literal["works", "mismatch", "refused", "missing", "not tried"]

_BODY_CHARS = 400


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


def diagnose(session: Session) -> Iterator[Diagnosis]:
    """Try every operation that the target maps, in an order in which each has what it needs.

    One customer is made for it; webhooks and controls of time are not tried, for they concern
    everybody's data.
    """
    known: dict[str, Any] = {}
    customer: Customer | None = None
    for operation, inputs in _steps(session, known):
        yield _try(session, operation, customer, inputs, known)
        customer = session.customers[0] if session.customers else None
    tried = {"create_customer", *(name for name, _ in _steps(session, known))}
    for operation in OPERATIONS:
        if operation not in tried:
            mapped = operation in session.target.operations
            yield Diagnosis(operation, "not tried" if mapped else "missing")


def _steps(session: Session, known: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give operations with their inputs; ids come from what earlier ones answered."""
    catalog = session.target.profile.catalog
    pro = catalog.plan("pro")
    names = session.names
    yield "create_customer", {"email": names.email(), "name": "Doctor", "source": "direct"}
    yield "get_customer", {}
    yield "get_balance", {}
    yield "list_ledger", {}
    yield "add_payment_method", {"token": "pm_card_visa", "consent": True}
    yield "list_payment_methods", {}
    yield "subscribe", {"plan": pro[0] if pro else "pro", "quantity": 1}
    yield "get_subscription", {"subscription": known.get("subscription")}
    # Some take usage only of subscribers.
    yield "record_usage", {"usage_id": names.new("usage"), "quantity": 1}
    yield "list_payments", {}
    yield (
        "cancel_subscription",
        {"subscription": known.get("subscription"), "at_period_end": False},
    )
    yield "list_invoices", {}
    yield "remove_payment_method", {"payment_method": known.get("payment_method")}
    yield "close_customer", {}


def _try(
    session: Session,
    operation: str,
    customer: Customer | None,
    inputs: dict[str, Any],
    known: dict[str, Any],
) -> Diagnosis:
    if operation not in session.target.operations:
        return Diagnosis(operation, "missing")
    if customer is None and operation != "create_customer":
        return Diagnosis(operation, "not tried", "no customer could be made")
    given = {name: value for name, value in inputs.items() if value is not None}
    try:
        outcome = session.perform(operation, customer=customer, **given)
    except NotMapped as error:
        return Diagnosis(operation, "not tried", error.message)
    known |= {name: value for name, value in outcome.outputs.items() if value is not None}
    exchanges = session.records[-1].exchanges
    mapping = session.target.profile.operations.get(operation)
    return _explain(operation, mapping, outcome, exchanges[-1] if exchanges else None)


def _explain(
    operation: str, mapping: Mapping | None, outcome: Outcome, last: Exchange | None
) -> Diagnosis:
    if outcome.kind == "ok":
        return Diagnosis(operation, "works", _empty(mapping, outcome) if mapping else "")
    state: State = "refused" if outcome.kind == "refused" else "mismatch"
    expected = _expected(mapping) if mapping else ""
    if last is None:
        return Diagnosis(operation, state, str(outcome), expected=expected)
    return Diagnosis(operation, state, str(outcome), _sent(last), expected, _received(last))


def _empty(mapping: Mapping, outcome: Outcome) -> str:
    """Name the outputs that the profile maps and the answer left empty: right, or a wrong path."""
    outputs = {name: outcome.get(name) for name in mapping.reply}
    empty = [name for name, value in outputs.items() if value is None or value == ""]
    told = ", ".join(f"{name} at {mapping.reply[name]!r}" for name in empty)
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
