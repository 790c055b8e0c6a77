from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import ProviderError
from harness.history import History
from harness.judge import Judge
from harness.naming import Names
from harness.provider import Journal
from harness.redact import Redactor
from harness.session import Customer, Session
from harness.target.mapped import ProfileTarget
from harness.target.wire import NoReply, Reply
from tests.core.books import CUSTOMER, PROVIDER_CUSTOMER, Books
from tests.core.making import TIMEOUT, answer, profile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness.checks.verdict import CheckVerdict
    from harness.target.wire import Call

LEDGER = ("units", "balance_after", "source", "cause")
PAYMENT = ("amount_minor", "currency", "provider_id", "state", "cause")
READS = {
    "get_balance": {"request": "GET /balance/{customer}", "reply": {"units": "units"}},
    "list_ledger": {
        "request": "GET /ledger/{customer}",
        "items": {"path": "@", "reply": {name: name for name in LEDGER}},
    },
    "list_payments": {
        "request": "GET /payments/{customer}",
        "items": {"path": "@", "reply": {name: name for name in PAYMENT}},
    },
}
DRAIN = {
    "request": "POST /drain",
    "body": {"deadline_s": "{deadline_s}"},
    "reply": {"settled": "settled"},
}
WHO = Customer(CUSTOMER, "credential", PROVIDER_CUSTOMER)


@dataclass
class World:
    """A target whose books may change as time goes, with a clock that only waiting moves."""

    books: Callable[[float], Books]
    drain: bool | None = None
    delivered: bool | Exception | None = None
    wrong: Mapping[str, Reply | NoReply] = field(default_factory=dict)
    journal: Callable[[], Journal] | None = None
    now: float = 0.0
    asked: list[Call] = field(default_factory=list)

    def judge(self, *, provider: bool = True, deadline_s: float = 10.0) -> list[CheckVerdict]:
        """Judge the one customer by what it went through."""
        operations = READS | ({} if self.drain is None else {"drain": DRAIN})
        catalog = {"grants": {"sign_up": 3, "billing_added": 2}}
        plans = {"payg": {"overage_minor": 2900}}
        auth = {"operator": {"headers": {"X-Who": "operator"}}}
        auth["customer"] = {"headers": {"X-Who": "customer"}}
        told = profile(operations, catalog={**catalog, "plans": plans}, auth=auth)
        target = ProfileTarget(told)
        redactor = Redactor()
        session = Session(
            target,
            self._send,
            History(None, redactor),
            redactor,
            names=Names(1, "run", "judge"),
            wait=self._wait,
        )
        judge = Judge(
            session,
            _Provider(self) if provider else None,
            deadline_s,
            monotonic=lambda: self.now,
            wait=self._wait,
        )
        return judge.judge([WHO], self.books(self.now).records)

    def _wait(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    def _send(self, call: Call) -> Reply | NoReply:
        self.asked.append(call)
        kind = call.path.split("/")[1]
        books = self.books(self.now)
        shown: dict[str, Any] = {
            "balance": {"units": books.units},
            "ledger": [{name: getattr(e, name) for name in LEDGER} for e in books.ledger],
            "payments": [{name: getattr(p, name) for name in PAYMENT} for p in books.payments],
            "drain": {"settled": self.drain},
        }
        return self.wrong.get(kind) or answer(200, shown[kind])

    def who_asked(self) -> set[str]:
        """Give the roles in which it was asked."""
        return {value for call in self.asked for name, value in call.headers if name == "X-Who"}


class _Provider:
    def __init__(self, world: World) -> None:
        self._world = world

    def journal(self, customers: frozenset[str]) -> Journal:
        assert customers == {PROVIDER_CUSTOMER}
        if self._world.journal:
            return self._world.journal()
        return Journal(tuple(self._world.books(self._world.now).movements))

    def settle(self, deadline_s: float) -> bool | None:
        assert deadline_s > 0
        if isinstance(self._world.delivered, Exception):
            raise self._world.delivered
        return self._world.delivered

    def events(self, customer: str, kind: str) -> list[Mapping[str, Any]]:
        raise NotImplementedError(customer, kind)


def _right(_now: float = 0.0) -> Books:
    books = Books()
    books.tell("add_payment_method")
    books.tell("record_usage", usage_id="u1", quantity=6)
    return books


def _wrong(_now: float = 0.0) -> Books:
    books = _right()
    books.ledger.pop()
    return books


def _kinds(verdicts: list[CheckVerdict]) -> set[str]:
    assert len(verdicts) == 7
    return {verdict.kind for verdict in verdicts}


def _of(verdicts: list[CheckVerdict], check: str) -> CheckVerdict:
    return next(verdict for verdict in verdicts if verdict.check == check)


def test_books_that_agree_are_valid_at_once() -> None:
    """Nothing is waited for where nothing is wrong, and every check has looked."""
    world = World(_right)
    assert _kinds(world.judge()) <= {"valid", "skipped"}
    assert world.now == 0


def test_without_a_drain_books_may_take_until_the_deadline() -> None:
    """A breach that mends itself in time was only a webhook on its way."""
    world = World(lambda now: _right() if now > 3 else _wrong())
    assert _kinds(world.judge()) <= {"valid", "skipped"}
    assert 3 < world.now < 10


def test_without_a_drain_a_breach_counts_at_the_deadline() -> None:
    """What is still wrong at the deadline is wrong."""
    world = World(_wrong)
    verdicts = world.judge()
    assert _of(verdicts, "usage_takes_effect_once").kind == "invalid"
    assert world.now >= 10


def test_with_a_drain_that_settles_a_breach_is_final_at_once() -> None:
    """Nothing is left that could mend it, so nothing is waited for."""
    for delivered in (True, None):
        world = World(_wrong, drain=True, delivered=delivered)
        assert _of(world.judge(), "usage_takes_effect_once").kind == "invalid"
        assert world.now == 0
        (drained, *_) = world.asked
        assert json.loads(drained.body)["deadline_s"] == 10


@pytest.mark.parametrize(
    ("drain", "delivered", "wrong"),
    [
        (False, True, {}),
        (True, False, {}),
        (True, ProviderError("it is dead"), {}),
        (True, True, {"drain": answer(500)}),
        (True, True, {"drain": TIMEOUT}),
    ],
    ids=["not-drained", "not-delivered", "provider-dead", "drain-500", "drain-timeout"],
)
def test_what_never_settles_turns_a_breach_into_a_doubt(
    drain: bool,  # noqa: FBT001 - pytest hands it over
    delivered: bool | Exception,  # noqa: FBT001 - the same
    wrong: dict[str, Reply | NoReply],
) -> None:
    """While work is under way a breach may yet be mended: it is unknown, with its findings."""
    world = World(_wrong, drain=drain, delivered=delivered, wrong=wrong)
    told = _of(world.judge(), "usage_takes_effect_once")
    assert (told.kind, "had not ended" in (told.reason or "")) == ("unknown", True)
    assert told.findings
    assert world.now >= 10


def test_books_that_agree_before_work_has_ended_are_a_doubt() -> None:
    """Work that never ends may yet break what agrees now: it is awaited, then unknown."""
    world = World(lambda _now: _right(), drain=False, delivered=True)
    assert _of(world.judge(), "usage_takes_effect_once").kind == "unknown"
    assert world.now >= 10


def test_without_a_provider_money_is_unknown() -> None:
    """Checks that need the journal are unknown, the others look all the same."""
    kinds = {told.check: told.kind for told in World(_right).judge(provider=False)}
    assert kinds["books_equal_provider"] == kinds["purchases_are_paid"] == "unknown"
    assert kinds["balance_equals_ledger"] == kinds["usage_takes_effect_once"] == "valid"


def test_a_journal_that_cannot_be_read_is_a_reason() -> None:
    """The provider's error is told by every check that needed it."""

    def unreadable() -> Journal:
        raise ProviderError("the payment provider answered 500")

    told = _of(World(_right, journal=unreadable).judge(), "charges_are_explained")
    assert (told.kind, told.reason) == ("unknown", "the payment provider answered 500")


@pytest.mark.parametrize(
    ("wrong", "check", "why"),
    [
        ({"ledger": answer(500)}, "balance_equals_ledger", "list_ledger was unknown (HTTP 500"),
        ({"balance": TIMEOUT}, "balance_equals_ledger", "get_balance was unknown (no reply"),
        ({"balance": answer(200, {"units": "5"})}, "balance_equals_ledger", "shows '5'"),
        ({"balance": answer(200, {"units": 5.5})}, "balance_equals_ledger", "whole number"),
        ({"balance": answer(200, {"units": True})}, "balance_equals_ledger", "shows True"),
        ({"ledger": answer(200, [{"units": "5"}])}, "usage_takes_effect_once", "without a whole"),
        ({"ledger": answer(404)}, "grants_have_one_cause", "list_ledger was refused"),
        ({"payments": answer(200, [{}])}, "books_equal_provider", "without an amount"),
        ({"payments": Reply(200, (), b"<html>")}, "books_equal_provider", "expected JSON"),
    ],
)
def test_a_state_that_cannot_be_read_is_unknown(
    wrong: dict[str, Reply | NoReply], check: str, why: str
) -> None:
    """What the target does not show plainly is a doubt with its reason, never a breach."""
    told = _of(World(_right, wrong=wrong).judge(deadline_s=0.1), check)
    assert (told.kind, why in (told.reason or "")) == ("unknown", True)


def test_a_closed_account_is_read_by_the_operator_alone() -> None:
    """Its own credential opens nothing any more, and would only count as a wrong one."""
    for acts, who in (((), "customer"), (("close_customer",), "operator")):
        books = Books()
        for act in acts:
            books.tell(act)
        world = World(lambda _, books=books: books)  # type: ignore[misc]  # bound now
        world.judge()
        assert world.who_asked() == {who}
