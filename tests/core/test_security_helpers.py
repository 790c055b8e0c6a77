"""The judging helpers of the security suite: what they find, and what they leave alone."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import threading
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from harness.target.wire import Call
from suites.security.canaries import Card, card_numbers_in, check_digit, new_card, new_cards
from suites.security.leftovers import places_of
from suites.security.listening import listening
from suites.security.payloads import payloads
from suites.security.places import _leaves, _rewritten
from suites.security.ranks import slower
from suites.security.tls import certificate_error, speaks
from suites.security.wire import Wire, request_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FORMS: dict[str, Callable[[str], str]] = {
    "plain": lambda number: f"paid by {number}.",
    "in groups": lambda number: f"{number[:4]} {number[4:8]}-{number[8:]}",
    "dotted": ".".join,
    "percent-encoded spaces": lambda number: f"{number[:4]}%20{number[4:]}",
    "percent-encoded": lambda number: "".join(f"%{ord(digit):02X}" for digit in number),
    "a JSON number": lambda number: json.dumps({"n": int(number)}),
    "base64": lambda number: base64.b64encode(number.encode()).decode(),
    "base64 behind other text": lambda number: base64.b64encode(f"a {number} b".encode()).decode(),
    "hexadecimal": lambda number: number.encode().hex(),
    "a hash": lambda number: hashlib.sha256(number.encode()).hexdigest(),
    "in a query": lambda number: f"GET /x?card={quote(number)}",
}


def seeded(seed: int) -> Random:
    """Give choices that repeat."""
    return Random(seed)  # noqa: S311  # repeatable by design


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("number", range(8))
def test_a_card_is_found_however_it_is_written(number: int, form: str) -> None:
    """A card of any scheme is found in each form; another card beside it is not."""
    card = new_cards(seeded(number))[number]
    other = new_card(seeded(number + 100), "visa")
    assert card.found_in(FORMS[form](card.number))
    assert not card.found_in(FORMS[form](other.number))


@given(st.integers(0, 10**9))
def test_a_cards_code_is_found_by_its_name_alone(seed: int) -> None:
    """Four digits are a card code where a field says so, and otherwise a number like others."""
    card = new_card(seeded(seed))
    assert card.found_in(f'{{"cvc": "{card.code}"}}') == ["the card code"]
    assert card.found_in(f"CVV2={card.code}") == ["the card code"]
    assert card.found_in(f"order {card.code} of 2026") == []


@given(st.integers(0, 10**9))
def test_what_looks_like_a_card_number_is_found(seed: int) -> None:
    """Whatever an issuer could have made is found alone or grouped, and not inside a word."""
    for card in new_cards(seeded(seed)):
        assert card_numbers_in(f"x {card.number} y") == [card.number]
        assert card_numbers_in(f"x {card.spellings()[1]} y") == [card.number]
        assert card_numbers_in(f"id_{card.number}") == []
        assert card_numbers_in(card.mistyped().number) == []


def test_no_ordinary_number_is_taken_for_a_card() -> None:
    """Timestamps, amounts and counters are left alone."""
    text = (
        "1763734747 1763734747868 1763734747868133 999999999999 20261121141907868 0000000000000000"
    )
    assert card_numbers_in(text) == []


def test_the_check_digit_is_luhns() -> None:
    """The digit is the one that issuers put, as in Stripe's own test cards."""
    published = ("4242424242424242", "378282246310005")  # scan: allow(Stripe's test cards)
    for number in published:
        assert check_digit(number[:-1]) == number[-1]


def test_a_place_is_said_where_something_is_stored() -> None:
    """Each table and column is named once, and nothing where nothing is found."""
    card = Card("4242424242424242", "7371")
    values = [("a.b", "x"), ("a.c", "4242 4242 4242 4242"), ("a.c", card.number)]
    assert places_of(card.found_in, values) == ["the card number in a.c"]
    assert places_of(card.found_in, values[:1]) == []


NOISE = st.floats(0.001, 1.0, allow_nan=False)


@given(st.lists(NOISE, min_size=10, max_size=20), st.randoms(use_true_random=False))
def test_what_always_takes_longer_is_slower(fast: list[float], choices: Random) -> None:
    """A delay that is added to each is seen, however much the times vary otherwise."""
    assert slower([time_s + 0.2 + choices.random() for time_s in fast], fast)
    assert not slower(fast, [time_s + 0.2 for time_s in fast])


def test_noise_is_not_slower() -> None:
    """Of a thousand pairs of the same kind hardly one is called slower."""
    choices = seeded(20261121)
    called = sum(
        slower([choices.random() for _ in range(12)], [choices.random() for _ in range(12)])
        for _ in range(1000)
    )
    assert called <= 5


def test_too_few_pairs_tell_nothing() -> None:
    """Fewer than ten pairs are refused, for no order of them would be unlikely enough."""
    with pytest.raises(ValueError, match="pairs"):
        slower([1.0] * 9, [0.5] * 9)


def test_a_listener_remembers_who_called() -> None:
    """Whoever connects is remembered by what they asked for; without a caller nobody is."""
    with listening() as listener:
        assert not listener.called_within(0)
        host, _, port = listener.address.partition(":")
        with socket.create_connection((host, int(port))) as caller:
            caller.sendall(b"GET /mark HTTP/1.0\r\n\r\n")
        assert listener.called_within(5)
        assert listener.calls == ["GET /mark HTTP/1.0"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))


JSON = Call("POST", "/x", body=b'{"a": {"b": ["c", 1]}, "d": "e"}')
FORM_TYPE = (("Content-Type", "application/x-www-form-urlencoded"),)
FORM = Call("POST", "/x", headers=FORM_TYPE, body=b"a%5Bb%5D=c")


def test_every_text_of_a_body_is_a_place() -> None:
    """Texts are found at any depth, in JSON and in forms, and each is replaced alone."""
    assert dict(_leaves(JSON)) == {"a.b.0": "c", "d": "e"}
    assert json.loads(_rewritten(JSON, "a.b.0", 42)) == {"a": {"b": [42, 1]}, "d": "e"}
    assert dict(_leaves(FORM)) == {"a[b]": "c"}
    assert _rewritten(FORM, "a[b]", "x y") == b"a%5Bb%5D=x+y"


@pytest.mark.parametrize("name", ["cards", "sql", "platform"])
def test_payloads_are_data_that_can_be_read(name: str) -> None:
    """Each file of payloads is there and has something in it."""
    assert payloads(name)


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """Run a server of TLS 1.2 and 1.3 with a certificate that nobody signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(moment)
        .not_valid_after(moment.replace(year=2046))
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_shake_hands, args=(server, context), daemon=True)
        thread.start()
        yield server.getsockname()[:2]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def _shake_hands(server: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            caller, _ = server.accept()
        except OSError:
            return
        try:
            context.wrap_socket(caller, server_side=True).close()
        except OSError:
            caller.close()


def test_tls_is_judged_by_what_is_spoken_and_who_signed(tls_server: tuple[str, int]) -> None:
    """TLS 1.2 and 1.3 are seen to be spoken, 1.1 is not, and nobody trusts the certificate."""
    assert speaks(*tls_server, ssl.TLSVersion.TLSv1_2)
    assert speaks(*tls_server, ssl.TLSVersion.TLSv1_3)
    assert not speaks(*tls_server, ssl.TLSVersion.TLSv1_1)
    error = certificate_error(*tls_server) or ""
    assert "self" in error, error


def test_nothing_is_spoken_where_nobody_listens() -> None:
    """A closed port speaks no TLS, and the reason is said."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert not speaks("127.0.0.1", port, ssl.TLSVersion.TLSv1_3)
    assert certificate_error("127.0.0.1", port)


def test_answers_are_read_one_by_one() -> None:
    """Two answers in one piece are two; a closed connection is an answer of status 0."""
    both = b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nnoHTTP/1.1 200 OK\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            caller, _ = server.accept()
            with caller:
                caller.recv(4096)
                caller.sendall(both)

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        with Wire(f"http://127.0.0.1:{port}") as wire:
            first = wire.ask(request_bytes("GET", "/", wire.host))
            assert (first.status, first.body) == (404, b"no")
            assert (wire.answer().status, wire.answer().status) == (200, 0)
        thread.join(5)
