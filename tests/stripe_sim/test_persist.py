"""``--store``: what was answered or sent survives the process, however it ends."""

import random
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulators.stripe.app import create_app
from simulators.stripe.persist import CannotStore, Persistence
from simulators.stripe.settings import Settings
from tests.stripe_sim.conftest import DAY_S, DEADLINE_S, KEY, TLS, Receiver
from tests.stripe_sim.test_server import COMMAND, served

OpenReceiver = Callable[..., Receiver]
PAYMENT = {"amount": "2500", "currency": "usd", "confirm": "true", "payment_method": "pm_card_visa"}


def client_of(url: str) -> httpx.Client:
    """Return a client of a served simulator."""
    return httpx.Client(base_url=url, auth=(KEY, ""), timeout=DEADLINE_S, verify=TLS)


def subscribed(client: httpx.Client) -> str:
    """Make a customer who pays monthly; return the subscription's id."""
    customer = client.post("/v1/customers", data={"payment_method": "pm_card_visa"}).json()["id"]
    method = client.get(f"/v1/customers/{customer}/payment_methods").json()["data"][0]["id"]
    product = client.post("/v1/products", data={"name": "P"}).json()["id"]
    form = {"product": product, "currency": "usd", "unit_amount": "900"}
    price = client.post("/v1/prices", data=form | {"recurring[interval]": "month"}).json()["id"]
    form = {"customer": customer, "items[0][price]": price, "default_payment_method": method}
    made: str = client.post("/v1/subscriptions", data=form).json()["id"]
    return made


LISTS = (
    "customers",
    "products",
    "prices",
    "subscriptions",
    "invoices",
    "payment_intents",
    "charges",
    "events",
    "webhook_endpoints",
    "balance_transactions",
    "invoice_payments",
)


def whole_state(client: httpx.Client) -> dict[str, Any]:
    """Return all that can be seen of an account."""
    state = {name: client.get(f"/v1/{name}?limit=100").json() for name in LISTS}
    for name in ("clock", "journal", "deliveries", "faults", "faults/log"):
        state[name] = client.get(f"/simulator/{name}").json()
    return state


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_account_goes_on_where_it_was(tmp_path: Path, number: signal.Signals) -> None:
    """Objects, events, time, journal, log and faults are the same; what falls due goes on."""
    arguments = ("--port", "0", "--clock", "still", "--store", str(tmp_path / "account"))
    with served(*arguments) as (process, url), client_of(url) as client:
        hook = {"url": "http://127.0.0.1:9/", "enabled_events[]": "invoice.paid"}
        client.post("/v1/webhook_endpoints", data=hook)
        subscription = subscribed(client)
        client.post("/simulator/faults", json={"kind": "rate_limit", "path": "/v1/refunds"})
        client.get("/v1/refunds")
        client.post("/simulator/settle")
        before = whole_state(client)
        process.send_signal(number)
        process.wait(DEADLINE_S)
    with served(*arguments) as (_, url), client_of(url) as client:
        assert whole_state(client) == before
        now = before["clock"]["now"]
        client.post("/simulator/clock", json={"to": now + 32 * DAY_S})
        invoices = client.get("/v1/invoices", params={"subscription": subscription}).json()["data"]
        assert [invoice["status"] for invoice in invoices] == ["paid", "paid"]
        assert client.get("/simulator/journal").json()["balances"] == {"usd": 1_800}
        ids = [each["id"] for name in LISTS for each in client.get(f"/v1/{name}").json()["data"]]
        assert len(set(ids)) == len(ids)


def test_a_key_is_remembered_across_a_kill(tmp_path: Path) -> None:
    """The retry of a request whose answer was lost gets that answer, and pays no second time."""
    arguments = ("--port", "0", "--store", str(tmp_path / "account"))
    headers = {"Idempotency-Key": "k"}
    with served(*arguments) as (process, url), client_of(url) as client:
        client.post("/simulator/faults", json={"kind": "reset"})
        with pytest.raises(httpx.ReadError):
            client.post("/v1/payment_intents", data=PAYMENT, headers=headers)
        process.kill()
        process.wait(DEADLINE_S)
    with served(*arguments) as (_, url), client_of(url) as client:
        again = client.post("/v1/payment_intents", data=PAYMENT, headers=headers)
        assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
        assert client.get("/simulator/journal").json()["balances"] == {"usd": 2_500}
        other = client.post("/v1/payment_intents", data=PAYMENT | {"amount": "1"}, headers=headers)
        assert other.json()["error"]["type"] == "idempotency_error"


def test_undelivered_webhooks_are_delivered_by_the_next_process(
    tmp_path: Path, open_receiver: OpenReceiver
) -> None:
    """What hung, what waits for a retry and what is held: each comes, signed as before."""
    arguments = ("--port", "0", "--clock", "still", "--store", str(tmp_path / "account"))
    hold = threading.Event()
    hanging, failing, holding = open_receiver(hold=hold), open_receiver(status=500), open_receiver()
    with served(*arguments) as (process, url), client_of(url) as client:
        ends = {}
        for receiver in (hanging, failing, holding):
            form = {"url": receiver.url, "enabled_events[]": "customer.created"}
            ends[receiver.url] = client.post("/v1/webhook_endpoints", data=form).json()["id"]
        fault = {"kind": "hold", "webhook_endpoint": ends[holding.url]}
        client.post("/simulator/faults", json=fault)
        client.post("/v1/customers")
        deadline = time.monotonic() + 10
        while not (hanging.received and client.get("/simulator/deliveries").json()["deliveries"]):
            assert time.monotonic() < deadline
        process.kill()
        process.wait(DEADLINE_S)
    hold.set()
    failing.status = 200
    with served(*arguments) as (_, url), client_of(url) as client:
        client.post("/simulator/settle", json={"deadline_s": 10})
        assert (len(hanging.received), len(failing.received)) == (2, 1)
        assert holding.received == []
        client.post("/simulator/faults/fault_1/release")
        now = client.get("/simulator/clock").json()["now"]
        client.post("/simulator/clock", json={"to": now + 600})
        client.post("/simulator/settle", json={"deadline_s": 10})
        assert (len(failing.received), len(holding.received)) == (2, 1)
        attempts = client.get("/simulator/deliveries").json()["deliveries"]
        assert sorted(line["attempt"] for line in attempts) == [1, 1, 1, 2]
        [event] = client.get("/v1/events").json()["data"]
        assert event["pending_webhooks"] == 0


def _pay_until_dead(url: str, answered: dict[str, str], stop: threading.Event) -> None:
    with client_of(url) as client:
        for index in range(10_000):
            if stop.is_set():
                return
            key = f"{threading.get_ident()}-{index}"
            try:
                answer = client.post(
                    "/v1/payment_intents", data=PAYMENT, headers={"Idempotency-Key": key}
                )
            except httpx.HTTPError:
                answered[key] = ""
                return
            answered[key] = answer.json()["id"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_at_any_moment_nothing_is_half_done(tmp_path: Path, seed: int) -> None:
    """After kill -9 under load: every answered payment is there, every key pays once."""
    arguments = ("--port", "0", "--store", str(tmp_path / "account"))
    answered: dict[str, str] = {}
    after_s = random.Random(seed).uniform(0.01, 0.4)  # noqa: S311 - repeatable on purpose
    with served(*arguments) as (process, url):
        stop = threading.Event()
        threads = [
            threading.Thread(target=_pay_until_dead, args=(url, answered, stop)) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 10
        while not answered and time.monotonic() < deadline:
            stop.wait(0.01)
        stop.wait(after_s)
        process.kill()
        process.wait(DEADLINE_S)
        stop.set()
        for thread in threads:
            thread.join(10)
    with served(*arguments) as (_, url), client_of(url) as client:
        for key, intent in answered.items():
            again = client.post(
                "/v1/payment_intents", data=PAYMENT, headers={"Idempotency-Key": key}
            )
            assert intent in {"", again.json()["id"]}
        journal = client.get("/simulator/journal").json()
        assert journal["balances"] == {"usd": 2_500 * len(answered)}
        keys = [entry["idempotency_key"] for entry in journal["entries"]]
        assert sorted(keys) == sorted(answered)


def test_two_processes_cannot_share_a_file(tmp_path: Path) -> None:
    """The second is told so in one sentence, with status 2."""
    arguments = ("--port", "0", "--store", str(tmp_path / "account"))
    with served(*arguments):
        second = subprocess.run(
            [*COMMAND, "serve", *arguments], capture_output=True, check=False, text=True
        )
    assert second.returncode == 2
    assert "is locked" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """Neither text nor another database nor a folder is touched."""
    text, other, nowhere = tmp_path / "text", tmp_path / "other.db", tmp_path / "no" / "file"
    text.write_text("hello, this is not a database, but long enough to be read as one" * 20)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    for path in (text, other, nowhere, tmp_path):
        with pytest.raises(CannotStore, match="cannot keep the account"):
            Persistence(path)
    assert text.read_text().startswith("hello")


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """It holds webhook secrets, so nobody else may read it, and it holds no API key."""
    path = tmp_path / "account"
    persistence = Persistence(path)
    app = create_app(Settings(seed=1), persistence=persistence)
    app.state.simulator.save()
    persistence.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_ids_go_on_and_never_repeat(tmp_path: Path) -> None:
    """Each start draws ids from a stream of its own; the same starts repeat."""

    def ids(path: Path) -> list[str]:
        made = []
        for _ in range(3):
            persistence = Persistence(path)
            app = create_app(Settings(seed=9, running=False), persistence=persistence)
            made.append(app.state.simulator.world.ids.new("cus"))
            app.state.simulator.save()
            persistence.close()
        return made

    first, second = ids(tmp_path / "a"), ids(tmp_path / "b")
    assert first == second
    assert len(set(first)) == 3
