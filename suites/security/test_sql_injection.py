"""SQL that a client writes where a value is due is a value like others, or refused.

Boolean, order, error, union and stacked forms, in every text of every mapped operation: fields,
parameters, ids, headers. Parameters of lists are those that the profile names (`items.parameters`)
or the OpenAPI document; a parameter that nobody reads would prove nothing. Attacks judged by time
are for `-m nightly` alone: they take long, and on a busy machine time deceives. The rules: CWE-89;
OWASP ASVS 5.0, V1.2.4; PCI DSS 4.0.1, 6.2.4.
"""

from __future__ import annotations

import itertools
import re
import time
from typing import TYPE_CHECKING

import pytest

from harness.errors import Unknown
from harness.operations import OPERATIONS
from harness.target.wire import Reply
from suites.security.listed import parameters_of
from suites.security.payloads import payloads
from suites.security.places import places, seen, write
from suites.security.ranks import slower
from suites.security.tampering import asking
from suites.security.tenants import aimed, attempt, ids_in, settled_tenant, stranger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.session import Customer, Session
    from suites.security.places import Place
    from suites.security.tenants import Tenant

pytestmark = [pytest.mark.requires("create_customer"), pytest.mark.group("sql-injection")]
BROKEN_FROM = 500
TOO_MANY = 429
PAIRS = 12  # so many pairs tell a statement that takes its time from noise, p < 0.001
PAUSE_S = 0.4
BYTES = 40_000_000


def _in_place(text: str, value: str) -> str:
    return text.replace("{value}", value)


@pytest.mark.requirement("BH-6", "CWE-89", "ASVS 5.0 V1.2.4", "PCI DSS 6.2.4")
def test_a_filter_is_a_value_and_never_sql(billing: Session) -> None:
    """SQL in a filter, a sort or any parameter of a list is a value like others, or refused."""
    lists = [name for name in billing.target.operations if OPERATIONS[name].lists]
    reader = stranger(billing)
    named = {name: found for name in lists if (found := parameters_of(billing, name, reader))}
    if not named:
        pytest.skip("neither the profile (items.parameters) nor an OpenAPI document names any")
    for operation, parameters in named.items():
        customer = stranger(billing)
        for parameter, usual in parameters.items():
            taken = _told(billing, operation, customer, parameter, usual)
            assert taken[0] < BROKEN_FROM, f"{operation} breaks over {parameter}={usual}"
            for true, false in _pairs(usual):
                whole, none = (
                    _told(billing, operation, customer, parameter, text) for text in (true, false)
                )
                assert whole[0] < BROKEN_FROM, (
                    f"{operation} breaks over SQL in the parameter {parameter}: {whole[0]}"
                )
                assert whole == none, (
                    f"{operation} runs SQL that a client writes into the parameter {parameter},"
                    " and so opens the database, others' rows too:"
                    f" {true!r} and {false!r} are answered differently"
                )


def _pairs(usual: str) -> Iterator[tuple[str, str]]:
    for kind in ("boolean", "order", "stacked"):
        for true, false in payloads("sql")[kind]:
            yield _in_place(true, usual), _in_place(false, usual)


def _told(
    billing: Session, operation: str, customer: Customer, parameter: str, text: str
) -> tuple[int, str | None, object]:
    outcome = billing.perform(operation, customer=customer, alter=asking(parameter, text))
    reply = billing.last_reply
    status = reply.status if isinstance(reply, Reply) else 0
    if status == TOO_MANY:
        raise Unknown(f"a limit ended the requests before everything was tried on {operation}")
    return status, outcome.code, outcome.get("items")


@pytest.mark.requirement("BH-6", "CWE-89", "ASVS 5.0 V1.2.4", "PCI DSS 6.2.4")
def test_an_id_is_a_value_and_never_sql(billing: Session) -> None:
    """SQL in an id finds nothing, and nothing else than an id that nobody has."""
    tenant = settled_tenant(billing)
    for operation in aimed(billing, tenant):
        named = sorted(ids_in(billing.target.profile.operations[operation]))
        # One id at a time: beside a customer that there is not, nobody looks for a card.
        for name, pair in itertools.product(named, payloads("sql")["boolean"]):
            answers = []
            for text in pair:
                ids = {**tenant.ids, name: _in_place(text, tenant.ids[name])}
                outcome = attempt(billing, operation, ids, tenant.customer, "customer")
                assert outcome.kind == "refused", f"{operation} was {outcome} with SQL in an id"
                answers.append(outcome)
            assert answers[0] == answers[1], (
                f"{operation} runs SQL that a client writes into the id of a {name}: {pair} are"
                f" answered differently, {answers[0]} and {answers[1]}"
            )


def _writable(billing: Session, tenant: Tenant) -> list[Place]:
    """Give the places that take a text and cost nothing to try again and again."""
    return [place for place in places(billing, tenant) if "the header" not in place.where]


def _tell(billing: Session, tenant: Tenant, place: Place, text: str) -> str:
    """Write SQL into a place; give what is answered, which must be no breakdown of the target's."""
    _, reply = write(billing, tenant, place, text)
    if reply.status == TOO_MANY:
        raise Unknown(f"a limit ended the requests before {place} was tried")
    assert reply.status < BROKEN_FROM, f"{text!r} in {place} is answered {reply.status}"
    return seen(reply)


def _said(mark: str, answer: str) -> bool:
    """Whether an answer says so in a word of its own: ids are drawn, and hold any letters."""
    return re.search(rf"(?<![\w-]){re.escape(mark)}", answer) is not None


@pytest.mark.requirement("CWE-89", "CWE-209", "ASVS 5.0 V1.2.4", "API8:2023")
def test_no_field_breaks_over_a_quote(billing: Session) -> None:
    """Quotes, comments and brackets break nothing, and no answer speaks of a database."""
    tenant = settled_tenant(billing)
    texts = payloads("sql")["errors"]
    for number, place in enumerate(_writable(billing, tenant)):
        for turn in range(3):
            text = _in_place(texts[(number + turn) % len(texts)], place.usual)
            answer = _tell(billing, tenant, place, text).lower()
            told = [mark for mark in payloads("sql")["told"] if _said(mark, answer)]
            assert not told, f"{text!r} in {place} makes the database itself answer: {told}"


@pytest.mark.requirement("BH-6", "CWE-89", "PCI DSS 6.2.4")
def test_no_union_brings_what_was_not_asked_for(billing: Session) -> None:
    """What a UNION would put together in the database is in no answer."""
    tenant = settled_tenant(billing)
    left, right = (billing.names.new("half").replace("-", "") for _ in range(2))
    column = payloads("sql")["union_column"].format(left=left, right=right)
    most = payloads("sql")["union_columns_max"]
    for number, place in enumerate(_writable(billing, tenant)):
        # A list shows what it selects; elsewhere a few widths in turn will do.
        every = range(1, most + 1) if "the parameter" in place.where else (1 + number % most,)
        for columns in every:
            union = payloads("sql")["union"][columns % 2]
            asked = _in_place(union.format(columns=",".join([column] * columns)), place.usual)
            answer = _tell(billing, tenant, place, asked)
            assert left + right not in answer, f"{place} runs a UNION: {asked!r}"


@pytest.mark.requirement("BH-4", "CWE-89", "ASVS 5.0 V1.2.4")
def test_no_field_runs_a_second_statement(billing: Session) -> None:
    """A second statement behind a value is never run, whether it would work or not."""
    tenant = settled_tenant(billing)
    for place in _writable(billing, tenant):
        if "the field" not in place.where and "part" not in place.where:
            continue  # parameters are tried with everything else of theirs
        true, false = payloads("sql")["stacked"][0]
        answers = []
        for text in (true, false, true):  # what changes with time lies between the first and last
            outcome, reply = write(billing, tenant, place, _in_place(text, place.usual))
            assert reply.status < BROKEN_FROM, f"{text!r} in {place} is answered {reply.status}"
            answers.append((reply.status, outcome.kind, outcome.code))
        assert answers[1] == answers[0] or answers[0] != answers[2], (
            f"{place} runs a second statement: one that works is answered {answers[0]},"
            f" one that does not {answers[1]}"
        )


@pytest.mark.requirement("CWE-89", "CWE-208")
@pytest.mark.nightly
def test_no_parameter_makes_the_database_wait(billing: Session) -> None:
    """A statement that takes its time takes no longer than one that does not, by a rank test."""
    lists = [name for name in billing.target.operations if OPERATIONS[name].lists]
    for operation in lists:
        customer = stranger(billing)
        for parameter, usual in parameters_of(billing, operation, customer).items():
            for pair in payloads("sql")["timed"]:
                slow, fast = (_in_place(text, usual) for text in pair)
                slow = slow.format(seconds=PAUSE_S, bytes=BYTES)
                times = [
                    tuple(
                        _time_s(billing, operation, customer, parameter, text)
                        for text in ((slow, fast) if turn % 2 else (fast, slow))
                    )
                    for turn in range(PAIRS)
                ]
                pairs = [one if turn % 2 else one[::-1] for turn, one in enumerate(times)]
                assert not slower([p[0] for p in pairs], [p[1] for p in pairs]), (
                    f"{operation} runs SQL in {parameter}: {slow!r} takes its time"
                )


def _time_s(
    billing: Session, operation: str, customer: Customer, parameter: str, text: str
) -> float:
    began = time.perf_counter()
    _told(billing, operation, customer, parameter, text)
    return time.perf_counter() - began
