"""Logs and errors: enough to find out what happened, and nothing that others could use.

The rules: OWASP ASVS 5.0, chapter V16; PCI DSS 4.0.1, requirement 10.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from harness.errors import Unknown
from harness.operations import OPERATIONS
from harness.target.wire import Reply
from suites.security.bodies import ODD_BODIES
from suites.security.canaries import holds
from suites.security.keys import keys_in_use, misuse_keys
from suites.security.leftovers import logged
from suites.security.payloads import payloads
from suites.security.places import seen, tried
from suites.security.tampering import asking, sending
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
    from collections.abc import Iterator

    from harness.evidence import LogWatch
    from harness.session import Session
    from suites.security.tenants import Tenant

pytestmark = [pytest.mark.requires("create_customer"), pytest.mark.group("logs")]
BREAKS = ("\n", "\r", "\r\n")
REQUEST_IDS = ("X-Request-Id", "Request-Id", "X-Correlation-Id", "X-Trace-Id", "Traceparent")
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*")
ZONED = re.compile(r"(Z|[+-]\d\d:?\d\d)$")
BROKEN_FROM = 500


def _written(billing: Session, tenant: Tenant) -> list[str]:
    """Name the operations that send a body."""
    profile = billing.target.profile
    return [name for name in tried(billing, tenant) if profile.operations[name].body]


@pytest.mark.requirement("BH-7", "CWE-532", "ASVS 5.0 V16.2.5")
def test_no_key_reaches_a_log(billing: Session, log: LogWatch) -> None:
    """No key is logged, neither of who was let in, nor of who was refused or put it elsewhere."""
    misuse_keys(billing, settled_tenant(billing))
    text = logged(log)
    keys = keys_in_use(billing)
    found = [key for key in keys if holds(text, key)]
    assert not found, f"whoever reads the logs has {len(found)} of the {len(keys)} keys in use"


@pytest.mark.requirement("BH-10", "CWE-117", "ASVS 5.0 V16.4.1")
def test_a_request_forges_no_line_of_the_log(billing: Session, log: LogWatch) -> None:
    """A line break in an id, a query or a field begins no new line in a log."""
    tenant = settled_tenant(billing)
    forged = billing.names.new("forged")
    text = "x" + "".join(f"{line_break}{forged}" for line_break in BREAKS)
    for operation in aimed(billing, tenant):
        ids = dict.fromkeys(tenant.ids, text)
        attempt(billing, operation, ids, tenant.customer, "customer")
        if OPERATIONS[operation].reads:
            alter = asking("v", text)
            attempt(billing, operation, tenant.ids, tenant.customer, "customer", alter=alter)
    for operation in _written(billing, tenant):
        words = inputs_for(billing, operation, {})
        said = {name: text for name, value in words.items() if isinstance(value, str)}
        attempt(billing, operation, tenant.ids, tenant.customer, "customer", said=said)
    lines = re.split(r"[\r\n]", logged(log))
    assert not any(line.lstrip().startswith(forged) for line in lines), (
        "whoever sends a request writes lines of his own into the log"
    )


@pytest.mark.requirement(
    "CWE-778", "CWE-223", "ASVS 5.0 V16.2.1", "ASVS 5.0 V16.2.2", "ASVS 5.0 V16.3.1"
)
@pytest.mark.requirement("ASVS 5.0 V16.3.2", "PCI DSS 10.2.1.4", "PCI DSS 10.2.2")
def test_who_was_refused_can_be_found_in_the_log(billing: Session, log: LogWatch) -> None:
    """Whoever was refused is in the log by the id of the answer, with the time and its zone."""
    asked = dict(_refused(billing))
    if not all(asked.values()):
        pytest.skip("an answer carries no id by which its request could be found in the log")
    text = logged(log)
    for why, told in asked.items():
        lines = [line for line in text.splitlines() if told in line]
        assert lines, f"a request with {why} left no line in the log: nobody can look into it"
        dated = [moment.group().strip("\",']})") for moment in MOMENT.finditer("\n".join(lines))]
        assert dated, f"the log does not say when a request with {why} was refused: {lines[0]!r}"
        bare = [moment for moment in dated if not ZONED.search(moment)]
        assert not bare, f"the log does not say in which zone it was {bare[0]}"


def _refused(billing: Session) -> Iterator[tuple[str, str]]:
    """Have requests refused for three reasons; give the id that each answer carries."""
    tenant, other = plain_tenant(billing), stranger(billing)
    profile, able = billing.target.profile, tried(billing, tenant)
    read = next(name for name in aimed(billing, tenant) if OPERATIONS[name].reads)
    guessing = replace(other, credential=nobodys(other.credential or ""))
    attempt(billing, read, tenant.ids, guessing)
    yield "a wrong key", _id_of(billing)
    attempt(billing, read, tenant.ids, other)
    yield "another's id", _id_of(billing)
    for operation in [name for name in able if profile.operations[name].role == "operator"][:1]:
        attempt(billing, operation, tenant.ids, other)
        yield "a customer's key for what the operator does", _id_of(billing)


def _id_of(billing: Session) -> str:
    reply = billing.last_reply
    headers = reply.headers if isinstance(reply, Reply) else ()
    return next((value for name, value in headers if name.title() in REQUEST_IDS), "")


@pytest.mark.requirement("CWE-209", "CWE-497", "CWE-550", "ASVS 5.0 V16.5.1", "API8:2023")
def test_no_answer_shows_how_the_service_is_made(billing: Session) -> None:
    """No odd body, however broken, is answered with a stack trace, a path or a piece of SQL."""
    tenant = plain_tenant(billing)
    for operation in _written(billing, tenant)[:4]:
        for what, body in ODD_BODIES.items():
            alter = sending(body)
            attempt(billing, operation, tenant.ids, tenant.customer, "customer", alter=alter)
            reply = billing.last_reply
            if not isinstance(reply, Reply):
                continue
            assert reply.status < BROKEN_FROM, f"{operation} breaks over {what}: {reply.status}"
            text = seen(reply).lower()
            told = [mark for mark in payloads("platform")["traces"]["told"] if mark in text]
            assert not told, f"{operation} answers {what} with what lies behind it: {told}"


@pytest.mark.requires("arm_failpoint", "record_usage")
@pytest.mark.requirement("BH-7", "CWE-532", "CWE-755", "ASVS 5.0 V16.5.4")
def test_a_crash_leaves_no_secret_in_the_log(alone: Session, log: LogWatch) -> None:
    """When a request breaks the service, its key is in no log, and the answer tells nothing."""
    customer = stranger(alone)
    alone.ok("arm_failpoint", point="usage_before_commit", action="fail")
    usage_id = alone.names.new("usage")
    alone.perform("record_usage", customer=customer, usage_id=usage_id, quantity=1)
    reply = alone.last_reply
    if not isinstance(reply, Reply) or reply.status < BROKEN_FROM:
        raise Unknown("the failpoint broke nothing: no request failed")
    told = [m for m in payloads("platform")["traces"]["told"] if m in seen(reply).lower()]
    assert not told, f"a request that broke the service is answered with what lies behind: {told}"
    text = logged(log)
    found = [key for key in keys_in_use(alone) if holds(text, key)]
    assert not found, "whoever breaks a request leaves the key that was sent in the log"
