"""Bad input at the door: bodies, headers, keys, addresses; and what fuzzing has found."""

import base64
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stripe_sim.breaking import charged, pay
from tests.stripe_sim.conftest import KEY, Account
from tests.stripe_sim.fuzzing import snapshot
from tests.stripe_sim.stories import subscribe

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(autouse=True)
def nothing_changes(request: pytest.FixtureRequest, account: Account) -> Iterator[None]:
    """Hold every test of an empty account to it: the state is as it was."""
    before = snapshot(account.simulator)
    yield
    if "late" not in request.node.name:
        assert snapshot(account.simulator) == before


def refused(answer: Any, status: int, **error: str | None) -> None:
    """Hold an answer against Stripe's error object."""
    assert answer.status_code == status, answer.text
    told = answer.json()["error"]
    assert told["type"] == "invalid_request_error"
    assert told["message"]
    assert answer.headers["request-id"] in told["request_log_url"]
    for name, value in error.items():
        assert told.get(name) == value


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe", b"email=%FF%FE", b"[a]=1", b"a[=1", b"a]=1", b"a[b]c=1",
        b"a[b][c][d][e][f][g][h][i]=1", b"email=a&email[b]=c", b"metadata[a]=1&metadata[]=2",
        b"&".join(b"a%d=1" % n for n in range(3_000)),
        b"email[]=a", b"metadata=x", b"metadata[a][b]=1", b"expand=x", b"expand[0][a]=x",
        b"\x00=1", b"nonsense=1", b"email[a]=1", b"{}", b"=", b"a" * 10_000,
    ],
    ids=repr,
)  # fmt: skip
def test_malformed_forms(account: Account, body: bytes) -> None:
    """Each is a 400 that says so."""
    answer = account.raw.post("/v1/customers", content=body, headers={"Content-Type": FORM})
    refused(answer, 400)


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "text/plain", "x"])
def test_other_content_types(account: Account, kind: str) -> None:
    """The API reads forms; JSON is refused with a sentence about the content type."""
    answer = account.raw.post("/v1/customers", content=b'{"a": 1}', headers={"Content-Type": kind})
    refused(answer, 400)
    assert "content type" in answer.json()["error"]["message"]


@pytest.mark.parametrize("size", [1_000_001, 8_000_000])
def test_bodies_of_megabytes(account: Account, size: int) -> None:
    """They are not even read to the end."""
    body = b"description=" + b"x" * size
    answer = account.raw.post("/v1/customers", content=body, headers={"Content-Type": FORM})
    refused(answer, 413)


@pytest.mark.parametrize(
    "header",
    [
        None, "", "Bearer", "Basic", "Basic !!!", "Basic /w==", "Digest sk_test_1",
        "Bearer sk_live_1", "Bearer pk_test_1", "Bearer sk_test_", "Bearer sk_test_ä",
        "Bearer sk_test_1 x", "Bearer " + "x" * 5_000,
        "Basic " + base64.b64encode(b":sk_test_1").decode(),
    ],
)  # fmt: skip
def test_wrong_keys(account: Account, header: str | None) -> None:
    """401, and the key is never repeated whole."""
    headers = [] if header is None else [(b"Authorization", header.encode("latin-1"))]
    request = account.raw.build_request("GET", "/v1/customers", headers=headers)
    answer = account.raw.send(request, auth=None)
    refused(answer, 401)
    secret = (header or "").partition(" ")[2]
    assert len(secret) < 12 or secret not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1", 404),
        ("GET", "/", 404),
        ("GET", "/v1/nothing", 404),
        ("PUT", "/v1/customers", 404),
        ("PATCH", "/v1/customers/cus_x", 404),
        ("GET", "/v1/customers/cus_x/nothing", 404),
        ("GET", "/v2/core/events", 404),
        ("GET", "/v1/customers/%00", 404),
        ("GET", "/v1/customers/" + "x" * 5_000, 404),
        ("GET", "/v1/customers/%ff", 404),
    ],
)
def test_addresses_of_nothing(account: Account, method: str, path: str, status: int) -> None:
    """404 with the method and path, or with the id of nothing."""
    refused(account.raw.request(method, path), status)


AMOUNT = {"currency": "usd", "amount": "500"}
LONG = {"metadata[" + "k" * 41 + "]": "v"}


@pytest.mark.parametrize(
    ("path", "form", "error"),
    [
        ("subscriptions", {"customer": "price_x", "items[0][price]": "x"}, "customer missing"),
        ("payment_intents", AMOUNT | {"amount": "ten"}, "amount integer"),
        ("payment_intents", AMOUNT | {"amount": "-5"}, "amount integer"),
        ("payment_intents", AMOUNT | {"customer": "pm_card_visa"}, "customer missing"),
        ("payment_intents", {"currency": "usd"}, "amount absent"),
        ("payment_intents", AMOUNT | {"confirm": "yes"}, "confirm -"),
        ("customers", LONG, "metadata -"),
        ("customers", {"metadata[k]": "v" * 501}, "metadata[k] -"),
        ("invoices", {"customer": "cus_none"}, "customer missing"),
        ("refunds", {"charge": "cus_x"}, "charge missing"),
        ("customers", {"colour": "red"}, "colour unknown"),
        ("customers", {"preferred_locales[0]": ""}, "preferred_locales[0] empty"),
        ("products", {"name": "x", "images[]": ""}, "images[0] empty"),
    ],
)
def test_wrong_parameters(account: Account, path: str, form: dict[str, str], error: str) -> None:
    """Wrong types, ids of another kind, unknown and missing ones: param and code say which."""
    codes = {
        "missing": "resource_missing",
        "integer": "parameter_invalid_integer",
        "absent": "parameter_missing",
        "empty": "parameter_invalid_empty",
        "unknown": "parameter_unknown",
    }
    param, code = error.split()
    refused(account.raw.post(f"/v1/{path}", data=form), 400, param=param, code=codes.get(code))


def test_a_key_of_too_many_characters(account: Account) -> None:
    """255 is the limit; a longer one is refused before anything is done."""
    answer = pay(account, "k" * 256)
    refused(answer, 400)
    assert charged(account) == 0


def test_half_a_request_costs_nothing(account: Account) -> None:
    """A caller who stops in the middle of a body, and noise that is no HTTP, change nothing."""
    host, port = account.url.removeprefix("http://").split(":")
    head = (
        f"POST /v1/customers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: {FORM}\r\nContent-Length: 1000\r\n\r\nname=half"
    )
    for sent in (head.encode(), b"\x16\x03\x01\x00\xff" * 20, b"GET / HTTP/9.9\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(sent)
    assert account.raw.get("/v1/customers").json()["data"] == []


def test_many_bad_requests_at_once(account: Account) -> None:
    """Bad and good callers side by side: the good ones get their answers."""
    statuses: list[int] = []

    def bad() -> None:
        statuses.extend(
            account.raw.post("/v1/customers", data={"x": "1"}).status_code for _ in range(20)
        )

    threads = [threading.Thread(target=bad) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert account.raw.get("/v1/customers").status_code == 200
    for thread in threads:
        thread.join(20)
    assert statuses == [400] * 80


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("clock", b"[]"), ("clock", b"{"), ("clock", b'{"to": "x"}'), ("clock", b'{"to": 1}'),
        ("clock", b'{"to": 1e400}'), ("settle", b'{"deadline_s": -1}'), ("settle", b"\xff"),
        ("settle", b'{"deadline_s": 1e9}'), ("faults", b"[]"), ("faults", b'{"faults": {}}'),
        ("faults", b'{"kind": ["hold"]}'), ("faults", b"[" * 100_000),
        ("events/evt_x/resend", b'{"x": 1}'), ("settle", b" " * 5_000_000),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_bad_commands(account: Account, path: str, body: bytes) -> None:
    """The simulator's own API answers 400 with a sentence."""
    answer = account.raw.post(f"/simulator/{path}", content=body)
    assert answer.status_code == 400, answer.text
    assert len(answer.json()["error"]) > 10


def test_what_the_journal_is_asked_for(account: Account) -> None:
    """A filter that there is not is refused, so that a typing error never shows all."""
    answer = account.raw.get("/simulator/journal", params={"custmer": "cus_1"})
    assert answer.status_code == 400
    assert "known: customer" in answer.json()["error"]


LATE: dict[str, dict[str, str]] = {
    "invoiceitems": {"customer": "CUSTOMER", "amount": "5", "currency": "usd", "invoice": "PAID"},
    "payment_intents": AMOUNT | {"customer": "CUSTOMER", "confirm": "true"},
    "payment_methods/METHOD/detach": {"expand[]": "nonsense"},
    "products": {"name": "x", "expand[]": "nonsense"},
    "customers/CUSTOMER": {"name": "x", "metadata[a]": "1", "expand[]": "subscriptions.x"},
    "subscriptions/SUBSCRIPTION": {"metadata[a]": "1", "items[0][id]": "si_none"},
    "invoices/PAID/pay": {},
}


@pytest.mark.parametrize("path", LATE)
def test_what_is_refused_late_leaves_nothing(account: Account, path: str) -> None:
    """A request that has already changed and told things when it fails undoes all of it."""
    customer = account.customer()
    made = subscribe(account, customer, account.price())
    method = account.stripe.payment_methods.list({"customer": customer}).data[0].id
    known = {
        "CUSTOMER": customer,
        "METHOD": method,
        "PAID": str(made.latest_invoice),
        "SUBSCRIPTION": made.id,
    }
    form = {name: known.get(value, value) for name, value in LATE[path].items()}
    path = "/".join(known.get(part, part) for part in path.split("/"))
    before = snapshot(account.simulator)
    answer = account.raw.post(f"/v1/{path}", data=form)
    assert answer.status_code in {400, 404}, answer.text
    assert snapshot(account.simulator) == before
