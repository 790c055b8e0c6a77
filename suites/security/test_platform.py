"""The service as a server: what it tells strangers, whom it calls, what wears it out.

The rules: OWASP API Security Top 10 (2023) API4, API7, API8, API9 and API10; OWASP ASVS 5.0,
chapters V1, V2, V4, V5, V8, V13 and V15. What is sent is bounded: no test is a load test.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from harness.operations import OPERATIONS
from harness.target.wire import Reply
from suites.e2e.steps import sign_up, units_of
from suites.security.bodies import HEAVY_BODIES
from suites.security.listening import listening
from suites.security.payloads import payloads
from suites.security.places import places, sample, seen, tried, write
from suites.security.tampering import adding, asked_for, asking, saying, sending
from suites.security.tenants import aimed, attempt, plain_tenant, settled_tenant, state_of, stranger
from suites.security.wire import Wire, request_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.ground import Ground
    from harness.session import Session
    from harness.target.wire import Call
    from suites.security.tampering import Alter
    from suites.security.tenants import Tenant

pytestmark = [pytest.mark.requires("create_customer"), pytest.mark.group("platform")]
MORE, REFUSED, BROKEN = 300, 400, 500
UNSUPPORTED = (400, 413, 415, 422)
CALLED_WITHIN_S = 0.3
PAGE_BYTES_MAX = 1_000_000
RANDOM_LETTERS = 12


def _written(billing: Session, tenant: Tenant) -> list[str]:
    profile = billing.target.profile
    return [name for name in tried(billing, tenant) if profile.operations[name].body]


def _read(billing: Session, tenant: Tenant) -> str:
    found = [name for name in aimed(billing, tenant) if OPERATIONS[name].reads]
    return found[0] if found else pytest.skip("no operation that reads names whose it reads")


def _reply(billing: Session) -> Reply:
    reply = billing.last_reply
    return reply if isinstance(reply, Reply) else Reply(0)


def _still_serves(billing: Session, tenant: Tenant, after: str) -> None:
    outcome = attempt(billing, _read(billing, tenant), tenant.ids, tenant.customer, "customer")
    assert outcome.kind == "ok", f"after {after} the target answers no more: {outcome}"


@pytest.mark.parametrize("kind", [each["kind"] for each in payloads("platform")["inside"]])
@pytest.mark.requirement("API8:2023", "API9:2023", "CWE-538", "CWE-527", "CWE-215")
@pytest.mark.requirement(
    "ASVS 5.0 V13.4.1", "ASVS 5.0 V13.4.2", "ASVS 5.0 V13.4.5", "ASVS 5.0 V13.4.7"
)
def test_nothing_of_the_inside_is_open_to_strangers(billing: Session, kind: str) -> None:
    """Sources, settings, copies, monitoring and documentation are closed, unless said public."""
    tenant = plain_tenant(billing)
    customer, read = tenant.customer, _read(billing, tenant)
    public = set(billing.target.profile.exposure.public)
    (asked,) = (each["paths"] for each in payloads("platform")["inside"] if each["kind"] == kind)
    for path in asked:
        attempt(billing, read, tenant.ids, customer, "anonymous", alter=asked_for(path))
        reply = _reply(billing)
        assert path in public or reply.status >= MORE or not reply.body, (
            f"{path} is answered {reply.status} to whoever asks: {reply.body[:60]!r}"
        )


@pytest.mark.smoke
@pytest.mark.requirement("CWE-200", "ASVS 5.0 V13.4.6")
def test_no_answer_tells_the_version_of_a_program(billing: Session) -> None:
    """No header names a program with its version, for which attacks can be looked up."""
    tenant = settled_tenant(billing)
    versions = payloads("platform")["versions"]
    state_of(billing, tenant)
    attempt(billing, _read(billing, tenant), tenant.ids, tenant.customer, "anonymous")
    for record in billing.records:
        for exchange in record.exchanges:
            reply = exchange.reply
            for name, value in reply.headers if isinstance(reply, Reply) else ():
                if name.title() in {each.title() for each in versions["headers"]}:
                    assert not re.search(versions["pattern"], value), (
                        f"{record.operation} tells strangers that {value} runs here"
                    )


@pytest.mark.requirement("API7:2023", "CWE-918", "ASVS 5.0 V1.3.6", "ASVS 5.0 V13.2.4")
def test_nothing_calls_an_address_that_a_client_names(billing: Session) -> None:
    """An address in any field, parameter, id or header is called by nobody."""
    tenant = settled_tenant(billing)
    urls = payloads("platform")["urls"]
    mark = billing.names.new("called")
    with listening() as listener:
        texts = [text.format(address=listener.address, mark=mark) for text in urls["payloads"]]
        found = places(billing, tenant)
        for number, place in enumerate(found):
            for text in {texts[0], texts[number % len(texts)]}:
                write(billing, tenant, place, text)
        for number, operation in enumerate(_written(billing, tenant)):
            fields = dict.fromkeys(urls["fields"], texts[number % 2])
            ids, customer = tenant.ids, tenant.customer
            attempt(billing, operation, ids, customer, "customer", alter=adding(fields))
        for header in urls["headers"]:
            alter = saying(header, texts[0])
            read = _read(billing, tenant)
            attempt(billing, read, tenant.ids, tenant.customer, "customer", alter=alter)
        called = listener.called_within(CALLED_WITHIN_S)
        assert not called, f"the target calls whomever a client names: {listener.calls[0]!r}"


@pytest.mark.requirement("CWE-22", "CWE-23", "ASVS 5.0 V5.3.2")
def test_no_id_leads_to_a_file(billing: Session) -> None:
    """Dots and slashes in an id, a parameter or a field bring no file, and nobody else's things."""
    tenant, other = settled_tenant(billing), settled_tenant(billing)
    texts = payloads("platform")["traversal"]["payloads"]
    for number, place in enumerate(places(billing, tenant)):
        # The plainest everywhere, the others in turn.
        for text in {texts[0]: None, texts[number % len(texts)]: None}:
            _, reply = write(billing, tenant, place, text)
            _assert_no_file(str(place), text, reply)
    for operation in [name for name in aimed(billing, tenant) if OPERATIONS[name].reads]:
        for climb in ("{own}/../{other}", "{own}%2f..%2f{other}", "../{name}/{other}"):
            path = _climbing(billing, tenant, operation, climb, other.customer.id)
            customer, ids = tenant.customer, tenant.ids
            attempt(billing, operation, ids, customer, "customer", alter=asked_for(path))
            text = seen(_reply(billing))
            assert other.customer.provider_customer not in text.split('"'), (
                f"{operation} shows another customer to whoever climbs there by {climb!r}"
            )


def _climbing(billing: Session, tenant: Tenant, operation: str, climb: str, other: str) -> str:
    call = sample(billing, tenant, operation)
    assert call is not None
    own = tenant.customer.id
    before = call.path.partition(own)[0].rstrip("/").rpartition("/")[2]
    return call.path.replace(own, climb.format(own=own, other=other, name=before))


def _assert_no_file(where: str, text: str, reply: Reply) -> None:
    told = [mark for mark in payloads("platform")["traversal"]["told"] if mark in seen(reply)]
    assert not told, f"{text!r} in {where} brings a file of the machine's"
    assert reply.status < BROKEN, f"{text!r} in {where} is answered {reply.status}"


@pytest.mark.requirement("CWE-1336", "CWE-94", "ASVS 5.0 V1.3.7", "ASVS 5.0 V1.3.2")
def test_no_text_is_worked_out(billing: Session) -> None:
    """A sum in a field, an id or a header, as templates write one, is never worked out."""
    tenant = settled_tenant(billing)
    templates = payloads("platform")["templates"]
    for number, place in enumerate(places(billing, tenant)):
        text = templates["payloads"][number % len(templates["payloads"])]
        _, reply = write(billing, tenant, place, text)
        assert templates["result"] not in seen(reply), f"{place} runs what a client writes: {text}"
        assert reply.status < BROKEN, f"{text!r} in {place} is answered {reply.status}"
    shown = str(state_of(billing, tenant))
    assert templates["result"] not in shown, "what a client wrote was worked out when it was stored"


@pytest.mark.requirement("API4:2023", "CWE-400", "CWE-674", "CWE-776", "ASVS 5.0 V15.2.2")
def test_a_heavy_body_harms_nothing(billing: Session) -> None:
    """A body too deep, too long or too full is refused, and the next request is served."""
    tenant = plain_tenant(billing)
    for what, body in HEAVY_BODIES.items():
        for operation in _written(billing, tenant)[:3]:
            alter = sending(body)
            attempt(billing, operation, tenant.ids, tenant.customer, "customer", alter=alter)
            reply = _reply(billing)
            assert reply.status < BROKEN, f"{operation} breaks over {what}: {reply.status}"
            assert reply.status == 0 or reply.status >= REFUSED, (
                f"{operation} took {what}: answered {reply.status}"
            )
        _still_serves(billing, tenant, what)


@pytest.mark.requirement("API4:2023", "CWE-770", "CWE-190", "ASVS 5.0 V1.4.2")
def test_no_number_is_too_big(billing: Session) -> None:
    """Pages, amounts and quantities beyond all bounds are refused or bounded, and break nothing."""
    tenant = settled_tenant(billing)
    numbers = (-1, 0, 2**31, 2**63, 10**400)
    for operation in [name for name in tried(billing, tenant) if OPERATIONS[name].lists]:
        items = billing.target.profile.operations[operation].items
        page = items.page if items else None
        for name in filter(None, (page.param, page.size_param) if page else ()):
            for number in numbers:
                alter = _instead(name, str(number))
                ids, customer = tenant.ids, tenant.customer
                attempt(billing, operation, ids, customer, "customer", alter=alter)
                reply = _reply(billing)
                assert reply.status < BROKEN, f"{operation} breaks over {name}={str(number)[:20]}"
                assert len(reply.body) < PAGE_BYTES_MAX, f"a page of {operation} has no bound"
    before = state_of(billing, tenant)
    for operation, name in _counted(billing, tenant):
        for number in numbers[2:]:
            said = {name: number}
            customer, ids = tenant.customer, tenant.ids
            outcome = attempt(billing, operation, ids, customer, "customer", said=said)
            assert _reply(billing).status < BROKEN, (
                f"{operation} breaks over {name}={str(number)[:20]}"
            )
            assert outcome.kind == "refused", (
                f"{operation} was {outcome} with {name}={str(number)[:20]}"
            )
    assert state_of(billing, tenant) == before, "numbers that were refused changed something"


def _counted(billing: Session, tenant: Tenant) -> Iterator[tuple[str, str]]:
    """Give the amounts and quantities that the target's operations take."""
    for operation, name in (
        ("refund_payment", "amount_minor"),
        ("adjust_credits", "units"),
        ("change_subscription", "quantity"),
    ):
        body = billing.target.profile.operations.get(operation)
        if operation in tried(billing, tenant) and body and f"{{{name}}}" in str(body.body):
            yield operation, name


def _instead(name: str, value: str) -> Alter:
    def alter(call: Call) -> Call:
        kept = tuple(pair for pair in call.query if pair[0] != name)
        return asking(name, value)(replace(call, query=kept))

    return alter


@pytest.mark.requirement("CWE-410", "API4:2023", "ASVS 5.0 V15.4.4")
def test_slow_senders_keep_nobody_waiting(
    billing: Session, ground: Ground, address: str | None
) -> None:
    """While some send their requests byte by byte, others are answered as ever."""
    tenant = plain_tenant(billing)
    base_url = ground.target.profile.target.base_url
    operation = _written(billing, tenant)[0]
    call = sample(billing, tenant, operation)
    assert call is not None
    head = request_bytes(call.method, call.path, "slow.example", {"Content-Length": "1000"})
    held = []
    try:
        for number in range(40):
            wire = Wire(base_url, address)
            held.append(wire)
            wire.begin(head if number % 2 else head[:20])
        # Not the first time alone: a busy target may not have read what came on 40 connections.
        for _ in range(5):
            _still_serves(billing, tenant, "40 connections that are slow")
    finally:
        for wire in held:
            wire.close()


@pytest.mark.smoke
@pytest.mark.requirement("CWE-436", "CWE-20", "ASVS 5.0 V4.1.1", "ASVS 5.0 V2.2.1")
def test_every_answer_says_of_what_kind_it_is(billing: Session) -> None:
    """An answer with a body says its type, and is of it."""
    tenant = settled_tenant(billing)
    state_of(billing, tenant)
    attempt(billing, _read(billing, tenant), tenant.ids, tenant.customer, "anonymous")
    for record in billing.records:
        for exchange in record.exchanges:
            reply = exchange.reply
            if not isinstance(reply, Reply) or not reply.body:
                continue
            kind = reply.header("Content-Type") or ""
            assert kind, f"{record.operation} does not say of what kind its answer is"
            assert "html" not in kind, f"{record.operation} answers a program with a page"
            if "json" in kind:
                reply.json()


@pytest.mark.requirement("CWE-345", "ASVS 5.0 V3.5.2", "ASVS 5.0 V1.5.1")
def test_a_body_of_another_kind_is_not_taken(billing: Session) -> None:
    """What is sent as text, as a form or as XML, as any page can send it, does nothing."""
    tenant = settled_tenant(billing)
    before = state_of(billing, tenant)
    for operation in _written(billing, tenant):
        call = sample(billing, tenant, operation)
        if call is None or "usage_id" in str(billing.target.profile.operations[operation].body):
            continue
        own = next((v for n, v in call.headers if n.lower() == "content-type"), "")
        for kind in ("text/plain", "multipart/form-data; boundary=x", "application/xml"):
            if kind.partition(";")[0] in own:
                continue
            alter = saying("Content-Type", kind)
            ids, customer = tenant.ids, tenant.customer
            attempt(billing, operation, ids, customer, "customer", alter=alter)
            assert _reply(billing).status < BROKEN, f"{operation} breaks over {kind}"
            assert _reply(billing).status >= REFUSED, (
                f"{operation} takes a body of {kind}, which any web page can have its visitors send"
            )
    assert state_of(billing, tenant) == before, "a body of another kind changed something"


@pytest.mark.requires("record_usage", "get_balance")
@pytest.mark.requirement("CWE-843", "CWE-1287", "ASVS 5.0 V15.3.5")
def test_a_value_of_another_type_is_not_taken(billing: Session) -> None:
    """A list, an object, a truth or nothing in place of a text is refused, and consumes nothing."""
    if billing.target.profile.target.encoding == "form":
        pytest.skip("a form has texts in it, and values of no other type")
    customer = sign_up(billing)
    before = units_of(billing, customer)
    for value in ([], ["a"], {}, {"$gt": ""}, True, None):
        outcome = billing.perform("record_usage", customer=customer, usage_id=value, quantity=1)
        assert _reply(billing).status < BROKEN, f"record_usage breaks over the id {value!r}"
        assert outcome.kind == "refused", f"record_usage was {outcome} with the id {value!r}"
    assert units_of(billing, customer) == before, "usage with an id that is none was counted"


@pytest.mark.requirement("CWE-180", "CWE-178", "CWE-176", "ASVS 5.0 V1.1.1", "API6:2023")
def test_one_address_in_other_letters_is_one_customer(billing: Session) -> None:
    """An e-mail address in capitals or composed otherwise (Unicode) earns no second welcome."""
    email = billing.names.email().replace("customer", "ren\u00e9e", 1)
    billing.perform("create_customer", email=email, name="Ada", source="direct")
    if not billing.customers:
        email = billing.names.email()
        billing.ok("create_customer", email=email, name="Ada", source="direct")
    spellings = {email.upper(), email.title(), unicodedata.normalize("NFD", email)} - {email}
    for spelling in spellings:
        outcome = billing.perform("create_customer", email=spelling, name="Ada", source="direct")
        assert outcome.kind == "refused", (
            f"an address in other letters is a second customer, with a second welcome: {outcome}"
        )


@pytest.mark.requirement("CWE-341", "ASVS 5.0 V8.2.2", "API1:2023")
def test_ids_cannot_be_counted_up(billing: Session) -> None:
    """Ids of customers and of what is theirs follow from no other: they are long and random."""
    tenants = [settled_tenant(billing) for _ in range(2)]
    more = [stranger(billing).id for _ in range(3)]
    kinds = {name: [tenant.ids[name] for tenant in tenants] for name in tenants[0].ids}
    kinds["customer"] += more
    for name, found in kinds.items():
        tails = [re.sub(r"^.*[_-](?=[^_-]+$)", "", each) for each in found]
        differs = max(
            sum(a != b for a, b in zip(tails[0], other, strict=False)) for other in tails[1:]
        )
        assert not any(each.isdigit() and len(each) < RANDOM_LETTERS for each in tails), (
            f"ids of a {name} are numbers, which anybody counts up: {found[:2]}"
        )
        assert differs >= RANDOM_LETTERS // 2, (
            f"ids of a {name} hardly differ, and can be guessed from one another: {found[:2]}"
        )


@pytest.mark.requires("record_usage", "get_balance")
@pytest.mark.requirement("CWE-1286", "CWE-694", "ASVS 5.0 V1.5.3")
def test_a_field_that_stands_twice_is_not_read_in_two_ways(billing: Session) -> None:
    """A body with a field twice is refused, or counts as one usage and no more."""
    customer = sign_up(billing)
    before = units_of(billing, customer)

    def doubled(call: Call) -> Call:
        half = call.body.strip().rstrip(b"}").lstrip(b"{")
        joint = b"&" if not call.body.startswith(b"{") else b","
        body = half + joint + half.replace(b"usage", b"other")
        return replace(call, body=body if joint == b"&" else b"{" + body + b"}")

    usage_id = billing.names.new("usage")
    outcome = billing.perform(
        "record_usage", customer=customer, usage_id=usage_id, quantity=1, alter=doubled
    )
    assert _reply(billing).status < BROKEN, "a field that stands twice breaks record_usage"
    left = units_of(billing, customer)
    due = (before - 1, before) if outcome.kind in {"ok", "accepted", "unknown"} else (before,)
    assert left in due, f"one request with a field twice turned {before} units into {left}"
