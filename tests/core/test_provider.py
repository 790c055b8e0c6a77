from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from harness import provider
from harness.errors import ProviderError
from harness.provider import (
    Journal,
    Movement,
    SimulatorProvider,
    StripeProvider,
    provider_of,
)
from harness.target.profile import PaymentProvider
from tests.core.test_transport import Server

if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import Callable, Iterator

KEY = "sk_test_of_the_provider"
DEADLINE_S = 30


@pytest.fixture(scope="module")
def simulator() -> Iterator[httpx.Client]:
    """Give a client of a Stripe simulator of this module's own."""
    command = [sys.executable, "-m", "simulators.stripe", "serve", "--port", "0", "--seed", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = json.loads(process.stdout.readline())["url"]
            with httpx.Client(base_url=url, auth=(KEY, ""), timeout=DEADLINE_S) as client:
                yield client
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


@pytest.fixture(scope="module")
def customers(simulator: httpx.Client) -> list[str]:
    """Give two customers between whom every kind of movement has happened."""
    first, second = (_customer(simulator, card) for card in ("pm_card_visa", "pm_card_mastercard"))
    for amount in (500, 700, 900):
        _pay(simulator, first, amount)
    charge = _pay(simulator, second, 1200, usage="u7")
    _post(simulator, "refunds", charge=charge, amount=300)
    _post(simulator, "refunds", charge=charge, amount=200)
    product = _post(simulator, "products", name="Pro")["id"]
    price = {"product": product, "currency": "usd", "unit_amount": 4900}
    price_id = _post(simulator, "prices", **price, **{"recurring[interval]": "month"})["id"]
    _post(simulator, "subscriptions", customer=second, **{"items[0][price]": price_id})
    declining = _post(
        simulator, "payment_methods/pm_card_chargeCustomerFail/attach", customer=first
    )
    refused = simulator.post("/v1/payment_intents", data=_intent(first, 100, declining["id"]))
    assert refused.status_code == 402
    return [first, second]


def _post(client: httpx.Client, path: str, **data: object) -> dict[str, Any]:
    answer = client.post(f"/v1/{path}", data=data)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _customer(client: httpx.Client, card: str) -> str:
    customer: str = _post(client, "customers", email="a@example.com")["id"]
    method = _post(client, f"payment_methods/{card}/attach", customer=customer)["id"]
    chosen = {"invoice_settings[default_payment_method]": method}
    _post(client, f"customers/{customer}", **chosen)
    return customer


def _intent(customer: str, amount: int, method: str) -> dict[str, object]:
    return {
        "customer": customer,
        "amount": amount,
        "currency": "usd",
        "payment_method": method,
        "confirm": "true",
        "off_session": "true",
    }


def _pay(client: httpx.Client, customer: str, amount: int, **metadata: str) -> str:
    found = client.get("/v1/payment_methods", params={"customer": customer}).json()
    named = {f"metadata[{name}]": value for name, value in metadata.items()}
    intent = _post(
        client, "payment_intents", **_intent(customer, amount, found["data"][0]["id"]), **named
    )
    charge: str = intent["latest_charge"]
    return charge


def _as_stripe_tells(journal: Journal) -> list[Movement]:
    """Give movements in one order, without what only the simulator knows."""
    shown = [replace(movement, idempotency_key=None) for movement in journal.movements]
    return sorted(shown, key=lambda movement: movement.provider_id)


def _stripe(client: httpx.Client) -> StripeProvider:
    return StripeProvider(KEY, str(client.base_url))


def test_journal_and_stripes_own_api_agree(
    simulator: httpx.Client, customers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Charges and refunds are the same by either reader, page by page, invoices included."""
    monkeypatch.setattr(provider, "_PAGE_ITEMS", 2)
    wanted = frozenset(customers)
    journal = SimulatorProvider(str(simulator.base_url)).journal(wanted)
    assert _as_stripe_tells(_stripe(simulator).journal(wanted)) == _as_stripe_tells(journal)
    told = sorted((m.type, m.amount_minor, m.state) for m in journal.movements)
    assert told == [
        ("charge", 100, "failed"),
        ("charge", 500, "succeeded"),
        ("charge", 700, "succeeded"),
        ("charge", 900, "succeeded"),
        ("charge", 1200, "succeeded"),
        ("charge", 4900, "succeeded"),
        ("refund", -300, "succeeded"),
        ("refund", -200, "succeeded"),
    ]
    assert [m.amount_minor for m in journal.movements if m.invoice] == [4900]


def test_only_the_customers_asked_for_are_told(
    simulator: httpx.Client, customers: list[str]
) -> None:
    """A journal is of some customers; others on the same account do not show."""
    for reader in (SimulatorProvider(str(simulator.base_url)), _stripe(simulator)):
        journal = reader.journal(frozenset({customers[1]}))
        assert {movement.customer for movement in journal.movements} == {customers[1]}
        assert len(journal.of(customers[1])) == len(journal.movements) == 4
        assert reader.journal(frozenset()).movements == ()


def test_events_of_one_customer_are_read(simulator: httpx.Client, customers: list[str]) -> None:
    """The events of a type that concern a customer, and no other's."""
    for reader in (SimulatorProvider(str(simulator.base_url)), _stripe(simulator)):
        assert len(reader.events(customers[0], "charge.succeeded")) == 3
        assert len(reader.events(customers[1], "invoice.paid")) == 1
        assert reader.events(customers[0], "invoice.paid") == []


def test_only_the_simulator_can_tell_that_all_is_delivered(simulator: httpx.Client) -> None:
    """The simulator waits for its webhooks; Stripe does not say."""
    assert SimulatorProvider(str(simulator.base_url)).settle(5.0) is True
    assert _stripe(simulator).settle(5.0) is None


def test_a_wait_may_be_longer_than_the_simulator_waits(simulator: httpx.Client) -> None:
    """Ten thousand renewals take longer than one request for them may."""
    found = SimulatorProvider(str(simulator.base_url))
    assert found.settle(5000.0) is True
    assert found.advance(found.now() + 60, 5000.0) is True


def test_a_long_wait_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has not settled within one request is waited for by another, until the deadline."""
    asked: list[float] = []

    def ask(*_: object, json: dict[str, float], **__: object) -> dict[str, bool]:
        asked.append(json["deadline_s"])
        return {"settled": len(asked) == 3}

    monkeypatch.setattr(provider, "_ask", ask)
    assert SimulatorProvider("http://simulator.test").settle(5000.0) is True
    assert asked == [300.0, 300.0, 300.0]
    asked[:] = []
    assert SimulatorProvider("http://simulator.test").settle(200.0) is False
    assert asked == [pytest.approx(200.0, abs=5)]


def test_a_wrong_key_is_told_with_a_way_on(simulator: httpx.Client) -> None:
    """A key that Stripe turns away is an error that names the answer and the key's place."""
    with pytest.raises(ProviderError, match="401") as caught:
        StripeProvider("no-key", str(simulator.base_url)).journal(frozenset({"cus_1"}))
    assert "stripe_key_env" in (caught.value.hint or "")
    assert "no-key" not in caught.value.message


def _answering(body: bytes) -> Callable[[socket.socket, threading.Event], None]:
    def talk(connection: socket.socket, _over: threading.Event) -> None:
        length = str(len(body)).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: " + length + b"\r\n\r\n" + body)

    return talk


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b"5", b'{"entries":[{}],"data":[{}]}'])
def test_an_answer_that_is_not_the_providers_is_an_error(body: bytes) -> None:
    """Whatever else answers at the address is told so, and never read as an empty journal."""
    server = Server(_answering(body))
    try:
        for reader in (SimulatorProvider(server.url), StripeProvider(KEY, server.url)):
            with pytest.raises(ProviderError, match="payment provider") as caught:
                reader.journal(frozenset({"cus_1"}))
            assert caught.value.hint
            with pytest.raises(ProviderError):
                reader.events("cus_1", "invoice.paid")
    finally:
        server.stop()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nowhere", "http://[::1", "ftp://x"])
def test_a_dead_address_is_told_with_a_way_on(url: str) -> None:
    """An address that answers nothing, or is none, is an error with a hint."""
    for reader in (SimulatorProvider(url), StripeProvider(KEY, url)):
        with pytest.raises(ProviderError, match="did not answer") as caught:
            reader.journal(frozenset({"cus_1"}))
        assert "[payment_provider]" in (caught.value.hint or "")


def test_a_profile_names_its_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulator's address or a test key makes a reader; nothing makes none."""
    monkeypatch.setenv("SOME_KEY", KEY)
    assert provider_of(None) is None
    assert provider_of(PaymentProvider()) is None
    assert isinstance(provider_of(PaymentProvider(simulator="http://x")), SimulatorProvider)
    assert isinstance(provider_of(PaymentProvider(stripe_key_env="SOME_KEY")), StripeProvider)


@pytest.mark.parametrize("key", ["sk_" + "live_1", "rk_" + "live_1", "pk_test_1", "whatever", ""])
def test_no_key_but_of_test_mode_is_used(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A live key, a key of another kind or none is refused, and not repeated."""
    monkeypatch.setenv("SOME_KEY", key)
    with pytest.raises(ProviderError, match="SOME_KEY") as caught:
        provider_of(PaymentProvider(stripe_key_env="SOME_KEY"))
    assert caught.value.hint
    assert not key or key not in str(caught.value)
