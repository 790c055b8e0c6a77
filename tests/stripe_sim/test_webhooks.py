"""Events and their delivery: signatures, filters, retries, receivers that misbehave."""

import json
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import stripe

from harness.signing import verify
from simulators.stripe.settings import Settings
from simulators.webhooks.delivery import DeliverySettings
from tests.stripe_sim.conftest import DAY_S, DEADLINE_S, Account, Receiver, eventually

OpenReceiver = Callable[..., Receiver]
OpenAccount = Callable[..., Account]


def listen(account: Account, receiver: Receiver, *types: Any) -> stripe.WebhookEndpoint:
    """Make an endpoint of a receiver, for these event types or for all."""
    return account.stripe.webhook_endpoints.create(
        {"url": receiver.url, "enabled_events": list(types) or ["*"]}
    )


def test_a_delivery_verifies_with_the_official_package(
    account: Account, open_receiver: OpenReceiver
) -> None:
    """What arrives is the event, signed with the secret that creating the endpoint told."""
    receiver = open_receiver()
    endpoint = listen(account, receiver)
    customer = account.stripe.customers.create({"name": "Zoë"})
    account.settle()
    [(headers, body)] = receiver.received
    event = stripe.Webhook.construct_event(body, headers["stripe-signature"], endpoint.secret)
    assert (event.type, event.data.object["id"]) == ("customer.created", customer.id)
    assert event.request is not None
    assert event.request.idempotency_key is not None
    assert account.stripe.events.retrieve(event.id).pending_webhooks == 0
    assert headers["content-type"].startswith("application/json")


def test_the_secret_is_told_once(account: Account, open_receiver: OpenReceiver) -> None:
    """Only the answer to creating an endpoint holds its secret."""
    endpoint = listen(account, open_receiver())
    assert str(endpoint.secret).startswith("whsec_")
    assert "secret" not in account.stripe.webhook_endpoints.retrieve(endpoint.id)
    assert "secret" not in account.stripe.webhook_endpoints.list().data[0]


def test_endpoints_get_what_they_subscribe_to(
    account: Account, open_receiver: OpenReceiver
) -> None:
    """Each endpoint has its own filter and its own secret."""
    all_of_it, only_prices = open_receiver(), open_receiver()
    first, second = listen(account, all_of_it), listen(account, only_prices, "price.created")
    assert first.secret != second.secret
    account.price()
    account.settle()
    assert sorted(all_of_it.types) == ["plan.created", "price.created", "product.created"]
    assert only_prices.types == ["price.created"]
    headers, body = only_prices.received[0]
    verify(body, headers["stripe-signature"], str(second.secret))


@pytest.mark.parametrize("status", [302, 404, 500])
def test_any_status_but_2xx_is_tried_again_in_virtual_time(
    account: Account, open_receiver: OpenReceiver, status: int
) -> None:
    """Sandbox: three retries over some hours; each attempt is signed anew; then it is given up."""
    receiver = open_receiver(status=status, headers={"Location": "/elsewhere"})
    endpoint = listen(account, receiver)
    account.stripe.customers.create()
    state = account.settle()
    assert state["settled"] is True
    assert (state["pending_deliveries"], state["waiting_retries"]) == (0, 1)
    account.advance(account.now + DAY_S)
    log = account.deliveries()
    assert [line["attempt"] for line in log] == [1, 2, 3, 4]
    waits = [after["at"] - before["at"] for before, after in pairwise(log)]
    assert waits == [600, 3_600, 7_200]
    assert [line["status"] for line in log] == [status] * 4
    assert log[-1]["next_retry_at"] is None
    for headers, body in receiver.received:
        verify(body, headers["stripe-signature"], str(endpoint.secret))
    event = account.stripe.events.list({"delivery_success": False}).data[0]
    assert event.pending_webhooks == 1


def test_a_receiver_that_recovers_gets_the_same_event(
    account: Account, open_receiver: OpenReceiver
) -> None:
    """A retry carries the event as it was when it happened, not as things are now."""
    receiver = open_receiver(status=503)
    listen(account, receiver, "customer.created")
    customer = account.stripe.customers.create({"name": "before"})
    account.settle()
    account.stripe.customers.update(customer.id, {"name": "after"})
    receiver.status = 200
    account.advance(account.now + 600)
    first, second = (json.loads(body) for _, body in receiver.received)
    assert first == second
    assert second["data"]["object"]["name"] == "before"


def test_a_hanging_receiver_delays_nobody(
    open_account: OpenAccount, open_receiver: OpenReceiver
) -> None:
    """While one receiver holds every connection, another gets all its events."""
    delivery = DeliverySettings(timeout_s=DEADLINE_S, concurrency=2)
    account = open_account(Settings(seed=1, running=False, delivery=delivery))
    hold = threading.Event()
    hanging, healthy = open_receiver(hold=hold), open_receiver()
    listen(account, hanging)
    listen(account, healthy)
    for _ in range(6):
        account.stripe.customers.create()
    assert eventually(lambda: len(healthy.types) == 6)
    answer = account.raw.post("/simulator/settle", json={"deadline_s": 0}).json()
    assert not answer["settled"]
    assert answer["pending_deliveries"] >= 6
    hold.set()


def test_a_receiver_that_is_not_there(account: Account) -> None:
    """A refused connection and an address without a name are failures, and are logged."""
    for url in ("http://127.0.0.1:9/hook", "http://no-such-host.invalid/hook"):
        account.stripe.webhook_endpoints.create({"url": url, "enabled_events": ["*"]})
    account.stripe.customers.create()
    account.settle()
    log = account.deliveries()
    assert [line["status"] for line in log] == [0, 0]
    assert all(line["error"] and line["next_retry_at"] for line in log)


def test_a_disabled_or_deleted_endpoint_gets_nothing_more(
    account: Account, open_receiver: OpenReceiver
) -> None:
    """Disabled: nothing, not even a waiting retry; enabled again: what happens from then on."""
    receiver = open_receiver(status=500)
    endpoint = listen(account, receiver)
    account.stripe.customers.create()
    account.settle()
    account.stripe.webhook_endpoints.update(endpoint.id, {"disabled": True})
    account.stripe.customers.create()
    account.advance(account.now + DAY_S)
    assert len(receiver.received) == 1
    enabled = account.stripe.webhook_endpoints.update(endpoint.id, {"disabled": False})
    assert enabled.status == "enabled"
    account.stripe.products.create({"name": "x"})
    account.settle()
    assert receiver.types[1:] == ["product.created"]
    account.stripe.webhook_endpoints.delete(endpoint.id)
    account.stripe.products.create({"name": "y"})
    account.settle()
    assert len(receiver.received) == 2


def test_there_are_sixteen_endpoints_at_most(account: Account) -> None:
    """The seventeenth is refused; deleting one makes room."""
    params: Any = {"url": "https://example.com/hook", "enabled_events": ["*"]}
    made = [account.stripe.webhook_endpoints.create(params) for _ in range(16)]
    with pytest.raises(stripe.InvalidRequestError, match="maximum of 16"):
        account.stripe.webhook_endpoints.create(params)
    account.stripe.webhook_endpoints.delete(made[0].id)
    account.stripe.webhook_endpoints.create(params)


@pytest.mark.parametrize(
    "url", ["", "example.com/hook", "ftp://example.com", "http://", "http://[", "http://a..b/"]
)
def test_an_address_that_cannot_be_sent_to_is_refused(account: Account, url: str) -> None:
    """An endpoint needs an explicit http or https address."""
    answer = account.raw.post("/v1/webhook_endpoints", data={"url": url, "enabled_events[]": "*"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "url"


def test_a_receiver_can_act_within_a_drafts_hour(
    account: Account, open_receiver: OpenReceiver
) -> None:
    """While time moves on, an invoice's draft is told of before it is finalised."""
    receiver = open_receiver()
    listen(account, receiver, "invoice.created", "invoice.finalized")
    customer = account.customer()
    price = account.price()
    made = account.stripe.subscriptions.create({"customer": customer, "items": [{"price": price}]})
    account.settle()
    receiver.received.clear()
    items: Any = made["items"]
    account.advance(items.data[0].current_period_end + 2 * 3_600)
    assert receiver.types == ["invoice.created", "invoice.finalized"]
    created, finalized = (json.loads(body)["created"] for _, body in receiver.received)
    assert finalized - created == 3_600


def test_events_are_listed_by_type_and_kept_thirty_days(account: Account) -> None:
    """Events can be found by type, by several, by prefix; after thirty days they are gone."""
    account.price()
    events = account.stripe.events
    assert [e.type for e in events.list({"type": "price.created"}).data] == ["price.created"]
    both: Any = {"types": ["price.created", "product.created"]}
    assert len(events.list(both).data) == 2
    assert len(events.list({"type": "price.*"}).data) == 1
    account.advance(account.now + 31 * DAY_S)
    assert events.list().data == []
