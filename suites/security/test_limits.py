"""Limits: what the profile states is what is enforced, by no detour more, and not for ever.

The numbers are the profile's `[limits]`. A customer made here has an allowance of its own, and
wrong keys come from an address of the test's own (`conftest.py`): no other test pays for these.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

from harness.target.wire import Reply
from suites.e2e.steps import sign_up
from suites.security.allowances import (
    AT_ONCE,
    HOUR_S,
    READS,
    TOO_MANY,
    Limited,
    a_read,
    limit_of,
    requests_of,
    status_of,
)
from suites.security.tampering import asking, saying, spelled
from suites.security.tenants import stranger

if TYPE_CHECKING:
    from harness.session import Customer, Session
    from harness.timeline import Timeline
    from suites.security.tampering import Alter

pytestmark = [
    pytest.mark.requires("create_customer"),
    pytest.mark.requirement("BH-9", "API4:2023", "CWE-770", "ASVS 5.0 V2.4.1"),
    pytest.mark.group("limits"),
]
NOT_REACHED = 400
ROUNDED_S = 5  # the clocks of target and provider stand in whole seconds, each its own
FORWARDED = (
    *("X-Forwarded-For", "X-Real-IP", "X-Client-IP", "X-Cluster-Client-IP", "True-Client-IP"),
    *("CF-Connecting-IP", "X-Originating-IP", "X-Remote-IP", "X-Forwarded"),
)
ELSEWHERE = "203.0.113.{}"  # for documentation, RFC 5737


@pytest.mark.requirement("API2:2023", "CWE-307", "CWE-348", "ASVS 5.0 V4.1.3", "ASVS 5.0 V15.3.4")
def test_a_forwarded_address_resets_no_limit(wrong_keys: Limited) -> None:
    """Who has guessed at keys too often is not let go on for naming another address of his own."""
    wrong_keys.exhaust()
    for number, header in enumerate(FORWARDED):
        elsewhere = ELSEWHERE.format(number + 1)
        status = wrong_keys.status(saying(header, elsewhere))
        assert status == TOO_MANY, (
            f"whoever guesses at keys goes on by writing {header}: answered {status}"
        )
    status = wrong_keys.status(saying("Forwarded", f"for={ELSEWHERE.format(100)}"))
    assert status == TOO_MANY, f"whoever guesses at keys goes on by Forwarded: answered {status}"


@pytest.mark.requirement("CWE-307", "CWE-645", "ASVS 5.0 V6.3.1", "PCI DSS 8.3.4")
def test_wrong_keys_lock_out_no_right_one(billing: Session, wrong_keys: Limited) -> None:
    """Where many wrong keys came from an address, a right key from there still opens."""
    wrong_keys.exhaust()
    outcome = billing.perform(a_read(billing), customer=billing.customers[-1])
    assert outcome.kind == "ok", (
        f"a customer with a right key is locked out by a neighbour's wrong ones: {outcome}"
    )


@dataclass(slots=True)
class Spent:
    """A customer with a key whose requests are used up; `key` is its id, where keys have one."""

    customer: Customer
    credential: str | None
    key: str | None


@pytest.fixture(scope="session")
def spent_before() -> list[Spent]:
    """Remember who has used their requests up: it takes many, and serves several tests."""
    return []


@pytest.fixture
def spent(billing: Session, spent_before: list[Spent]) -> Spent:
    """Give a customer whose requests are used up, also where time has moved on since."""
    limit_of(billing, "api_per_hour")
    if not spent_before:
        customer = stranger(billing)
        made = Spent(customer, customer.credential, None)
        if "create_key" in billing.target.operations:
            second = billing.ok("create_key", customer=customer)
            made = Spent(customer, second["credential"], second["key"])
        spent_before.append(made)
    found = spent_before[0]
    requests = requests_of(billing, found.customer, found.credential)
    if requests.status() != TOO_MANY:
        requests.exhaust()
    return found


def _swapped_letter(path: str) -> str:
    return f"{path[:-1]}%{ord(path[-1]):02X}"


SPELLINGS: dict[str, Alter] = {
    "capitals": spelled(str.upper),
    "a slash at the end": spelled(lambda path: f"{path}/"),
    "two slashes": spelled(lambda path: f"/{path}"),
    "a dot segment": spelled(lambda path: f"/.{path}"),
    "a quoted letter": spelled(_swapped_letter),
    "a parameter of the path": spelled(lambda path: f"{path};v=1"),
    "a query": asking("v", "1"),
}


def test_no_spelling_of_a_path_resets_a_limit(billing: Session, spent: Spent) -> None:
    """Writing the path in another way, or asking for something else, gives no further requests."""
    used = requests_of(billing, spent.customer, spent.credential)
    unused = requests_of(billing, sign_up(billing))
    for how, alter in SPELLINGS.items():
        status = used.status(alter)
        reaches = unused.status(alter) < NOT_REACHED
        assert status == TOO_MANY or (status >= NOT_REACHED and not reaches), (
            f"a customer whose requests are used up goes on with {how} in the path: {status}"
        )
    for operation in (name for name in READS if name in billing.target.operations):
        billing.perform(operation, customer=spent.customer, credential=spent.credential)
        status = status_of(billing.last_reply)
        assert status == TOO_MANY, (
            f"a customer whose requests are used up goes on with {operation}: answered {status}"
        )


@pytest.mark.requirement("CWE-307", "CWE-645")
def test_a_limit_opens_again_for_who_keeps_asking(wrong_keys: Limited, clock: Timeline) -> None:
    """An hour after the last request that passed another one does, whatever was refused between."""
    wrong_keys.exhaust()
    clock.advance(hours=0.5)
    statuses = [wrong_keys.status() for _ in range(wrong_keys.limit + 1)]
    assert set(statuses) == {TOO_MANY}, f"after half an hour the answers were {set(statuses)}"
    clock.advance(hours=0.5)
    clock.advance(hours=0.01)
    status = wrong_keys.status()
    assert status != TOO_MANY, "whoever keeps asking is locked out for ever"


@pytest.mark.requirement("CWE-367", "ASVS 5.0 V15.4.2")
@pytest.mark.parametrize("kind", ["requests", "wrong-keys"])
def test_a_burst_stays_within_the_limit(
    billing: Session, kind: str, request: pytest.FixtureRequest
) -> None:
    """Of many requests at once as many pass as the profile states, and not one more or less."""
    if kind == "requests":
        limited = requests_of(billing, sign_up(billing))
    else:
        limited = request.getfixturevalue("wrong_keys")
    statuses = limited.burst(limited.limit + 4 * AT_ONCE)
    passed = len(statuses) - statuses.count(TOO_MANY)
    assert passed == limited.limit, (
        f"of {len(statuses)} {kind} at once {passed} passed,"
        f" where the profile states {limited.limit} for an hour"
    )


@pytest.mark.requires("create_key", "rotate_key")
@pytest.mark.requirement("API2:2023", "CWE-799")
def test_rotating_a_key_resets_no_limit(billing: Session, spent: Spent) -> None:
    """A key that takes the place of one whose requests are used up has none left either."""
    customer = spent.customer
    rotated = billing.perform("rotate_key", customer=customer, key=spent.key)
    if rotated.kind != "ok":
        assert status_of(billing.last_reply) == TOO_MANY, f"rotate_key was {rotated}"
        return  # the customer's keys share one allowance: there is nothing to walk around
    spent.key, spent.credential = rotated["key"], rotated["credential"]
    _assert_used_up(billing, spent, "rotates it")
    if "revoke_key" in billing.target.operations:
        billing.ok("revoke_key", customer=customer, key=spent.key)
        made = billing.ok("create_key", customer=customer)
        spent.key, spent.credential = made["key"], made["credential"]
        _assert_used_up(billing, spent, "revokes it and makes another")


def _assert_used_up(billing: Session, spent: Spent, how: str) -> None:
    status = requests_of(billing, spent.customer, spent.credential).status()
    assert status == TOO_MANY, (
        f"whoever has used the requests of a key up and {how} goes on: answered {status}"
    )


@pytest.mark.requirement("BH-10", "RFC 6585", "RFC 9110")
def test_a_refusal_by_a_limit_says_when_to_come_back(billing: Session, wrong_keys: Limited) -> None:
    """The answer says after how long to come back, by a time that is still to come."""
    wrong_keys.exhaust()
    reply = billing.last_reply
    assert isinstance(reply, Reply)
    told = reply.header("Retry-After")
    assert told, "a refusal by a limit does not say when to come back: clients ask again at once"
    wait_s = _seconds(told)
    assert 0 < wait_s <= HOUR_S, f"Retry-After is {told!r}, where 1 to {HOUR_S} s are due"


@pytest.mark.requirement("BH-10", "RFC 9110")
def test_who_comes_back_when_told_is_let_in(
    billing: Session, wrong_keys: Limited, clock: Timeline
) -> None:
    """A client that waits as long as it was told is not refused again."""
    wrong_keys.exhaust()
    reply = billing.last_reply
    assert isinstance(reply, Reply)
    wait_s = _seconds(reply.header("Retry-After") or "0") + ROUNDED_S
    clock.advance(hours=wait_s / HOUR_S)
    status = wrong_keys.status()
    assert status != TOO_MANY, "whoever came back when told to was refused again"


def _seconds(told: str) -> float:
    """Read a `Retry-After`, which is a number of seconds or a date (RFC 9110, 10.2.3)."""
    if told.isdigit():
        return float(told)
    try:
        return (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds()
    except ValueError:
        pytest.fail(f"Retry-After is {told!r}, which is neither seconds nor a date")


@pytest.mark.requires("record_usage", "get_balance")
@pytest.mark.requirement("BH-1", "BH-4")
def test_a_request_refused_by_a_limit_changes_nothing(billing: Session, spent: Spent) -> None:
    """Usage that is told after the requests are used up consumes nothing and is not charged."""
    if "operator" not in billing.target.profile.auth:
        pytest.skip("nobody but the customer, whose requests are used up, can read the balance")
    customer = spent.customer
    before = billing.ok("get_balance", customer=customer, role="operator").outputs
    outcome = billing.perform(
        "record_usage",
        customer=customer,
        credential=spent.credential,
        usage_id=billing.names.new("usage"),
        quantity=1,
    )
    assert status_of(billing.last_reply) == TOO_MANY, f"record_usage was {outcome} beyond the limit"
    after = billing.ok("get_balance", customer=customer, role="operator").outputs
    assert after == before, f"usage refused by a limit turned the balance {before} into {after}"
