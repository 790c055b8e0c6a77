"""Stripe's events: what is let in, that nothing let in is lost, and that each fact counts once."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, text
from sqlalchemy.event import listen
from stripe import WebhookSignature

from simulators.billing.http.webhooks import verify
from simulators.billing.problems import Rejection
from simulators.billing.storage.tables import WebhookEvent
from simulators.billing.worker import inbox
from simulators.billing.worker.loop import Worker
from tests.billing.running import WEBHOOK_SECRET

if TYPE_CHECKING:
    import httpx

    from tests.billing.conftest import Bench, Tenant
    from tests.billing.running import Service

PATH = "/api/webhooks/stripe"


def event(event_id: str, event_type: str = "customer.created", **found: Any) -> bytes:
    """Make an event's body."""
    obj = {"id": "cus_unknown", "object": "customer"} | found
    body = {"id": event_id, "object": "event", "type": event_type, "data": {"object": obj}}
    return json.dumps(body).encode()


def signed(body: bytes, secret: str = WEBHOOK_SECRET, at: int | None = None) -> str:
    """Sign as Stripe does."""
    header: str = WebhookSignature.generate_signature_header(body.decode(), secret, at)
    return header


def send(service: Service, body: bytes, header: str | bytes | None) -> httpx.Response:
    """Deliver a body."""
    told = header.encode("latin-1") if isinstance(header, str) else header
    headers = {} if told is None else {b"Stripe-Signature": told}
    with service.client() as http:
        return http.post(PATH, content=body, headers=headers)


def stored(service: Service, event_id: str) -> dict[str, Any] | None:
    """Look into the inbox."""
    engine = create_engine(service.env["BILLING_DATABASE_URL"])
    with engine.connect() as connection:
        query = text("SELECT * FROM webhook_events WHERE id = :id")
        row = connection.execute(query, {"id": event_id}).mappings().first()
    engine.dispose()
    return dict(row) if row else None


def test_a_signed_event_is_stored_before_it_is_acknowledged(service: Service) -> None:
    """A 200 means that the event is in the database."""
    body = event("evt_signed")
    reply = send(service, body, signed(body))
    assert (reply.status_code, reply.json()) == (200, {"received": True, "duplicate": False})
    row = stored(service, "evt_signed")
    assert row is not None
    assert (row["state"], row["reason"]) == ("ignored", "unknown_type")


def test_card_data_in_an_event_is_not_stored(service: Service) -> None:
    """What a merchant wrote at Stripe can hold a card number: it is taken out, the rest is kept."""
    told: dict[str, Any] = {
        "description": "by 4242 4242 4242 4242",
        "metadata": {"cvc": "737", "order": "o-1"},
    }
    body = event("evt_with_a_card", **told)
    assert send(service, body, signed(body)).status_code == 200
    row = stored(service, "evt_with_a_card")
    assert row is not None
    kept = json.loads(row["payload"])["data"]["object"]
    assert kept["description"] == "by [redacted]"
    assert kept["metadata"] == {"cvc": "[redacted]", "order": "o-1"}


def test_the_same_event_again_is_acknowledged_once_more(service: Service) -> None:
    """A duplicate is told so, and stored no second time."""
    body = event("evt_twice")
    replies = [send(service, body, signed(body)).json()["duplicate"] for _ in range(2)]
    assert replies == [False, True]


GOOD = event("evt_bad")
NOW = int(time.time())
SIGNATURE = signed(GOOD, at=NOW).rpartition("v1=")[2]


@pytest.mark.parametrize(
    ("body", "header"),
    [
        pytest.param(GOOD, None, id="no header"),
        pytest.param(GOOD, "", id="empty header"),
        pytest.param(GOOD, "nonsense", id="nonsense"),
        pytest.param(GOOD, signed(GOOD, "whsec_other"), id="wrong secret"),
        pytest.param(GOOD, signed(GOOD, at=NOW - 301), id="too old"),
        pytest.param(GOOD.replace(b"cus_", b"cuz_"), signed(GOOD), id="tampered"),
        pytest.param(GOOD, f"t={NOW},v0={SIGNATURE}", id="only v0"),
        pytest.param(GOOD, f"t={NOW + 1},v1={SIGNATURE}", id="another time"),
        pytest.param(GOOD, f"t=,v1={SIGNATURE}", id="no time"),
        pytest.param(GOOD, f"t={NOW},v1={SIGNATURE}é".encode("latin-1"), id="not ASCII"),
        pytest.param(b"\xff\xfe{}", f"t={NOW},v1={SIGNATURE}", id="not UTF-8"),
        pytest.param(b"", f"t={NOW},v1={SIGNATURE}", id="no body"),
    ],
)
def test_what_no_secret_signed_is_refused_and_not_stored(
    service: Service, body: bytes, header: str | bytes | None
) -> None:
    """Whatever the official verifier raises is a 400, and nothing reaches the inbox."""
    reply = send(service, body, header)
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid_signature")
    assert stored(service, "evt_bad") is None


def test_one_right_signature_among_wrong_ones_is_enough(service: Service) -> None:
    """During a rotation Stripe sends a signature for each secret."""
    body = event("evt_rotated")
    now = int(time.time())  # not NOW: that may be long past the tolerance of 300 s by now
    right = signed(body, at=now).rpartition("v1=")[2]
    assert send(service, body, f"t={now},v1={'0' * 64},v1={right}").status_code == 200


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"id": 1, "type": "x"}', b"null", b"7"])
def test_what_is_signed_and_no_event_is_refused(service: Service, body: bytes) -> None:
    """A right signature does not make an event of anything."""
    reply = send(service, body, signed(body))
    assert (reply.status_code, reply.json()["code"]) == (400, "malformed_event")


def test_an_event_about_nothing_that_stripe_has_is_put_aside(service: Service) -> None:
    """Even signed, an event moves nothing that Stripe does not confirm."""
    body = event("evt_fiction", "invoice.paid", id="in_fiction", customer="cus_fiction")
    assert send(service, body, signed(body)).status_code == 200
    service.drain()
    row = stored(service, "evt_fiction")
    assert row is not None
    assert (row["state"], row["reason"]) == ("ignored", "not_at_stripe")


def test_an_event_of_an_unknown_customer_is_kept(service: Service) -> None:
    """A customer of Stripe's that is not known here may become known; the event waits."""
    v1 = service.simulator.official().v1
    stranger = v1.customers.create({"email": "stranger@example.com"})
    v1.payment_methods.attach("pm_card_visa", {"customer": stranger.id})
    card = v1.payment_methods.list({"customer": stranger.id}).data[0].id
    product = v1.products.create({"name": "Of a stranger"})
    price = v1.prices.create(
        {
            "product": product.id,
            "currency": "usd",
            "unit_amount": 100,
            "recurring": {"interval": "month"},
        }
    ).id
    made = v1.subscriptions.create(
        {"customer": stranger.id, "items": [{"price": price}], "default_payment_method": card}
    )
    body = event("evt_stranger", "customer.subscription.created", id=made.id)
    assert send(service, body, signed(body)).status_code == 200
    service.drain()
    row = stored(service, "evt_stranger")
    assert row is not None
    assert (row["state"], row["reason"]) == ("waiting", "unknown_customer")
    v1.subscriptions.cancel(made.id)


def events_of(tenant: Tenant) -> list[tuple[str, bytes]]:
    """Give every event that Stripe has sent about a customer, as (type, body), oldest first."""
    listed = tenant.service.simulator.official().v1.events.list({"limit": 100})
    mine = [e for e in listed.data if tenant.stripe_id in str(e.data.object.to_dict())]
    return [(e.type, json.dumps(e.to_dict(for_json=True)).encode()) for e in reversed(mine)]


def again(tenant: Tenant, bodies: list[bytes]) -> None:
    """Deliver events once more, each as if Stripe had minted it anew."""
    for number, body in enumerate(bodies):
        copy = json.loads(body)
        copy["id"] = f"evt_copy_{tenant.id}_{number}"
        raw = json.dumps(copy).encode()
        assert send(tenant.service, raw, signed(raw)).json() == {
            "received": True,
            "duplicate": False,
        }
    tenant.service.drain()


def test_events_again_and_backwards_change_nothing(tenant: Tenant) -> None:
    """After all of a customer's events came again, in reverse, the books are the same."""
    tenant.add_card()
    tenant.subscribe()
    tenant.service.drain()
    tenant.http.delete(f"{tenant.path}/subscription")
    tenant.service.drain()
    before = tenant.snapshot()
    bodies = [body for _, body in events_of(tenant)]
    assert len(bodies) > 5
    again(tenant, bodies[::-1])
    assert tenant.snapshot() == before
    assert tenant.get("/subscription")["status"] == "canceled"
    tenant.assert_books_balance()


def test_two_events_for_one_payment_grant_once(tenant: Tenant) -> None:
    """`invoice.paid` and `invoice.payment_succeeded` are one fact."""
    tenant.add_card()
    tenant.subscribe()
    tenant.service.drain()
    types = ("invoice.paid", "invoice.payment_succeeded")
    again(tenant, [body for kind, body in events_of(tenant) if kind in types] * 2)
    sources = [t["source"] for t in tenant.page("transactions")]
    assert sources.count("pro_subscription_payment") == 1


def test_no_secret_means_no_event(bench: Bench) -> None:
    """Without a secret everything is refused, never accepted."""
    settings = bench.core.settings.model_copy(update={"stripe_webhook_secrets": ()})
    with pytest.raises(Rejection):
        verify(settings, GOOD, signed(GOOD))


def test_while_a_secret_is_rolled_the_old_and_the_new_one_hold(bench: Bench) -> None:
    """Of two active secrets either is enough; once the old one is taken away it opens nothing."""
    old, new = SecretStr("whsec_the_old_one"), SecretStr("whsec_the_new_one")

    def holds(signer: SecretStr, *active: SecretStr) -> bool:
        body, secret = GOOD.decode(), signer.get_secret_value()
        header = WebhookSignature.generate_signature_header(body, secret)
        settings = bench.core.settings.model_copy(update={"stripe_webhook_secrets": active})
        try:
            verify(settings, GOOD, header)
        except Rejection:
            return False
        return True

    assert [holds(each, new, old) for each in (old, new)] == [True, True]
    assert [holds(each, old, new) for each in (old, new)] == [True, True]
    assert [holds(each, new) for each in (old, new)] == [False, True]


def test_a_claim_that_died_is_taken_over(bench: Bench) -> None:
    """A worker that was killed at an event loses it to another once its lease is over."""
    inbox.store(bench.core, "evt_1", "invoice.paid", event("evt_1").decode(), is_handled=True)
    assert inbox.claim(bench.core) is not None
    assert inbox.claim(bench.core) is None
    bench.pass_time(bench.core.settings.worker_lease_s + 1)
    taken = inbox.claim(bench.core)
    assert taken is not None
    assert taken.tries == 2


def test_an_event_that_trips_the_worker_is_tried_again(bench: Bench) -> None:
    """While Stripe cannot be asked, an event stays pending, and nothing else is held up."""
    body = event("evt_1", "charge.dispute.created", id="dp_1")
    inbox.store(bench.core, "evt_1", "charge.dispute.created", body.decode(), is_handled=True)
    bench.stripe.down = True
    worker = Worker(bench.core)
    began = bench.core.clock.now()
    assert worker.step()
    with bench.core.database.read() as session:
        row = session.get_one(WebhookEvent, "evt_1")
        assert (row.state, row.reason) == ("pending", "stripe_unavailable")
        assert row.next_try_at > began
    bench.stripe.down = False
    assert worker.drain(0) == 1
    assert worker.step()
    assert worker.pending() == 0


def test_an_event_nobody_ever_knew_expires(bench: Bench) -> None:
    """An event that waited for its customer for days is put aside, with its reason."""
    inbox.store(bench.core, "evt_1", "invoice.paid", event("evt_1").decode(), is_handled=True)
    bench.pass_time(bench.core.settings.event_keep_trying_s + 60)
    claimed = inbox.claim(bench.core)
    assert claimed is not None
    inbox.try_again(bench.core, claimed, "waiting", "unknown_customer")
    with bench.core.database.read() as session:
        assert session.get_one(WebhookEvent, "evt_1").state == "expired"


def put(bench: Bench, event_id: str, **values: Any) -> None:
    """Put an event into the inbox, then change its row."""
    inbox.store(bench.core, event_id, "invoice.paid", event(event_id).decode(), is_handled=True)
    with bench.core.database.write() as session:
        row = session.get_one(WebhookEvent, event_id)
        for name, value in values.items():
            setattr(row, name, value)


def test_what_waits_for_its_customer_comes_second(bench: Bench) -> None:
    """An event that can have its effect is not kept behind those whose customer nobody knows."""
    now = bench.core.clock.now()
    put(bench, "evt_waiting", state="waiting", next_try_at=now - 60)
    put(bench, "evt_later", next_try_at=now - 10)
    put(bench, "evt_first", next_try_at=now - 20)
    taken = [inbox.claim(bench.core) for _ in range(4)]
    assert [each and each.id for each in taken] == ["evt_first", "evt_later", "evt_waiting", None]


def test_a_claim_never_sorts_the_backlog(bench: Bench) -> None:
    """The next event is found by the index: with thousands behind it, a sort is all there is."""
    plans: list[str] = []

    def explain(_c: object, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("SELECT") and "webhook_events" in statement:
            plan = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(str(row[3]) for row in plan)

    if not bench.core.database.is_sqlite:
        pytest.skip("PostgreSQL plans by what its tables hold")
    put(bench, "evt_1")
    listen(bench.core.database.engine, "before_cursor_execute", explain)
    listen(bench.core.database.writers, "before_cursor_execute", explain)
    assert inbox.claim(bench.core) is not None
    assert any("ix_webhook_events_state_next_try_at" in each for each in plans), plans
    assert not any("FOR ORDER BY" in each for each in plans), plans


def test_a_drain_hurries_only_what_failed(bench: Bench) -> None:
    """Events keep their turn in a drain; those that were put off lose their wait."""
    now = bench.core.clock.now()
    put(bench, "evt_due", next_try_at=now - 30)
    put(bench, "evt_failed", received_at=now - 900, next_try_at=now + 900, tries=3)
    inbox.hurry(bench.core)
    taken = [inbox.claim(bench.core) for _ in range(2)]
    assert [each and each.id for each in taken] == ["evt_due", "evt_failed"]
