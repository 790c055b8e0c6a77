"""The way to the service: encrypted where it leaves the machine, and closed to foreign pages.

The rules: OWASP ASVS 5.0, chapters V3, V4, V12, V13 and V14; OWASP REST Security Cheat Sheet;
RFC 9110, 9112 and 6797.
"""

from __future__ import annotations

import re
import socket
import ssl
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from harness.errors import Unknown
from harness.target.wire import Reply
from suites.security.payloads import payloads
from suites.security.places import places, sample, seen, write
from suites.security.tampering import asked_for, asking, being, chained, saying
from suites.security.tenants import (
    Tenant,
    aimed,
    attempt,
    settled_tenant,
    state_of,
    stranger,
)
from suites.security.tls import certificate_error, speaks
from suites.security.wire import Wire, request_bytes

if TYPE_CHECKING:
    from harness.ground import Ground
    from harness.session import Customer, Session
    from harness.target.profile import Profile
    from harness.target.protocol import Role
    from suites.security.tampering import Alter

pytestmark = [pytest.mark.requires("create_customer"), pytest.mark.group("transport")]
READS = ("get_customer", "get_balance", "list_ledger", "list_payments")
OLD = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
MORE, REFUSED, BROKEN = 300, 400, 500
YEAR_S = 31_536_000
NO_TLS = "the target is spoken to without TLS"


def _read(billing: Session) -> str:
    found = [name for name in READS if name in billing.target.operations]
    return found[0] if found else pytest.skip("the target maps nothing that a customer may read")


def _replies(billing: Session) -> list[tuple[str, Reply]]:
    """Have answers of every kind: something read, nothing found, nobody let in, not understood."""
    customer, read = stranger(billing), _read(billing)
    kinds: dict[str, tuple[Role, Alter | None]] = {
        "what was asked for": ("customer", None),
        "a 404": ("customer", asked_for("/.nothing-here")),
        "a 405": ("customer", being("TRACE")),
        "a refusal without a key": ("anonymous", None),
    }
    found = []
    for what, (role, alter) in kinds.items():
        billing.perform(read, customer=customer, role=role, alter=alter)
        if isinstance(billing.last_reply, Reply):
            found.append((what, billing.last_reply))
    if not found:
        raise Unknown("nothing was answered")
    return found


@pytest.mark.production
@pytest.mark.smoke
@pytest.mark.requirement("CWE-319", "ASVS 5.0 V12.2.1", "PCI DSS 4.2.1")
def test_what_leaves_the_machine_is_encrypted(profile: Profile) -> None:
    """The target is spoken to over TLS, unless it is on this very machine."""
    parts = urlsplit(profile.target.base_url)
    assert parts.scheme == "https" or _is_loopback(parts.hostname or ""), (
        "keys and personal data go to the target unencrypted, for everybody on the way to read"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(socket.gethostbyname(host)).is_loopback
    except OSError:
        return False


@pytest.fixture
def secure(profile: Profile) -> tuple[str, int]:
    """Give host and port of a target that speaks TLS; skip where it does not."""
    parts = urlsplit(profile.target.base_url)
    if parts.scheme != "https":
        pytest.skip(NO_TLS)
    return parts.hostname or "", parts.port or 443


@pytest.mark.production
@pytest.mark.smoke
@pytest.mark.requirement("CWE-326", "CWE-327", "ASVS 5.0 V12.1.1")
def test_only_versions_of_tls_that_are_good_are_spoken(secure: tuple[str, int]) -> None:
    """TLS 1.2 or 1.3 is spoken, and neither 1.0 nor 1.1."""
    spoken = [version.name for version in OLD if speaks(*secure, version)]
    assert not spoken, f"the target speaks {', '.join(spoken)}, which protects nothing"
    assert any(speaks(*secure, v) for v in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))


@pytest.mark.production
@pytest.mark.smoke
@pytest.mark.requirement("CWE-295", "ASVS 5.0 V12.2.2")
def test_the_certificate_is_one_to_trust(secure: tuple[str, int]) -> None:
    """The certificate is for this host, still good, and signed by whom clients trust."""
    error = certificate_error(*secure)
    assert error is None, f"clients cannot tell the target from somebody else: {error}"


@pytest.mark.smoke
@pytest.mark.requirement("CWE-693", "ASVS 5.0 V3.4.4", "API8:2023")
def test_no_answer_is_for_browsers_to_guess_at(billing: Session) -> None:
    """Every answer says `nosniff`, so that no browser takes data for a script."""
    for what, reply in _replies(billing):
        told = (reply.header("X-Content-Type-Options") or "").lower()
        assert told == "nosniff", (
            f"browsers may take {what} for a script: X-Content-Type-Options is {told!r}"
        )


@pytest.mark.smoke
@pytest.mark.requirement("CWE-1021", "ASVS 5.0 V3.4.6")
def test_no_answer_can_be_framed(billing: Session) -> None:
    """Every answer forbids foreign pages to frame it, by `frame-ancestors` of its policy."""
    for what, reply in _replies(billing):
        policy = reply.header("Content-Security-Policy") or ""
        assert re.search(r"frame-ancestors\s+('none'|'self')", policy), (
            f"foreign pages can frame {what}, and have it clicked on: no `frame-ancestors` is said"
        )


@pytest.mark.smoke
@pytest.mark.requirement("CWE-525", "CWE-524", "ASVS 5.0 V14.3.2", "RFC 9111")
def test_nothing_personal_is_kept_on_the_way(billing: Session) -> None:
    """What a customer reads says `no-store` or at least `private`: no cache hands it to others."""
    tenant = settled_tenant(billing)
    state_of(billing, tenant)
    for record in billing.records:
        for exchange in record.exchanges:
            reply = exchange.reply
            if isinstance(reply, Reply) and exchange.call.method == "GET" and reply.status < MORE:
                told = (reply.header("Cache-Control") or "").lower()
                assert "no-store" in told or "private" in told, (
                    f"a cache may keep what {record.operation} shows, and hand it to others"
                )


@pytest.mark.smoke
@pytest.mark.requirement("CWE-1428", "ASVS 5.0 V3.4.1", "RFC 6797")
def test_browsers_are_told_to_insist_on_tls(billing: Session, secure: tuple[str, int]) -> None:
    """Over TLS every answer asks for TLS for a year at least."""
    assert secure
    for what, reply in _replies(billing):
        told = re.search(r"max-age=(\d+)", reply.header("Strict-Transport-Security") or "")
        lasts_s = int(told[1]) if told else 0
        assert lasts_s >= YEAR_S, f"{what} lets browsers go on without TLS"


@pytest.mark.smoke
@pytest.mark.requirement("CWE-942", "CWE-346", "ASVS 5.0 V3.4.2", "API8:2023")
def test_no_foreign_page_may_read_with_somebodys_rights(billing: Session) -> None:
    """A page of another origin is not let in: its origin is not repeated, nor any with rights."""
    customer, read = stranger(billing), _read(billing)
    for origin in payloads("platform")["origins"]["foreign"]:
        asking_first = (being("OPTIONS"), saying("Access-Control-Request-Method", "GET"))
        for more in ((), asking_first):
            alter = chained(saying("Origin", origin), *more)
            billing.perform(read, customer=customer, alter=alter)
            reply = billing.last_reply
            assert isinstance(reply, Reply)
            allowed = reply.header("Access-Control-Allow-Origin") or ""
            rights = (reply.header("Access-Control-Allow-Credentials") or "").lower() == "true"
            assert allowed != origin, f"any page, {origin} too, may read what the service answers"
            assert not (allowed == "*" and rights), "any page may read with a visitor's rights"


@pytest.mark.requirement("CWE-650", "ASVS 5.0 V4.1.4", "ASVS 5.0 V13.4.4")
def test_no_unknown_method_does_anything(billing: Session) -> None:
    """TRACE, unknown words and the like are refused, and repeat nothing of what was sent."""
    tenant = settled_tenant(billing)
    before = state_of(billing, tenant)
    secret = tenant.customer.credential or "nothing"
    for operation in aimed(billing, tenant):
        for method in payloads("platform")["methods"]["unknown"]:
            customer, alter = tenant.customer, being(method)
            attempt(billing, operation, tenant.ids, customer, "customer", alter=alter)
            reply = billing.last_reply
            if not isinstance(reply, Reply):
                continue  # refused by closing the connection
            assert reply.status >= REFUSED, (
                f"{operation} does something for {method}, which it never documented:"
                f" it is answered {reply.status} and not refused"
            )
            assert reply.status != BROKEN, f"{operation} breaks over {method}"
            assert secret not in seen(reply), f"{method} on {operation} repeats the key"
    assert state_of(billing, tenant) == before, "an unknown method changed what a customer has"


@pytest.mark.requirement("CWE-639", "ASVS 5.0 V3.5.3", "ASVS 5.0 V8.3.1")
def test_no_header_turns_reading_into_writing(billing: Session) -> None:
    """Neither an override header nor `_method` turns a GET or POST into something else."""
    customer = stranger(billing)  # with nothing that would keep the account from being closed
    before, read = _shown(billing, customer), _read(billing)
    methods = payloads("platform")["methods"]
    alters = [
        *(saying(name, "DELETE") for name in methods["override_headers"]),
        *(asking(name, "DELETE") for name in methods["override_parameters"]),
    ]
    for alter in (being("HEAD"), *alters, *(chained(each, being("POST")) for each in alters)):
        billing.perform(read, customer=customer, alter=alter)
    assert _shown(billing, customer) == before, "reading changed what a customer has"


def _shown(billing: Session, customer: Customer) -> dict[str, object]:
    mapped = [name for name in READS if name in billing.target.operations]
    found = {name: billing.perform(name, customer=customer) for name in mapped}
    return {name: (outcome.kind, outcome.outputs) for name, outcome in found.items()}


@pytest.mark.requirement("CWE-306", "API2:2023", "RFC 9110")
def test_no_other_method_opens_without_a_key(billing: Session) -> None:
    """HEAD and OPTIONS show a stranger no more than GET does."""
    tenant = settled_tenant(billing)
    for operation in aimed(billing, tenant):
        for method in ("HEAD", "OPTIONS"):
            alter = being(method)
            customer, ids = tenant.customer, tenant.ids
            attempt(billing, operation, ids, customer, "anonymous", alter=alter)
            reply = billing.last_reply
            if isinstance(reply, Reply) and reply.status < MORE:
                text = seen(reply)
                marks = (customer.id, customer.email, customer.provider_customer)
                told = [mark for mark in marks[1:] if mark and mark in text]
                assert not told, f"{method} on {operation} shows a stranger {told}"
                assert method != "HEAD", f"HEAD on {operation} tells a stranger what is there"


@pytest.mark.requirement("CWE-644", "CWE-601", "ASVS 5.0 V4.1.3")
def test_no_answer_leads_to_a_host_that_the_client_named(billing: Session) -> None:
    """A host that a client names in a header comes back in no link, redirect or body."""
    customer, read = stranger(billing), _read(billing)
    hosts = payloads("platform")["hosts"]
    for name in hosts["headers"]:
        value = hosts["elsewhere"] if name != "Forwarded" else f"host={hosts['elsewhere']}"
        for operation in (read, "create_customer"):
            ids = {"customer": customer.id}
            attempt(billing, operation, ids, customer, "customer", alter=saying(name, value))
            if isinstance(billing.last_reply, Reply):
                assert hosts["elsewhere"] not in seen(billing.last_reply), (
                    f"{operation} leads its readers to {hosts['elsewhere']}, since {name} of the"
                    " request says so: whoever writes that header has them sent to himself"
                )


@pytest.mark.requirement("CWE-113", "CWE-93", "ASVS 5.0 V1.2.1")
def test_no_text_becomes_a_header(billing: Session) -> None:
    """A line break in a field, an id or a header begins no header of the answer's."""
    tenant = settled_tenant(billing)
    mark = billing.names.new("X-Split")
    split = payloads("platform")["splitting"]["payloads"]
    for number, place in enumerate(places(billing, tenant)):
        text = split[number % len(split)].format(mark=mark)
        _, reply = write(billing, tenant, place, text)
        names = {name.lower() for name, _ in reply.headers}
        assert mark.lower() not in names, f"{place} writes headers into the answer"
        assert reply.status < BROKEN, f"a line break in {place} is answered {reply.status}"


@pytest.mark.requirement("CWE-444", "ASVS 5.0 V4.2.1", "RFC 9112")
def test_a_request_ends_where_one_length_says(
    billing: Session, ground: Ground, address: str | None
) -> None:
    """Two lengths, or a length beside chunks, smuggle no second request in behind the first."""
    customer, read = stranger(billing), _read(billing)
    call = sample(billing, Tenant(customer, {"customer": customer.id}), read)
    assert call is not None
    inner = request_bytes("GET", "/.smuggled", "inner.example")
    body = b"0\r\n\r\n" + inner
    tricks = {
        "a length beside chunks": {
            "Content-Length": str(len(body)),
            "Transfer-Encoding": "chunked",
        },
        "an unknown coding": {"Transfer-Encoding": "xchunked"},
        "a length that is none": {"Content-Length": "+5"},
    }
    for what, headers in tricks.items():
        with Wire(ground.target.profile.target.base_url, address) as wire:
            told = dict(call.headers) | headers
            wire.ask(request_bytes("GET", call.path, wire.host, told, body))
            # Whoever takes either end for the request's must close (RFC 9112, 6.1).
            more = wire.answer()
            assert not more.status or more.status == REFUSED, (
                f"with {what} a second request is smuggled in: it is answered {more.status}"
            )
