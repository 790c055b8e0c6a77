"""Faults of deliveries: held, late, lost, doubled, out of order, too early, of another age."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import stripe

from harness.signing import verify
from simulators.stripe.app import create_app
from simulators.stripe.settings import Settings
from tests.stripe_sim.breaking import add_fault, fault_log
from tests.stripe_sim.conftest import KEY, Account, Receiver

OpenReceiver = Callable[..., Receiver]


@pytest.fixture
def receiver(account: Account, open_receiver: OpenReceiver) -> Receiver:
    """Return a receiver of everything."""
    receiver = open_receiver()
    account.stripe.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["*"]})
    return receiver


def names(receiver: Receiver) -> list[str]:
    """Return the names of the products that the received events are about, in order."""
    return [json.loads(body)["data"]["object"]["name"] for _, body in receiver.received]


def make_products(account: Account, *wanted: str) -> None:
    """Make products, each of which is an event."""
    for name in wanted:
        account.stripe.products.create({"name": name, "metadata": {"name": name}})


def test_what_is_held_comes_when_it_is_released(account: Account, receiver: Receiver) -> None:
    """Held: not delivered, still pending, told of; released: delivered, in the old order."""
    fault = add_fault(account, "hold", event_type="product.*", count=10)
    make_products(account, "a", "b")
    state = account.settle()
    assert (state["settled"], state["held_deliveries"]) == (True, 2)
    assert receiver.received == []
    pending = account.stripe.events.list({"delivery_success": False}).data
    assert [event.pending_webhooks for event in pending] == [1, 1]
    held = account.raw.get("/simulator/deliveries").json()["held"]
    assert {each["held_by"] for each in held} == {fault["id"]}
    released = account.raw.post(f"/simulator/faults/{fault['id']}/release").json()
    assert released == {"released": 2}
    account.settle()
    assert sorted(names(receiver)) == ["a", "b"]
    make_products(account, "c")
    assert account.raw.delete(f"/simulator/faults/{fault['id']}").json()["released"] == 1
    account.settle()
    assert account.stripe.events.list({"delivery_success": False}).data == []


def test_what_is_delayed_comes_in_virtual_time(account: Account, receiver: Receiver) -> None:
    """A delayed event is overtaken, and arrives once its time has come."""
    add_fault(account, "delay", seconds=3_600, metadata={"name": "a"})
    make_products(account, "a", "b")
    account.settle()
    assert names(receiver) == ["b"]
    account.advance(account.now + 3_599)
    assert names(receiver) == ["b"]
    account.advance(account.now + 1)
    assert names(receiver) == ["b", "a"]
    assert [line["attempt"] for line in account.deliveries()] == [1, 1]


def test_what_is_dropped_never_comes_and_is_found(account: Account, receiver: Receiver) -> None:
    """A lost event is on the log and among the undelivered, and can be sent again by hand."""
    add_fault(account, "drop")
    make_products(account, "a")
    account.advance(account.now + 86_400)
    assert receiver.received == []
    [line] = account.deliveries()
    assert (line["error"], line["delivered"], line["next_retry_at"]) == ("dropped", False, None)
    [lost] = account.stripe.events.list({"delivery_success": False}).data
    account.raw.post(f"/simulator/events/{lost.id}/resend").raise_for_status()
    account.settle()
    assert names(receiver) == ["a"]
    assert account.stripe.events.retrieve(lost.id).pending_webhooks == 0


def test_duplicates_are_the_same_event(account: Account, receiver: Receiver) -> None:
    """The same id and body come again, at once or later, each signed; pending counts once."""
    add_fault(account, "duplicate", times=2, metadata={"name": "a"})
    add_fault(account, "duplicate", times=1, seconds=60, metadata={"name": "b"})
    make_products(account, "a", "b")
    account.settle()
    assert sorted(names(receiver)) == ["a", "a", "a", "b"]
    account.advance(account.now + 60)
    assert len({body for _, body in receiver.received}) == 2
    assert names(receiver)[4] == "b"
    assert account.stripe.events.list({"delivery_success": False}).data == []


def test_twins_are_two_events_of_one_fact(account: Account, receiver: Receiver) -> None:
    """Two ids, one object: both are listed, both are delivered."""
    add_fault(account, "twin", event_type="product.created")
    make_products(account, "a")
    account.settle()
    events = [json.loads(body) for _, body in receiver.received]
    assert len({event["id"] for event in events}) == 2
    assert events[0]["data"] == events[1]["data"]
    listed = account.stripe.events.list().data
    assert {event.id for event in listed} == {event["id"] for event in events}
    assert {event.pending_webhooks for event in listed} == {0}


def test_a_reordered_group_leaves_in_another_order(account: Account, receiver: Receiver) -> None:
    """Three are gathered and sent one by one in an order that is on record and is not theirs."""
    add_fault(account, "reorder", size=3, within_s=20)
    make_products(account, "a", "b", "c", "d")
    account.settle()
    order = fault_log(account)[0]["order"]
    arrived = [json.loads(body)["id"] for _, body in receiver.received]
    assert [event for event in arrived if event in order] == order
    rest = [name for name in names(receiver) if name != "d"]
    assert sorted(rest) == ["a", "b", "c"]
    assert rest != ["a", "b", "c"]


def test_a_group_that_never_fills_leaves_in_the_end(account: Account, receiver: Receiver) -> None:
    """What was gathered leaves after ``within_s``, so settling never waits for ever."""
    add_fault(account, "reorder", size=5, within_s=0.1)
    make_products(account, "a", "b")
    assert account.settle()["settled"]
    assert names(receiver) == ["b", "a"]


def test_a_burst_comes_at_once(account: Account, open_receiver: OpenReceiver) -> None:
    """All of a burst are on the way at the same time, on more connections than usual."""
    hold = threading.Event()
    receiver = open_receiver(hold=hold)
    account.stripe.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["*"]})
    add_fault(account, "burst", size=10, within_s=20)
    make_products(account, *"abcdefghij")
    deadline = time.monotonic() + 10
    while len(receiver.received) < 10 and time.monotonic() < deadline:
        account.raw.post("/simulator/settle", json={"deadline_s": 0.1})
    assert sorted(names(receiver)) == list("abcdefghij")
    hold.set()


def test_a_webhook_can_come_before_the_answer(account: Account, receiver: Receiver) -> None:
    """The API's answer waits until the event has been delivered."""
    add_fault(account, "before_answer", event_type="product.created")
    make_products(account, "a")
    assert names(receiver) == ["a"]


def test_an_answer_does_not_wait_for_ever(account: Account, open_receiver: OpenReceiver) -> None:
    """When the receiver hangs, the answer comes after ``deadline_s``."""
    hold = threading.Event()
    receiver = open_receiver(hold=hold)
    account.stripe.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["*"]})
    add_fault(account, "before_answer", deadline_s=0.2)
    make_products(account, "a")
    hold.set()


def test_an_event_of_an_old_version(account: Account, receiver: Receiver) -> None:
    """A fault can send single events as an endpoint of another version would get them."""
    add_fault(account, "api_version", version="2024-06-20", event_type="customer.subscription.*")
    account.stripe.subscriptions.create(
        {"customer": account.customer(), "items": [{"price": account.price()}]}
    )
    account.settle()
    bodies = [json.loads(body) for _, body in receiver.received]
    [old] = [event for event in bodies if event["api_version"] == "2024-06-20"]
    assert old["type"] == "customer.subscription.created"
    assert "current_period_end" in old["data"]["object"]


def test_deliveries_are_chosen_by_endpoint_object_and_request(
    account: Account, open_receiver: OpenReceiver
) -> None:
    """Endpoint, object, customer, and the request that caused the event all select."""
    ends = []
    for _ in range(2):
        receiver = open_receiver()
        params: Any = {"url": receiver.url, "enabled_events": ["customer.created"]}
        ends.append((receiver, account.stripe.webhook_endpoints.create(params).id))
    add_fault(account, "drop", webhook_endpoint=ends[0][1], path="/v1/customers", count=9)
    add_fault(account, "drop", idempotency_key="mine", count=9)
    add_fault(account, "drop", object="cus_*", body={"name": "x?"}, count=9)
    for name, key in (("a", "theirs"), ("b", "mine"), ("xx", "other")):
        headers = {"Idempotency-Key": key}
        account.raw.post("/v1/customers", data={"name": name}, headers=headers)
    account.settle()
    assert [names(receiver) for receiver, _ in ends] == [[], ["a"]]
    [line] = [line for line in fault_log(account) if line["fault"] == "fault_2"][:1]
    assert (line["event_type"], line["idempotency_key"]) == ("customer.created", "mine")


def story(seed: int) -> list[dict[str, Any]]:
    """Return the record of what a seed's faults do to one story, without a receiver."""

    async def run() -> list[dict[str, Any]]:
        app = create_app(Settings(seed=seed, running=False), wall=lambda: 1_800_000_000.0)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://s", auth=(KEY, "")
        ) as client:
            hook = {"url": "http://127.0.0.1:9/", "enabled_events[]": "*"}
            await client.post("/v1/webhook_endpoints", data=hook)
            for kind in ("drop", "duplicate", "twin", "hold"):
                await client.post("/simulator/faults", json={"kind": kind, "rate": 0.3})
            await client.post("/simulator/faults", json={"kind": "error", "rate": 0.2})
            for _ in range(20):
                await client.post("/v1/products", data={"name": "x"})
            await app.state.simulator.deliverer.close()
            log: list[dict[str, Any]] = (await client.get("/simulator/faults/log")).json()["log"]
            return log

    return asyncio.run(run())


def test_a_seed_repeats_what_happens_to_deliveries() -> None:
    """The same seed and calls give the same record, ids included; another seed another."""
    first = story(1)
    assert first == story(1)
    assert first != story(2)
    assert {line["kind"] for line in first} == {"drop", "duplicate", "twin", "hold", "error"}


def test_faulty_deliveries_still_verify(account: Account, open_receiver: OpenReceiver) -> None:
    """Whatever happens on the way, what arrives is signed and whole."""
    receiver = open_receiver()
    endpoint = account.stripe.webhook_endpoints.create(
        {"url": receiver.url, "enabled_events": ["*"]}
    )
    for kind in ("duplicate", "twin", "reorder", "delay"):
        add_fault(account, kind, rate=0.5, seed=1)
    make_products(account, *"abcdef")
    account.advance(account.now + 120)
    for headers, body in receiver.received:
        verify(body, headers["stripe-signature"], str(endpoint.secret))
        assert stripe.Webhook.construct_event(
            body, headers["stripe-signature"], str(endpoint.secret)
        )
    assert set(names(receiver)) == set("abcdef")
