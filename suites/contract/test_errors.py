"""Every refusal has one shape, which a client can read without guessing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import Unknown
from harness.target.interpret import search
from harness.target.wire import Reply
from suites.e2e.steps import used_up
from suites.security.tampering import adding, sending, spelled
from suites.security.tenants import aimed, attempt, nobodys, settled_tenant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.session import Session
    from harness.target.wire import Call

pytestmark = [pytest.mark.requires("create_customer"), pytest.mark.group("promises")]
HTML = (b"<html", b"<!doctype", b"traceback (most recent")
NOWHERE = "-nowhere"
FAR = 10**8


def _reply(billing: Session) -> Reply:
    """Give the answer to what was sent; what is polled for afterwards is none."""
    exchanges = billing.records[-1].exchanges
    reply = exchanges[0].reply if exchanges else None
    if not isinstance(reply, Reply):
        raise Unknown(f"{billing.records[-1].operation} had no answer")
    return reply


def _is_taken_on(billing: Session) -> bool:
    """Whether the target said at first that it would, and refused only later."""
    return _reply(billing).status < 300


def _hold_shape(billing: Session, what: str) -> set[str]:
    """Hold that the last answer refuses in the target's one shape; give the names of its fields."""
    reply = _reply(billing)
    assert 400 <= reply.status < 500, f"{what} was answered HTTP {reply.status}, not refused"
    kind = (reply.header("content-type") or "").partition(";")[0].strip().lower()
    assert kind.endswith("json"), f"{what} was refused in {kind or 'no type at all'}"
    lower = reply.body.lower()
    assert not any(mark in lower for mark in HTML), f"{what} was refused with a page or a trace"
    try:
        body = reply.json()
    except ValueError:
        body = None
    assert isinstance(body, dict), f"{what} was refused with {kind} that is no JSON object"
    expression = billing.target.profile.target.refusal_code
    if expression is not None:
        code = search(expression, body)
        assert isinstance(code, str), f"{what} was refused without a code at {expression!r}"
        assert code, f"{what} was refused with an empty code"
    return {f"{kind}: {name}" for name in body}


def _hold_one_shape(shapes: Mapping[str, set[str]]) -> None:
    """Hold that there are fields that every refusal has, in the same media type."""
    common = set.intersection(*shapes.values()) if shapes else set()
    told = "; ".join(f"{what}: {', '.join(sorted(fields))}" for what, fields in shapes.items())
    assert common or not shapes, f"refusals have no field in common: {told}"


@pytest.mark.smoke
@pytest.mark.requires("record_usage", "get_balance")
@pytest.mark.requirement("RFC 9457", "RFC 9110", "CWE-209")
def test_refusals_share_one_shape(billing: Session) -> None:
    """Without a key, for a wrong shape and for want of a card, a refusal is told in one form."""
    customer = used_up(billing, card=None)
    about: dict[str, Any] = {"customer": customer, "quantity": 1}
    usage = billing.names.new("usage")
    shapes: dict[str, set[str]] = {}
    billing.refused("record_usage", usage_id=usage, **about)
    if not _is_taken_on(billing):
        shapes["a usage without a card"] = _hold_shape(billing, "a usage without a card")
    for what, arguments in _wrongs(billing):
        billing.perform("record_usage", usage_id=usage, **about, **arguments)
        shapes[what] = _hold_shape(billing, what)
    _hold_one_shape(shapes)


def _wrongs(billing: Session) -> Iterator[tuple[str, dict[str, Any]]]:
    broken = b"{" if billing.target.profile.target.encoding == "json" else b"%"
    yield "a body that is cut off", {"alter": sending(broken)}
    yield "an empty body", {"alter": sending(b"{}")}
    yield "a path that there is not", {"alter": spelled(lambda path: path + NOWHERE)}
    if billing.target.profile.auth:
        yield "a request without a key", {"role": "anonymous", "alter": _without_a_key}


def _without_a_key(call: Call) -> Call:
    for name in ("authorization", "x-api-key"):
        call = call.without_header(name)
    return call


@pytest.mark.requirement("RFC 9457", "RFC 9110")
def test_what_nobody_has_is_refused_in_the_same_shape(billing: Session) -> None:
    """An id that is nobody's is answered by a refusal like any other, whatever it is an id of."""
    tenant = settled_tenant(billing)
    shapes = {}
    for operation in aimed(billing, tenant):
        ids = {name: _far(value) for name, value in tenant.ids.items()}
        attempt(billing, operation, ids, tenant.customer, "customer")
        what = f"{operation} of what nobody has"
        shapes[what] = _hold_shape(billing, what)
    _hold_one_shape(shapes)


def _far(value: str) -> str:
    """Give an id that nobody has: of ids that are counted, one that is far from being reached."""
    return str(int(value) + FAR) if value.isdecimal() else nobodys(value)


@pytest.mark.requires("record_usage", "get_balance")
@pytest.mark.requirement("RFC 9457", "BH-4", "API3:2023")
def test_a_field_that_there_is_not_is_refused_or_does_nothing(billing: Session) -> None:
    """A body with a field that is not documented is refused in the one shape, or as if without."""
    customer = used_up(billing, card=None)
    outcome = billing.perform(
        "record_usage",
        customer=customer,
        usage_id=billing.names.new("usage"),
        quantity=1,
        alter=adding({"surprise": "1"}),
    )
    assert outcome.kind != "ok", "a usage that is refused passed with a field that there is not"
    if not _is_taken_on(billing):
        _hold_shape(billing, "a field that there is not")
