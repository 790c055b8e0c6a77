"""Performs operations on a target and records what was sent, what came back and what it means."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from harness.driving import complete, drive, ended
from harness.errors import Unknown
from harness.history import Record
from harness.operations import OPERATIONS
from harness.patience import Patience
from harness.target.protocol import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.driving import Send
    from harness.history import Exchange, History
    from harness.naming import Names
    from harness.redact import Redactor
    from harness.target.protocol import Kind, Performance, Role, Target
    from harness.target.wire import Call, NoReply, Reply

_POLL_FIRST_S = 0.02
_POLL_MAX_S = 0.5
_GATE_S = 10.0


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer that a test made: the target's id, its credential, and the provider's id."""

    id: str
    credential: str | None = field(repr=False)  # pytest shows what a failed test was given
    provider_customer: str | None
    email: str | None = None


class Session:
    """What one test does to one target.

    `send` and `wait` are the only ways out, so a session runs over any driver. Every operation is
    recorded before it begins and after it ends. `customers` are those that the test made, and that
    are judged; `patient` says whether it waits for a target that limits it.
    """

    def __init__(  # noqa: PLR0913 - the seams of a session, each handed in
        self,
        target: Target,
        send: Send,
        history: History,
        redactor: Redactor,
        *,
        names: Names,
        test: str = "",
        wait: Callable[[float], None] = time.sleep,
        patient: bool = True,
    ) -> None:
        self.target = target
        self.patient = patient
        self.names = names
        self.customers: list[Customer] = []
        self.records: list[Record] = []
        self._send = send
        self._history = history
        self._redactor = redactor
        self._test = test
        self._wait = wait

    def perform(
        self,
        operation: str,
        /,
        *,
        customer: Customer | None = None,
        role: Role = "customer",
        alter: Callable[[Call], Call] | None = None,
        **inputs: Any,
    ) -> Outcome:
        """Perform an operation and give its outcome, whatever that is.

        `customer` gives the id and the credential; an input of the same name overrides either. An
        operation made safe by a key gets a new one unless `idempotency_key` is given. What came to
        nothing is sent again where that cannot do harm (`harness.patience`). `alter` changes each
        call before it goes out, as somebody would who does not keep to the API.
        """
        known = OPERATIONS[operation]
        credential = complete(operation, inputs, customer, self.names, self._redactor)
        record = Record(
            id=self._history.next_id(),
            test=self._test,
            operation=operation,
            role=role,
            customer=inputs.get("customer"),
            inputs=inputs,
            began_at=time.time(),
        )

        def start() -> Performance:
            return self.target.perform(operation, role=role, credential=credential, **inputs)

        first = start()  # an operation that the target does not have is not recorded
        self._history.begin(record)
        wait_s = self.target.profile.settle_deadline_s if self.patient else None
        patience = Patience(known, inputs, wait_s, altered=alter is not None)
        return self._finish(record, *self._try(first, start, patience, alter))

    def disown(self, customer: Customer) -> None:
        """Have a customer not be judged: one whom the test itself has wronged at the provider."""
        self.customers.remove(customer)

    @property
    def last_reply(self) -> Reply | NoReply | None:
        """Give what came back last: for what outcomes do not tell, such as headers."""
        exchanges = self.records[-1].exchanges if self.records else ()
        return exchanges[-1].reply if exchanges else None

    def ok(self, operation: str, /, **arguments: Any) -> Outcome:
        """Perform an operation that must succeed; raises `Unknown` where it only may have."""
        outcome = self.perform(operation, **arguments)
        _expect("ok", operation, outcome)
        return outcome

    def refused(self, operation: str, /, code: str | None = None, **arguments: Any) -> Outcome:
        """Perform an operation that must be refused; raises `Unknown` where it may have happened.

        `code`, where given, is the refusal's code that is due.
        """
        outcome = self.perform(operation, **arguments)
        _expect("refused", operation, outcome)
        if code is not None and outcome.code != code:
            raise AssertionError(f"{operation} was {outcome}, where {code!r} must refuse it")
        return outcome

    def note(
        self, operation: str, /, exchange: Exchange, *, role: Role = "customer", **inputs: Any
    ) -> Outcome:
        """Take over what another driver sent, as the operation that it was; give its outcome.

        What goes on after its first reply (pages, polls) is not followed: it counts as `accepted`.
        """
        performance = self.target.perform(operation, role=role, credential=None, **inputs)
        record = Record(
            id=self._history.next_id(),
            test=self._test,
            operation=operation,
            role=role,
            customer=inputs.get("customer"),
            inputs=inputs,
            began_at=exchange.at,
        )
        self._history.begin(record)
        outcome = Outcome("accepted")
        try:
            next(performance)
            performance.send(exchange.reply)
        except StopIteration as end:
            outcome = cast("Outcome", end.value)
        performance.close()
        return self._finish(record, outcome, [exchange])

    def remark(
        self, what: str, outcome: Outcome, *, customer: str | None = None, **inputs: Any
    ) -> None:
        """Take note of what was done elsewhere, such as a fault of the payment provider's."""
        now = time.time()
        record = Record(
            id=self._history.next_id(),
            test=self._test,
            operation=what,
            role="operator",
            customer=customer,
            inputs=inputs,
            began_at=now,
        )
        self._history.begin(record)
        self._finish(record, outcome, [])

    def until(
        self,
        condition: Callable[[Outcome], bool],
        operation: str,
        /,
        *,
        deadline_s: float = 10.0,
        **arguments: Any,
    ) -> Outcome:
        """Read again and again until the condition holds; raises `Unknown` at the deadline.

        For what a webhook or a background job brings: that it has not come yet is no failure.
        """
        ends_at = time.monotonic() + deadline_s
        pause_s = _POLL_FIRST_S
        while not condition(outcome := self.ok(operation, **arguments)):
            if time.monotonic() > ends_at:
                raise Unknown(f"{operation} did not come to what is due within {deadline_s:g} s")
            self._wait(pause_s)
            pause_s = min(pause_s * 2, _POLL_MAX_S)
        return outcome

    def together(self, acts: Sequence[Callable[[], Outcome]]) -> list[Outcome]:
        """Do several things at once, each in a thread of its own; give their outcomes in order.

        Use `perform` in them: what one of several rivals must come to is told by all of them.
        """
        gate = threading.Barrier(len(acts))

        def start(act: Callable[[], Outcome]) -> Outcome:
            gate.wait(_GATE_S)
            return act()

        with ThreadPoolExecutor(len(acts)) as pool:
            return list(pool.map(start, acts))

    def _try(
        self,
        performance: Performance,
        again: Callable[[], Performance],
        patience: Patience,
        alter: Callable[[Call], Call] | None,
    ) -> tuple[Outcome, list[Exchange]]:
        outcome, exchanges = drive(performance, self._send, self._wait, alter)
        last = exchanges
        while (pause_s := patience.pause_s(last)) is not None:
            self._wait(pause_s)
            outcome, last = drive(again(), self._send, self._wait, alter)
            exchanges = [*exchanges, *last]
        return patience.believed(outcome, exchanges), exchanges

    def _finish(self, record: Record, outcome: Outcome, exchanges: list[Exchange]) -> Outcome:
        whole = ended(record, outcome, exchanges, self._redactor)
        if record.operation == "create_customer" and outcome.get("customer"):
            self._remember(record, outcome)
        self.records.append(whole)
        self._history.end(whole)
        return outcome

    def _remember(self, record: Record, outcome: Outcome) -> None:
        known = {customer.id for customer in self.customers}
        if outcome["customer"] not in known:
            self.customers.append(
                Customer(
                    id=outcome["customer"],
                    credential=outcome.get("credential"),
                    provider_customer=outcome.get("provider_customer"),
                    email=record.inputs.get("email"),
                )
            )


def _expect(kind: Kind, operation: str, outcome: Outcome) -> None:
    if outcome.kind in {"unknown", "accepted"}:
        raise Unknown(f"{operation}: {outcome}")
    if outcome.kind != kind:
        must = "succeed" if kind == "ok" else "be refused"
        raise AssertionError(f"{operation} was {outcome}, where it must {must}")
