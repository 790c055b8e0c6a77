"""What a service leaves behind: no card data, no secret, and no line that a request wrote.

The rules: PCI DSS 4.0.1, requirement 3; OWASP ASVS 5.0, chapters V1, V14 and V16.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from harness.errors import Unknown
from harness.evidence import LogWatch, stored_texts
from harness.operations import OPERATIONS
from harness.target.wire import Reply
from suites.security.canaries import Card, holds, new_card
from suites.security.tampering import adding, asking, saying, sending
from suites.security.tenants import (
    aimed,
    attempt,
    ids_in,
    inputs_for,
    nobodys,
    settled_tenant,
    stranger,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.ground import Ground
    from harness.session import Customer, Session
    from suites.security.tenants import Tenant

pytestmark = pytest.mark.requires("create_customer")
ERRORS_FROM = 400
BROKEN_FROM = 500
TOO_MANY = 429
KEY_CHARS_MIN = 8
NEVER_TRIED = frozenset({"advance_time", "drain", "purge_customer", "close_customer"})
FILTERS = ("filter", "q", "search", "sort", "order")
# The two of a pair are one to whoever takes them for values, and two to whoever runs them as SQL.
INJECTED = (("zz' OR '1'='1", "zz' OR '1'='2"), ("zz' OR 1=1 -- ", "zz' OR 1=2 -- "))
SORTED = (("(CASE WHEN 1=1 THEN 1 ELSE 1/0 END)", "(CASE WHEN 1=2 THEN 1 ELSE 1/0 END)"),)
BREAKS = ("\n", "\r", "\r\n")


@pytest.fixture
def log(billing: Session) -> LogWatch:
    """Give what the target logs from now on."""
    files = billing.target.profile.evidence.log_files
    if not files:
        pytest.skip("the profile names no log_files under [evidence]")
    return LogWatch(files)


@pytest.fixture
def card(billing: Session) -> Card:
    """Give a card whose number is looked for afterwards."""
    return new_card(billing.names.random)


def _logged(log: LogWatch) -> str:
    text = log.text()
    if not text.strip():
        raise Unknown("the log files did not grow: the target seems to log somewhere else")
    return text


def _told_by_clients(billing: Session, tenant: Tenant) -> list[str]:
    """Name the operations that send a body, of which the tenant has the ids."""
    return [
        name
        for name, mapping in billing.target.profile.operations.items()
        if mapping.body
        and not OPERATIONS[name].reads
        and name not in NEVER_TRIED
        and ids_in(mapping) <= tenant.ids.keys()
    ]


def _saying(billing: Session, operation: str, text: str | int) -> dict[str, str | int]:
    """Give an operation's inputs that are words, each put in place by one text."""
    words = inputs_for(billing, operation, {})
    return {name: text for name, value in words.items() if isinstance(value, str)}


def _send_card(billing: Session, tenant: Tenant, card: Card) -> None:
    """Put a card into whatever a client can send: fields, headers, queries, ids."""
    customer = tenant.customer
    for number in card.spellings():
        for operation in _told_by_clients(billing, tenant):
            alter = adding(card.fields(number))
            attempt(billing, operation, tenant.ids, customer, "customer", alter=alter)
            said = _saying(billing, operation, number)
            attempt(billing, operation, tenant.ids, customer, "customer", said=said)
        for operation in [name for name in aimed(billing, tenant) if OPERATIONS[name].reads][:2]:
            for alter in (asking("card_number", str(number)), saying("User-Agent", str(number))):
                attempt(billing, operation, tenant.ids, customer, "customer", alter=alter)
            ids = {**tenant.ids, "customer": str(number)}
            attempt(billing, operation, ids, customer, "customer")


@pytest.mark.requirement("BH-7", "CWE-532", "ASVS 5.0 V16.2.5", "PCI DSS 3.3.1", "PCI DSS 3.5.1")
def test_no_card_data_reaches_a_log(billing: Session, log: LogWatch, card: Card) -> None:
    """A card number or code that a client sends by mistake, however spelled, is never logged."""
    _send_card(billing, settled_tenant(billing), card)
    found = card.found_in(_logged(log))
    assert not found, f"whoever reads the logs sees {' and '.join(found)} that a client sent"


@pytest.mark.requirement("BH-7", "CWE-209", "ASVS 5.0 V16.5.1", "PCI DSS 3.5.1")
def test_an_error_repeats_nothing_of_the_input(billing: Session, card: Card) -> None:
    """A refusal repeats neither a card number, mistyped or not, nor a key sent in a wrong place."""
    tenant = settled_tenant(billing)
    key = tenant.customer.credential or ""
    wrong = card.mistyped()
    for operation in _told_by_clients(billing, tenant):
        for text in (*wrong.spellings(), card.number, key):
            said = _saying(billing, operation, text)
            if text == key:
                said.pop("usage_id", None)  # it would be taken, and is in ledgers ever after
            attempt(billing, operation, tenant.ids, tenant.customer, "customer", said=said)
            _assert_repeats_nothing(billing, operation, (card, wrong), key)
        broken = f'{{"card_number": "{wrong.number}", "key": "{key}'.encode()
        alter = sending(broken)
        attempt(billing, operation, tenant.ids, tenant.customer, "customer", alter=alter)
        _assert_repeats_nothing(billing, operation, (card, wrong), key)


def _assert_repeats_nothing(
    billing: Session, operation: str, cards: tuple[Card, ...], key: str
) -> None:
    reply = billing.last_reply
    if not isinstance(reply, Reply) or reply.status < ERRORS_FROM:
        return
    body = reply.body.decode(errors="replace")
    found = [what for card in cards for what in card.found_in(body)]
    if key and holds(body, key):
        found.append("a key")
    assert not found, (
        f"{operation} was refused with {reply.status}, and the error repeats {found[0]}:"
        " it ends in the logs of whoever called"
    )


def _misuse_keys(billing: Session, tenant: Tenant) -> None:
    """Have requests refused that carry keys: right ones, ended ones, and in wrong places."""
    customer = tenant.customer
    nobody = {name: nobodys(text) for name, text in tenant.ids.items()}
    for operation in aimed(billing, tenant):
        attempt(billing, operation, nobody, customer, "customer")
    for operation in _told_by_clients(billing, tenant):
        alter = adding({"api_key": customer.credential})
        attempt(billing, operation, nobody, customer, "customer", alter=alter)
    read = next(name for name in aimed(billing, tenant) if OPERATIONS[name].reads)
    alter = asking("api_key", customer.credential or "")
    attempt(billing, read, tenant.ids, customer, "anonymous", alter=alter)
    _end_a_key(billing, tenant, read)


def _end_a_key(billing: Session, tenant: Tenant, read: str) -> None:
    """Rotate and revoke the second key, and go on using it, where the target has these."""
    key = tenant.ids.get("key")
    for ending in ("rotate_key", "revoke_key"):
        if key and ending in billing.target.operations:
            ended = billing.ok(ending, customer=tenant.customer, key=key)
            key = ended.get("key") or key
            caller = replace(tenant.customer, credential=ended.get("credential"))
            attempt(billing, read, tenant.ids, caller, "customer")


def _keys(billing: Session) -> set[str]:
    """Collect every key that was sent or handed out in this test."""
    profile = billing.target.profile
    named = {name.lower() for auth in profile.auth.values() for name in auth.headers}
    found = {str(record.outcome.get("credential") or "") for record in billing.records}
    for record in billing.records:
        for exchange in record.exchanges:
            for name, value in exchange.call.headers:
                if name.lower() in named | {"authorization"}:
                    found |= {value.rpartition(" ")[2], _password(value)}
    return {key for key in found if len(key) >= KEY_CHARS_MIN}


def _password(header: str) -> str:
    scheme, _, pair = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(pair).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


@pytest.mark.requirement("BH-7", "CWE-532", "ASVS 5.0 V16.2.5")
def test_no_key_reaches_a_log(billing: Session, log: LogWatch) -> None:
    """No key is logged, neither of who was let in, nor of who was refused or put it elsewhere."""
    _misuse_keys(billing, settled_tenant(billing))
    text = _logged(log)
    found = [key for key in _keys(billing) if holds(text, key)]
    assert not found, (
        f"whoever reads the logs has {len(found)} of the {len(_keys(billing))} keys in use"
    )


@pytest.mark.requirement("BH-7", "CWE-312", "ASVS 5.0 V14.2.4", "PCI DSS 3.3.1", "PCI DSS 3.5.1")
def test_no_secret_is_in_the_database(billing: Session, ground: Ground, card: Card) -> None:
    """No key, webhook secret, card number or card code can be read in any column of any table."""
    if not ground.database_url:
        pytest.skip("the profile names no database_url_env under [evidence], or it is not set")
    tenant = settled_tenant(billing)
    _misuse_keys(billing, tenant)
    _send_card(billing, tenant, card)
    secrets = _keys(billing) | {ground.webhook_secret or ""} - {""}
    places = {
        f"{what} in {place}"
        for place, text in stored_texts(ground.database_url)
        for what in (
            *card.found_in(text),
            *("a secret" for secret in secrets if holds(text, secret)),
        )
    }
    assert not places, f"whoever has the database reads {', '.join(sorted(places))}"


@pytest.mark.requirement("BH-6", "CWE-89", "ASVS 5.0 V1.2.4", "PCI DSS 6.2.4")
def test_a_filter_is_a_value_and_never_sql(billing: Session) -> None:
    """SQL in a filter, a sort or any parameter of a list is a value like others, or refused."""
    lists = [name for name in billing.target.operations if OPERATIONS[name].lists]
    if not lists:
        pytest.skip("the target maps no list")
    for operation in lists:
        customer = stranger(billing)
        for parameter, true, false in _injections(billing, operation):
            whole, none = (
                _told(billing, operation, customer, parameter, text) for text in (true, false)
            )
            assert whole[0] < BROKEN_FROM, (
                f"{operation} breaks over SQL in the parameter {parameter}: {whole[0]}"
            )
            assert whole == none, (
                f"{operation} runs SQL that a client writes into the parameter {parameter}:"
                f" {true!r} and {false!r} are answered differently"
            )


def _told(
    billing: Session, operation: str, customer: Customer, parameter: str, text: str
) -> tuple[int, str | None, object]:
    outcome = billing.perform(operation, customer=customer, alter=asking(parameter, text))
    reply = billing.last_reply
    status = reply.status if isinstance(reply, Reply) else 0
    if status == TOO_MANY:
        raise Unknown(f"a limit ended the requests before everything was tried on {operation}")
    return status, outcome.code, outcome.get("items")


def _injections(billing: Session, operation: str) -> Iterator[tuple[str, str, str]]:
    """Give parameters with two texts each; the fields of a list may be what it is filtered by."""
    items = billing.target.profile.operations[operation].items
    sources: Mapping[str, str] = items.reply if items else {}
    fields = sorted({name for name in sources.values() if re.fullmatch(r"\w+", name)})
    for pair in INJECTED:
        for field in fields:
            yield field, *pair
            for colon in (":", "="):
                yield FILTERS[0], f"{field}{colon}{pair[0]}", f"{field}{colon}{pair[1]}"
    for parameter in FILTERS:
        for pair in (*INJECTED, *SORTED):
            yield parameter, *pair


@pytest.mark.requirement("BH-6", "CWE-89", "ASVS 5.0 V1.2.4", "PCI DSS 6.2.4")
def test_an_id_is_a_value_and_never_sql(billing: Session) -> None:
    """SQL in an id finds nothing, and nothing else than an id that nobody has."""
    tenant = settled_tenant(billing)
    for operation in aimed(billing, tenant):
        named = ids_in(billing.target.profile.operations[operation])
        for pair in INJECTED:
            answers = []
            for text in pair:
                ids = {**tenant.ids, **{name: f"{tenant.ids[name]}{text[2:]}" for name in named}}
                outcome = attempt(billing, operation, ids, tenant.customer, "customer")
                assert outcome.kind == "refused", f"{operation} was {outcome} with SQL in an id"
                answers.append(outcome)
            assert answers[0] == answers[1], (
                f"{operation} runs SQL that a client writes into an id: {pair} are"
                f" answered differently, {answers[0]} and {answers[1]}"
            )


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
    for operation in _told_by_clients(billing, tenant):
        said = _saying(billing, operation, text)
        attempt(billing, operation, tenant.ids, tenant.customer, "customer", said=said)
    lines = re.split(r"[\r\n]", _logged(log))
    assert not any(line.lstrip().startswith(forged) for line in lines), (
        "whoever sends a request writes lines of his own into the log"
    )
