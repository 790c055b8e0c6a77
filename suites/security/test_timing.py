"""Times of answers: none tells a stranger what the answers themselves keep to themselves.

On a busy machine time deceives, so these run only where they are asked for (`-m nightly`). Each
round measures one thing twice: where that differs, nothing is known. What is smaller than `TOLD_S`
drowns on the way to whoever is not on this machine.
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from harness.errors import Unknown
from harness.target.wire import Reply
from harness.transport import spare_address
from suites.security.allowances import TOO_MANY, a_read
from suites.security.ranks import told_apart
from suites.security.tenants import attempt, ids_in, nobodys, stranger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.ground import Ground
    from harness.session import Session

pytestmark = [
    pytest.mark.requires("create_customer"),
    pytest.mark.requirement("CWE-208"),
    pytest.mark.nightly,
]
ROUNDS = 36
# A service takes few wrong keys from one address: after so many rounds they come from another.
ROUNDS_PER_ADDRESS = 3
TOLD_S = 0.001


@pytest.mark.requires("create_key", "revoke_key")
@pytest.mark.requirement("API2:2023", "ASVS 5.0 V6.3.8")
@pytest.mark.group("authentication")
def test_no_time_tells_whether_a_key_was_good(
    billing: Session, ground: Ground, address: str | None
) -> None:
    """A key that was revoked is refused as fast as one that never was."""
    if address is None:
        pytest.skip("so many wrong keys would lock out the address that every test comes from")
    customer = stranger(billing)
    ended = billing.ok("create_key", customer=customer)
    billing.ok("revoke_key", customer=customer, key=ended["key"])
    read, known = a_read(billing), str(ended["credential"])

    def refused(session: Session, credential: str) -> None:
        session.perform(read, customer=customer, credential=credential)

    def visitors() -> Iterator[Session]:
        for number in range(ROUNDS // ROUNDS_PER_ADDRESS):
            elsewhere = spare_address(ground.target.profile.target.base_url, f"{address} {number}")
            with ground.visit("timing", elsewhere or address) as session:
                session.ok(read, customer=customer)  # the connection stands from here on
                yield from [session] * ROUNDS_PER_ADDRESS

    _assert_alike(
        visitors(),
        lambda session: refused(session, known),
        lambda session: refused(session, nobodys(known)),
        "a key that was once good is told from one that never was",
    )


@pytest.mark.requires("get_customer")
@pytest.mark.requirement("API1:2023", "BH-6")
@pytest.mark.group("authorisation")
def test_no_time_tells_whose_id_there_is(billing: Session) -> None:
    """Another tenant's id is refused as fast as one that nobody has."""
    if "customer" not in ids_in(billing.target.profile.operations["get_customer"]):
        pytest.skip("get_customer names nobody")
    caller, other = stranger(billing), stranger(billing)

    def refused(session: Session, about: str) -> None:
        attempt(session, "get_customer", {"customer": about}, caller)

    _assert_alike(
        iter([billing] * ROUNDS),
        lambda session: refused(session, other.id),
        lambda session: refused(session, nobodys(other.id)),
        "another tenant's id is told from one that nobody has",
    )


def _assert_alike(
    sessions: Iterator[Session],
    known: Callable[[Session], None],
    unknown: Callable[[Session], None],
    told: str,
) -> None:
    """Measure a refusal of what there is and, twice, of what there is not, in changing order."""
    acts = {"known": known, "unknown": unknown, "again": unknown}
    orders = list(permutations(acts))
    times_s: dict[str, list[float]] = {name: [] for name in acts}
    for turn, session in enumerate(sessions):
        for name in orders[turn % len(orders)]:
            acts[name](session)
            times_s[name].append(_last_s(session))
    found = told_apart(times_s["known"], times_s["unknown"], times_s["again"], TOLD_S)
    if found == "unknown":
        raise Unknown(f"times vary too much here for {TOLD_S * 1000:g} ms to be seen")
    assert found == "no", f"by the time of its refusal alone, {told}"


def _last_s(session: Session) -> float:
    """Give how long the last answer took, a refusal by its own rules and not by a limit."""
    exchange = session.records[-1].exchanges[-1]
    reply = exchange.reply
    if not isinstance(reply, Reply) or reply.status == TOO_MANY:
        raise Unknown(f"a refusal could not be measured: the answer was {reply}")
    return exchange.elapsed_ms / 1000
