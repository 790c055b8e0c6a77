"""Who is let in: whoever has a right key that is still good, and sends it where keys belong.

The rules: OWASP API Security Top 10 (2023) API2; OWASP ASVS 5.0, chapters V6, V8 and V11; PCI DSS
4.0.1, requirement 8.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from harness.target.wire import Reply
from suites.e2e.steps import add_card
from suites.security.places import tried
from suites.security.tampering import asking
from suites.security.tenants import (
    aimed,
    attempt,
    inputs_for,
    nobodys,
    plain_tenant,
    settled_tenant,
    stranger,
)

if TYPE_CHECKING:
    from harness.session import Session
    from harness.target.protocol import Role

pytestmark = [pytest.mark.requires("create_customer"), pytest.mark.group("authentication")]
KEY_PARAMETERS = ("api_key", "apikey", "key", "token", "access_token")
NOT_LET_IN = 401
GUESSABLE_BITS = 128
MINUTE_S = 60
LATE_S = 30  # clocks differ, and answers take their time


@pytest.mark.requirement("BH-6", "API2:2023", "CWE-306", "CWE-287")
@pytest.mark.parametrize("key", ["none", "cut", "longer", "other-case", "of-nobody"])
def test_without_a_right_key_nothing_opens(billing: Session, key: str) -> None:
    """No key, a piece of one, one in other letters or one of nobody's opens nothing."""
    # A service may count wrong keys, and lock this address out: a few are enough, of whomever.
    tenant = settled_tenant(billing) if key == "none" else plain_tenant(billing)
    credential = tenant.customer.credential or ""
    wrong = {
        "cut": credential[:-1],
        "longer": f"{credential}x",
        "other-case": credential.swapcase(),
        "of-nobody": nobodys(credential),
    }.get(key)
    caller = replace(tenant.customer, credential=wrong)
    role: Role = "anonymous" if key == "none" else "other_tenant"
    tried = aimed(billing, tenant)[: None if key == "none" else 3]
    for operation in tried:
        outcome = attempt(billing, operation, tenant.ids, caller, role)
        assert outcome.kind == "refused", f"{operation} was {outcome} with a key that is {key}"


@pytest.mark.requirement("BH-7", "CWE-598", "ASVS 5.0 V14.2.1")
def test_a_key_in_the_query_opens_nothing(billing: Session) -> None:
    """A key in the address, where logs and histories keep it, is not taken."""
    customer = stranger(billing)
    operation = next(
        (name for name in ("get_customer", "get_balance") if name in billing.target.operations),
        None,
    ) or pytest.skip("the target shows neither a customer nor a balance")
    headers = billing.target.profile.auth["customer"].headers
    for name in (*KEY_PARAMETERS, *headers):
        outcome = billing.perform(
            operation,
            customer=customer,
            role="anonymous",
            alter=asking(name, customer.credential or ""),
        )
        assert outcome.kind == "refused", f"{operation} took a key out of the address, as {name}"


@pytest.mark.requires("create_key", "get_balance")
@pytest.mark.requirement("BH-6", "API2:2023", "CWE-613", "ASVS 5.0 V8.3.2")
@pytest.mark.parametrize("ending", ["revoke_key", "rotate_key"])
def test_a_revoked_key_opens_nothing_from_then_on(billing: Session, ending: str) -> None:
    """The first request after a key was revoked or rotated is refused; other keys still open."""
    if ending not in billing.target.operations:
        pytest.skip(f"the target does not map {ending}")
    customer = stranger(billing)
    second = billing.ok("create_key", customer=customer)
    billing.ok("get_balance", customer=customer, credential=second["credential"])
    ended = billing.ok(ending, customer=customer, key=second["key"])
    outcome = billing.perform("get_balance", customer=customer, credential=second["credential"])
    assert outcome.kind == "refused", f"a key still opened the balance after {ending}"
    billing.ok("get_balance", customer=customer)
    if ended.get("credential"):
        billing.ok("get_balance", customer=customer, credential=ended["credential"])


@pytest.mark.requirement("BH-6", "CWE-306", "ASVS 5.0 V6.3.4", "PCI DSS 8.3.1", "RFC 9110")
def test_every_operation_asks_who_is_calling(billing: Session) -> None:
    """Whatever needs a key answers a stranger 401, and says how one identifies himself."""
    tenant = settled_tenant(billing)
    for operation in tried(billing, tenant):
        if billing.target.profile.operations[operation].role == "anonymous":
            continue
        outcome = attempt(billing, operation, tenant.ids, tenant.customer, "anonymous")
        assert outcome.kind == "refused", f"{operation} was {outcome} for whoever sent no key"
        reply = billing.last_reply
        assert isinstance(reply, Reply)
        assert reply.status == NOT_LET_IN, (
            f"{operation} answers whoever sent no key {reply.status}, where 401 is due"
        )
        assert reply.header("WWW-Authenticate"), (
            f"{operation} answers 401 and does not say how to identify oneself"
        )


@pytest.mark.requires("create_key", "revoke_key", "get_balance")
@pytest.mark.requirement("CWE-203", "ASVS 5.0 V6.3.8")
def test_a_key_that_was_good_is_refused_like_any_other(billing: Session) -> None:
    """A refusal does not tell whether a key was once good, or whose it was."""
    customer = stranger(billing)
    ended = billing.ok("create_key", customer=customer)
    billing.ok("revoke_key", customer=customer, key=ended["key"])
    told = []
    for credential in (ended["credential"], nobodys(customer.credential or "")):
        billing.perform("get_balance", customer=customer, credential=credential)
        reply = billing.last_reply
        assert isinstance(reply, Reply)
        told.append((reply.status, reply.header("WWW-Authenticate"), _without_ids(reply)))
    assert told[0] == told[1], f"a refusal tells whether a key was once good: {told}"


def _without_ids(reply: Reply) -> object:
    try:
        body = reply.json()
    except ValueError:
        return len(reply.body)
    if isinstance(body, dict):
        return {name: value for name, value in body.items() if not name.endswith("id")}
    return body


@pytest.mark.smoke
@pytest.mark.requirement("CWE-331", "CWE-330", "ASVS 5.0 V11.5.1")
def test_no_key_can_be_guessed(billing: Session) -> None:
    """Keys are long enough, of letters enough, and have little but their beginning in common."""
    keys = [stranger(billing).credential or "" for _ in range(4)]
    assert len(set(keys)) == len(keys), "two customers were given one key"
    shared = _common_letters(keys)
    letters = len(set("".join(keys)))
    bits = (min(map(len, keys)) - shared) * max(letters - 1, 1).bit_length()
    assert bits >= GUESSABLE_BITS, (
        f"a key has at most {bits} bits that differ from others', where {GUESSABLE_BITS} are due"
    )


def _common_letters(keys: list[str]) -> int:
    """Count the places at which all keys have the same letter."""
    return sum(len(set(letters)) == 1 for letters in zip(*keys, strict=False))


@pytest.mark.requires("exchange_credentials", "add_payment_method")
@pytest.mark.requirement("CWE-613", "ASVS 5.0 V9.2.1", "API2:2023")
def test_a_credential_ends_when_it_was_asked_to(billing: Session) -> None:
    """Credentials handed out for so many minutes last no longer, and none can be had for days."""
    customer = stranger(billing)
    add_card(billing, customer)
    wishes = inputs_for(billing, "exchange_credentials", {})
    began = _now(billing)
    ends_at = _moment(billing.ok("exchange_credentials", customer=customer, **wishes)["expires_at"])
    lasts_s = ends_at - began
    assert 0 < lasts_s <= wishes["ttl_minutes"] * MINUTE_S + LATE_S, (
        f"a credential for {wishes['ttl_minutes']} minutes lasts {lasts_s / MINUTE_S:.0f}"
    )
    for minutes in (-1, 0, 60 * 24 * 30, 10**12):
        long = {**wishes, "ttl_minutes": minutes}
        outcome = billing.perform("exchange_credentials", customer=customer, **long)
        assert outcome.kind == "refused", f"credentials for {minutes} minutes were {outcome}"


def _now(billing: Session) -> float:
    """Give the target's time by its own `Date`, or by what it last wrote down of a customer."""
    entries = (
        billing.ok("list_ledger", customer=billing.customers[-1])["items"]
        if ("list_ledger" in billing.target.operations)
        else ()
    )
    moments = [_moment(entry["at"]) for entry in entries if entry.get("at") is not None]
    return max(moments, default=time.time())


def _moment(told: object) -> float:
    if isinstance(told, int | float):
        return float(told)
    return datetime.fromisoformat(str(told)).timestamp()


@pytest.mark.requires("get_balance")
@pytest.mark.requirement("CWE-1390", "CWE-20", "ASVS 5.0 V6.2.8")
def test_a_key_counts_as_it_is_and_once(billing: Session) -> None:
    """A key in other clothes opens nothing: with spaces inside, in two pieces, of another kind."""
    customer = stranger(billing)
    key = customer.credential or ""
    half = len(key) // 2
    for text in (f"{key[:half]} {key[half:]}", f"{key},{key}", f"{key}%00", '{"$ne": null}', "*"):
        outcome = billing.perform("get_balance", customer=customer, credential=text)
        assert outcome.kind == "refused", f"a key written as {text[-12:]!r} opens a balance"
