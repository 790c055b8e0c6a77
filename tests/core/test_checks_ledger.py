from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checks import CHECKS, run_checks
from harness.checks.evidence import CustomerState, Entry
from harness.checks.ledger import (
    BalanceEqualsLedger,
    GrantsHaveOneCause,
    InvoicesGrantOnce,
    UsageTakesEffectOnce,
)
from harness.checks.verdict import CheckVerdict, Finding, Need, run_check
from tests.core.books import Books

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.checks.evidence import Evidence
    from harness.checks.verdict import Check

WORTH = 2900
STEPS = ["add_payment_method", "record_usage", "again", "subscribe", "cancel_subscription"]
TOLD = st.tuples(
    st.sampled_from(STEPS), st.sampled_from(["", "", "unknown"]), st.booleans(), st.integers(1, 6)
)


def run(steps: list[tuple[str, str, bool, int]], *, names_charges: bool = True) -> Books:
    """Run a service through steps, of some of which the client never learns what came."""
    books = Books(names_charges)
    usages: dict[str, int] = {}
    for step, seen, happens, quantity in steps:
        applied = happens or not seen
        if step == "again" and not usages:
            continue
        if step in {"record_usage", "again"}:
            new = f"usage-{len(usages) + 1}"
            usage_id = new if step == "record_usage" else list(usages)[-1]
            told = usages.setdefault(usage_id, quantity)
            books.tell("record_usage", seen, applied=applied, usage_id=usage_id, quantity=told)
        else:
            inputs = {"quantity": 1} if step == "subscribe" else {}
            books.tell(step, seen, applied=applied, **inputs)
    return books


def verdict(check: Check, evidence: Evidence) -> CheckVerdict:
    """Give a check's verdict."""
    return run_check(check, evidence)


def findings(check: Check, evidence: Evidence) -> tuple[Finding, ...]:
    """Give a check's findings, of which there must be some."""
    told = run_check(check, evidence)
    assert told.kind == "invalid", told
    assert all(finding.customer == "c1" for finding in told.findings)
    return told.findings


@settings(max_examples=200)
@given(st.lists(TOLD, max_size=14), st.booleans())
def test_true_books_are_valid_whatever_was_seen(
    steps: list[tuple[str, str, bool, int]],
    names_charges: bool,  # noqa: FBT001 - drawn
) -> None:
    """Books that are right are never called wrong, however many outcomes are unknown."""
    evidence = run(steps, names_charges=names_charges).evidence()
    assert [told for told in run_checks(evidence) if told.kind not in {"valid", "skipped"}] == []


@settings(max_examples=200)
@given(st.lists(TOLD, max_size=14), st.data())
def test_one_wrong_line_in_the_ledger_is_found(
    steps: list[tuple[str, str, bool, int]], data: st.DataObject
) -> None:
    """A line dropped, doubled or altered is found, though the balance follows from the lines."""
    books = run(steps)
    ok = {record.id for record in books.records if record.outcome.kind == "ok"}
    known = [n for n, e in enumerate(books.ledger) if books.made_by[str(e.cause)] in ok]
    place = data.draw(st.sampled_from(known))
    entry = books.ledger[place]
    wrong = {
        "drop": [],
        "double": [entry, entry],
        "more": [replace(entry, units=entry.units + 1)],
        "less": [replace(entry, units=entry.units - 1)],
    }
    books.ledger[place : place + 1] = wrong[data.draw(st.sampled_from(sorted(wrong)))]
    books.rechain()
    told = run_checks(books.evidence())
    assert "invalid" in {verdict.kind for verdict in told}, entry


def _used(times: int = 1) -> Books:
    books = Books()
    for number in range(times):
        books.tell("record_usage", usage_id=f"u{number}", quantity=1)
    return books


def test_a_balance_that_is_not_the_ledgers_sum_is_told_with_its_worth() -> None:
    """A unit too few is what the customer is out, a unit too many what the merchant is."""
    books = _used()
    (short,) = findings(BalanceEqualsLedger(), books.evidence(units=1))
    assert (short.units, short.amount_minor, short.currency) == (1, WORTH, "usd")
    (over,) = findings(BalanceEqualsLedger(), books.evidence(units=4))
    assert (over.units, over.amount_minor) == (-2, -2 * WORTH)


def test_a_step_that_does_not_follow_is_told_in_either_order() -> None:
    """A balance after a line must follow from the one before it, newest or oldest first."""
    books = _used(2)
    books.ledger[1] = replace(books.ledger[1], balance_after=3)
    for ledger in (books.ledger, books.ledger[::-1]):
        first, second = findings(BalanceEqualsLedger(), books.evidence(ledger=tuple(ledger)))
        assert {first.units, second.units} == {-1, 1}
        assert "consumed of -1 left 3 units, where 2 are due" in first.message + second.message
    newest_first = tuple(_used(2).ledger[::-1])
    assert verdict(BalanceEqualsLedger(), books.evidence(ledger=newest_first)).kind == "valid"


def test_a_balance_below_zero_is_told() -> None:
    """More was consumed than there was: the merchant is out of it."""
    books = _used(3)
    books.enter(-1, "consumed", "u9")
    (finding,) = findings(BalanceEqualsLedger(), books.evidence())
    assert (finding.units, finding.amount_minor) == (-1, -WORTH)


def test_a_ledger_without_balances_is_judged_by_its_sum() -> None:
    """Where a target shows no balance after each line, the sum alone is held against it."""
    books = _used(2)
    bare = tuple(replace(entry, balance_after=None) for entry in books.ledger)
    assert verdict(BalanceEqualsLedger(), books.evidence(ledger=bare)).kind == "valid"
    assert findings(BalanceEqualsLedger(), books.evidence(ledger=bare, units=0))


@pytest.mark.parametrize(
    ("units", "cause", "out"), [(3, "sign-up", -3), (3, "another", -3), (2, "another", -2)]
)
def test_a_grant_given_twice_is_told_once(units: int, cause: str, out: int) -> None:
    """Twice for one cause, or for another one, is one finding with the units of the second."""
    books = Books()
    books.enter(units, "trial_signup", cause)
    (finding,) = findings(GrantsHaveOneCause(), books.evidence())
    assert (finding.units, finding.amount_minor) == (out, out * WORTH)
    assert (finding.operation, finding.call) == ("create_customer", "main-1")


@pytest.mark.parametrize(("email", "kind"), [("ADA@x.com", "skipped"), ("eve@x.com", "invalid")])
def test_who_comes_back_may_have_earned_the_grant_before(email: str, kind: str) -> None:
    """A grant comes once in an e-mail's life: none is due to one that had an account before."""
    books = Books()
    books.ledger.clear()
    (mine,) = books.records
    earlier = replace(mine, id="main-0", customer="c0", began_at=0.0, inputs={"email": email})
    books.records[:] = [earlier, replace(mine, inputs={"email": "ada@x.com"})]
    assert verdict(GrantsHaveOneCause(), books.evidence()).kind == kind


@pytest.mark.parametrize("units", [2, 4])
def test_a_grant_of_the_wrong_size_is_told(units: int) -> None:
    """Too little is what the customer is out, too much what the merchant is."""
    books = Books()
    books.ledger[0] = Entry(units, units, "trial_signup", "sign-up")
    (finding,) = findings(GrantsHaveOneCause(), books.evidence())
    assert finding.units == 3 - units


def test_a_grant_that_never_came_is_told_unless_in_doubt() -> None:
    """An operation that succeeded owes its grant; one whose outcome is unknown may owe none."""
    books = Books()
    books.tell("add_payment_method")
    books.ledger.pop()
    (finding,) = findings(GrantsHaveOneCause(), books.evidence())
    assert (finding.units, finding.operation) == (2, "add_payment_method")
    for applied in (True, False):
        doubtful = Books()
        doubtful.tell("add_payment_method", "unknown", applied=applied)
        assert verdict(GrantsHaveOneCause(), doubtful.evidence()).kind == "valid"


@pytest.mark.parametrize("source", ["trial_billing_added", "purchased", "birthday"])
def test_units_from_nowhere_are_told(source: str) -> None:
    """A grant without an operation that may have caused it is the merchant's loss."""
    books = Books()
    books.enter(2, source, "x")
    (finding,) = findings(GrantsHaveOneCause(), books.evidence())
    assert (finding.units, finding.operation) == (-2, None)
    adjusted = Books()
    adjusted.enter(2, "adjustment", "refund of ch_1")
    assert verdict(GrantsHaveOneCause(), adjusted.evidence()).kind == "valid"


def test_a_refused_operation_grants_nothing() -> None:
    """Units that came from an operation which was refused have no cause."""
    books = Books()
    books.tell("subscribe", quantity=1)
    books.enter(6, "pro_subscription_payment", "in_1")
    assert [f.units for f in findings(GrantsHaveOneCause(), books.evidence())] == [-6]
    assert [f.units for f in findings(InvoicesGrantOnce(), books.evidence())] == [-6]


def _subscribed(quantity: int = 1) -> Books:
    books = Books()
    books.tell("add_payment_method")
    books.tell("subscribe", quantity=quantity)
    return books


@pytest.mark.parametrize("quantity", [1, 2])
def test_an_invoice_that_grants_twice_is_told_by_its_units(quantity: int) -> None:
    """A second grant for a paid invoice is the merchant's loss, whatever the quantity."""
    books = _subscribed(quantity)
    books.enter(6 * quantity, "pro_subscription_payment", "in_other")
    (finding,) = findings(InvoicesGrantOnce(), books.evidence())
    assert (finding.units, finding.amount_minor) == (-6 * quantity, -6 * quantity * WORTH)
    assert (finding.operation, finding.call) == ("subscribe", "main-3")


@pytest.mark.parametrize("quantity", [1, 2])
def test_a_paid_invoice_that_grants_nothing_is_told(quantity: int) -> None:
    """What was paid for and not granted is what the customer is out."""
    books = _subscribed(quantity)
    books.ledger.pop()
    (finding,) = findings(InvoicesGrantOnce(), books.evidence())
    assert (finding.units, finding.operation) == (6 * quantity, "subscribe")


def test_a_renewal_is_granted_too_and_a_change_is_not() -> None:
    """Each paid invoice of a period grants; one that only makes up for a change does not."""
    books = _subscribed()
    books.charge(59900, "in_2", invoice="in_2")
    (finding,) = findings(InvoicesGrantOnce(), books.evidence())
    assert finding.units == 6
    books.tell("change_subscription", quantity=2)
    assert verdict(InvoicesGrantOnce(), books.evidence()).kind == "valid"


def test_a_subscription_grant_of_the_wrong_size_is_told() -> None:
    """The plan's units times the quantity are due, no more and no less."""
    books = _subscribed(2)
    books.ledger[-1] = replace(books.ledger[-1], units=6)
    assert [f.units for f in findings(InvoicesGrantOnce(), books.evidence())] == [6]
    books.ledger[-1] = replace(books.ledger[-1], units=13)
    assert [f.units for f in findings(InvoicesGrantOnce(), books.evidence())] == [-1]


def test_an_unknown_subscription_may_have_been_paid_or_not() -> None:
    """Both are right where nobody knows; paid and not granted is not."""
    for applied in (True, False):
        books = Books()
        books.tell("add_payment_method")
        books.tell("subscribe", "unknown", applied=applied, quantity=1)
        assert verdict(InvoicesGrantOnce(), books.evidence()).kind in {"valid", "skipped"}
        if applied:
            books.ledger.pop()
            assert findings(InvoicesGrantOnce(), books.evidence())


def test_usage_consumed_twice_or_never_is_told() -> None:
    """Twice is what the customer is out, never what the merchant is."""
    books = _used(2)
    books.enter(-1, "consumed", "u1")
    (twice,) = findings(UsageTakesEffectOnce(), books.evidence())
    assert (twice.units, twice.amount_minor, twice.call) == (1, WORTH, "main-3")
    del books.ledger[-2:]
    (never,) = findings(UsageTakesEffectOnce(), books.evidence())
    assert (never.units, never.amount_minor, never.operation) == (-1, -WORTH, "record_usage")


def test_refused_usage_consumes_nothing() -> None:
    """Usage that was refused and consumed all the same is what the customer is out."""
    books = _used(4)
    assert books.records[-1].outcome.kind == "refused"
    books.enter(-1, "consumed", "u3")
    (finding,) = findings(UsageTakesEffectOnce(), books.evidence())
    assert (finding.units, finding.call) == (1, "main-5")


def test_usage_of_nobody_is_told() -> None:
    """Units consumed for an id that nobody told are what the customer is out."""
    books = _used()
    books.enter(-2, "consumed", "u9")
    (finding,) = findings(UsageTakesEffectOnce(), books.evidence())
    assert (finding.units, finding.operation) == (2, None)


@pytest.mark.parametrize("taken", [0, 1, 2, 3])
def test_unknown_usage_may_have_been_consumed_or_not(taken: int) -> None:
    """One known and one unknown usage consume one unit or two; nothing else is right."""
    for named in (True, False):
        books = Books()
        books.tell("record_usage", applied=True, usage_id="u1", quantity=1)
        books.tell("record_usage", "unknown", applied=True, usage_id="u2", quantity=1)
        del books.ledger[1:]
        for number in range(taken):
            books.enter(-1, "consumed", f"u{number + 1}" if named else f"x{number}")
        kind = verdict(UsageTakesEffectOnce(), books.evidence()).kind
        assert kind == ("valid" if taken in {1, 2} else "invalid")


def test_a_quantity_that_was_refused_is_not_what_counts() -> None:
    """Told again with another quantity and taken on, the quantity that was taken on is due."""
    books = Books()
    books.tell("record_usage", usage_id="u1", quantity=9)
    books.tell("record_usage", usage_id="u1", quantity=2)
    assert [record.outcome.kind for record in books.records] == ["ok", "refused", "ok"]
    assert verdict(UsageTakesEffectOnce(), books.evidence()).kind == "valid"


class _Crash:
    name: ClassVar[str] = "crash"
    meaning: ClassVar[str] = "It always crashes."
    needs: ClassVar[frozenset[Need]] = frozenset()

    def check(self, evidence: Evidence, state: CustomerState) -> Iterator[Finding]:
        yield Finding("something was found before", customer=state.customer)
        raise LookupError(len(evidence.states))

    def facts(self, evidence: Evidence, state: CustomerState) -> int:  # noqa: ARG002 - the protocol
        return 1


def test_a_check_that_crashes_is_unknown() -> None:
    """A crash is never valid, and what was found before it does not make it invalid."""
    told = verdict(_Crash(), Books().evidence())
    assert (told.kind, told.findings) == ("unknown", ())
    assert "LookupError(1)" in (told.reason or "")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_with_nothing_to_look_at_is_skipped(check: Check) -> None:
    """A customer who did nothing that the check is about proves nothing of it."""
    bare = replace(Books().evidence(), history=())
    (state,) = bare.states
    nothing = replace(state, units=0, ledger=(), payments=())
    told = verdict(check, replace(bare, states=(nothing,)))
    assert (told.kind, told.reason) == ("skipped", "there was nothing to look at")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_without_its_evidence_does_not_pass(check: Check) -> None:
    """No customer or no such operation skips; no journal, or a state unread, is unknown."""
    books = Books()
    books.tell("add_payment_method")
    for number in range(12):
        books.tell("record_usage", usage_id=f"u{number}", quantity=1)
    books.tell("subscribe", quantity=1)
    whole = books.evidence()
    told = verdict(check, whole)
    assert (told.kind, told.examined) == ("valid", 1)
    assert told.facts > 0
    assert verdict(check, replace(whole, states=())).kind == "skipped"
    mapped = {"ledger": "list_ledger", "units": "get_balance", "payments": "list_payments"}
    for need in check.needs & mapped.keys():
        less = replace(whole, operations=whole.operations - {mapped[need]})
        told = verdict(check, less)
        assert (told.kind, mapped[need] in (told.reason or "")) == ("skipped", True)
        lost: dict[str, Any] = {need: None, "problems": ("it was unknown",)}
        unread = replace(whole.states[0], **lost)
        told = verdict(check, replace(whole, states=(unread,)))
        assert (told.kind, "it was unknown" in (told.reason or "")) == ("unknown", True)
    if "journal" in check.needs:
        told = verdict(check, replace(whole, journal=None, journal_gap="it is lost"))
        assert (told.kind, told.reason) == ("unknown", "it is lost")
        nameless = replace(whole.states[0], provider_customer=None)
        assert verdict(check, replace(whole, states=(nameless,))).kind == "unknown"


def test_one_customer_unread_hides_no_breach_of_another() -> None:
    """A breach counts beside a doubt, and the count says how many were looked at."""
    books = _used()
    unread = replace(books.evidence().states[0], customer="c2", ledger=None, problems=("lost",))
    right = books.evidence()
    told = verdict(BalanceEqualsLedger(), replace(right, states=(right.states[0], unread)))
    assert (told.kind, told.examined) == ("unknown", 1)
    wrong = books.evidence(units=9)
    told = verdict(BalanceEqualsLedger(), replace(wrong, states=(unread, wrong.states[0])))
    assert (told.kind, told.examined, len(told.findings)) == ("invalid", 1, 1)


def test_a_ledger_without_sources_skips_what_needs_them() -> None:
    """A target that does not say where units come from is judged by its balance alone."""
    books = _subscribed()
    bare = tuple(replace(entry, source=None) for entry in books.ledger)
    kinds = {told.check: told.kind for told in run_checks(books.evidence(ledger=bare))}
    assert kinds["balance_equals_ledger"] == "valid"
    assert kinds["grants_have_one_cause"] == "skipped"
    assert kinds["usage_takes_effect_once"] == "skipped"
    assert kinds["purchases_are_paid"] == "skipped"
