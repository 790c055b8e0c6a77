"""Drives an operation to its end over any sender: what its inputs lack, its calls, its record.

A test's session and a load's client differ in how they send and wait, and in what they do about
what came to nothing; what lies between is here.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from harness.history import Exchange
from harness.operations import OPERATIONS
from harness.target.wire import Wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.history import Record
    from harness.naming import Names
    from harness.redact import Redactor
    from harness.session import Customer
    from harness.target.protocol import Outcome, Performance
    from harness.target.wire import Call, NoReply, Reply

    Send = Callable[[Call], Reply | NoReply]


def complete(
    operation: str,
    inputs: dict[str, Any],
    customer: Customer | None,
    names: Names,
    redactor: Redactor,
) -> str | None:
    """Add what the inputs lack, and give the credential, taken out of them.

    An operation made safe by a key gets a new one. `customer` gives the id and the credential; an
    input of the same name overrides either.
    """
    if OPERATIONS[operation].repeat == "key":
        inputs.setdefault("idempotency_key", names.new("key"))
    if customer is not None:
        inputs.setdefault("customer", customer.id)
        redactor.add(customer.credential)
    credential: str | None = inputs.pop("credential", customer.credential if customer else None)
    return credential


def drive(
    performance: Performance,
    send: Send,
    wait: Callable[[float], object],
    alter: Callable[[Call], Call] | None = None,
) -> tuple[Outcome, list[Exchange]]:
    """Run an operation's generator to its end; give its outcome, and what went over the wire.

    `alter` changes each call before it goes out.
    """
    exchanges: list[Exchange] = []
    answer: Reply | NoReply | None = None
    while True:
        try:
            step = performance.send(answer)
        except StopIteration as end:
            return cast("Outcome", end.value), exchanges
        if isinstance(step, Wait):
            wait(step.seconds)
            answer = None
            continue
        call = alter(step) if alter else step
        at, began = time.time(), time.perf_counter()
        answer = send(call)
        exchanges.append(Exchange(call, answer, at, (time.perf_counter() - began) * 1000))


def ended(
    record: Record, outcome: Outcome, exchanges: list[Exchange], redactor: Redactor
) -> Record:
    """Give a record with what came of it; a sign-up's customer is the one that it made."""
    redactor.add(outcome.get("credential"))
    made = record.operation == "create_customer" and outcome.get("customer")
    return replace(
        record,
        customer=outcome["customer"] if made else record.customer,
        outcome=outcome,
        exchanges=tuple(exchanges),
        ended_at=time.time(),
    )
