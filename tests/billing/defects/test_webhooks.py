"""Defects of webhooks, each beside the service without it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from stripe import WebhookSignature

from tests.billing.running import WEBHOOK_SECRET

if TYPE_CHECKING:
    from tests.billing.conftest import Tenant
    from tests.billing.defects.conftest import Both
    from tests.billing.defects.shop import Shop

# Every gauntlet meets them, too; those of money are shown every day.
pytestmark = pytest.mark.nightly
EVENT = {"id": "evt_1", "type": "customer.created", "data": {"object": {"id": "cus_1"}}}


def grants(tenant: Tenant) -> int:
    """Count what the subscription granted."""
    return len([e for e in tenant.page("transactions") if e["source"].startswith("pro_")])


def verdict(shop: Shop, header: str | None, event: dict[str, Any] = EVENT) -> int:
    """Deliver an event, and give the status."""
    return shop.deliver(event, header).status_code


def test_event_again_grants_again(both: Both) -> None:
    """One `invoice.paid` delivered three times grants once, or three times."""

    def story(shop: Shop) -> int:
        tenant = shop.subscriber()
        for _ in range(3):
            shop.deliver_all(tenant, "invoice.paid")
        return grants(tenant)

    assert both("event-again-grants-again", story) == (1, 3)


def test_both_events_of_a_payment_grant(both: Both) -> None:
    """The two events of one payment grant once, or twice."""

    def story(shop: Shop) -> int:
        tenant = shop.subscriber()
        shop.deliver_all(tenant, "invoice.paid", "invoice.payment_succeeded")
        return grants(tenant)

    assert both("both-events-of-a-payment-grant", story) == (1, 2)


def test_event_done_before_its_effect(both: Both) -> None:
    """An event whose effect fails at first has it later, or never."""

    def story(shop: Shop) -> str:
        tenant = shop.payer()
        tenant.fix("fix-1")
        charge = tenant.page("payments")[0]["stripe_id"]
        shop.simulator.official().v1.refunds.create({"charge": charge})
        shop.fault("reset", tenant, path="/v1/refunds*", effect="none")
        shop.deliver_all(tenant, "charge.refunded")
        shop.pass_time(60)
        shop.work()
        state: str = tenant.page("payments")[-1]["state"]
        return state

    found = both("event-done-before-its-effect", story, stripe_tries=1)
    assert found == ("refunded", "succeeded")


def test_late_event_puts_state_back(both: Both) -> None:
    """An old state that comes after the end is looked up anew, or revives the subscription."""

    def story(shop: Shop) -> str:
        tenant = shop.subscriber()
        (created,) = shop.events(tenant, "customer.subscription.created")
        tenant.http.delete(f"{tenant.path}/subscription").raise_for_status()
        shop.deliver(created | {"id": "evt_late", "type": "customer.subscription.updated"})
        shop.work()
        status: str = tenant.get("/subscription")["status"]
        return status

    assert both("late-event-puts-state-back", story) == ("canceled", "incomplete")


def test_unsigned_accepted_without_a_secret(both: Both) -> None:
    """A forged event is refused, or taken in."""
    found = both("unsigned-accepted-without-a-secret", lambda shop: verdict(shop, "t=1,v1=00"))
    assert found == (400, 200)


def test_missing_signature_falls_through(both: Both) -> None:
    """An event without a signature is refused, or taken in; a wrong signature never is."""

    def story(shop: Shop) -> tuple[int, int]:
        return verdict(shop, None), verdict(shop, "t=1,v1=00")

    assert both("missing-signature-falls-through", story) == ((400, 400), (200, 400))


def test_replay_past_the_tolerance(both: Both) -> None:
    """An event signed an hour ago is refused, or taken in; a wrong signature never is."""

    def story(shop: Shop) -> tuple[int, int]:
        body = json.dumps(EVENT, indent=2)
        at = int(time.time()) - 3600
        old = WebhookSignature.generate_signature_header(body, WEBHOOK_SECRET, at)
        return verdict(shop, old), verdict(shop, "t=1,v1=00")

    assert both("replay-past-the-tolerance", story) == ((400, 400), (200, 400))


def test_body_written_anew_before_the_check(both: Both) -> None:
    """An event as Stripe writes it is taken in, or refused."""
    found = both("body-written-anew-before-the-check", lambda shop: verdict(shop, "signed"))
    assert found == (200, 400)


def test_acknowledged_before_it_is_stored(both: Both) -> None:
    """A service that breaks while it stores an event answers 500, or 200 and loses it."""

    def story(shop: Shop) -> int:
        armed = {"name": "webhook.store.before_commit", "action": "fail", "nth": 1}
        shop.controls.post("/test/failpoints", json=armed).raise_for_status()
        return verdict(shop, "signed")

    assert both("acknowledged-before-it-is-stored", story) == (500, 200)


def test_event_before_its_customer_dropped(both: Both) -> None:
    """A refund that comes before its charge is in the books is kept for later, or dropped."""

    def story(shop: Shop) -> list[str]:
        tenant = shop.payer()
        v1 = shop.simulator.official().v1
        card = tenant.get("/payment-methods")["data"][0]["payment_method_id"]
        made = v1.payment_intents.create(
            {
                "amount": 2900,
                "currency": "usd",
                "customer": tenant.stripe_id,
                "payment_method": card,
                "confirm": True,
                "off_session": True,
            }
        )
        v1.refunds.create({"payment_intent": made.id})
        shop.deliver_all(tenant, "charge.refunded")
        with shop.core.database.engine.connect() as connection:
            states = connection.exec_driver_sql("SELECT state FROM webhook_events").scalars()
            return list(states)

    assert both("event-before-its-customer-dropped", story) == (["waiting"], ["ignored"])


def test_refund_keeps_the_credits(both: Both) -> None:
    """A subscription that is paid back takes its units along, or leaves them."""

    def story(shop: Shop) -> int:
        tenant = shop.subscriber()
        shop.refund(tenant.page("payments")[0]["id"], None).raise_for_status()
        balance: int = tenant.get()["credit_balance"]
        return balance

    assert both("refund-keeps-the-credits", story) == (10, 70)


def test_dispute_ignored(both: Both) -> None:
    """Disputed money is written down, or not."""

    def story(shop: Shop) -> list[int]:
        tenant = shop.tenant("pm_card_createDispute")
        shop.adjust(tenant, -10)
        tenant.fix("fix-1")
        shop.simulator.settle()
        charge = tenant.page("payments")[0]["stripe_id"]
        v1 = shop.simulator.official().v1
        for event in v1.events.list({"type": "charge.dispute.created"}).data:
            told = json.loads(str(event))
            if told["data"]["object"]["charge"] == charge:
                assert shop.deliver(told).status_code == 200
        shop.work()
        return [p["amount_minor"] for p in tenant.page("payments")]

    assert both("dispute-ignored", story) == ([-2900, 2900], [2900])


def test_unknown_event_type_answers_500(both: Both) -> None:
    """An event of another type is acknowledged, or breaks the endpoint."""

    def story(shop: Shop) -> tuple[int, int]:
        known = {"id": "evt_2", "type": "invoice.paid", "data": {"object": {"id": "in_1"}}}
        return verdict(shop, "signed"), verdict(shop, "signed", known)

    assert both("unknown-event-type-answers-500", story) == ((200, 200), (500, 200))


def test_undelivered_event_is_never_looked_for(both: Both) -> None:
    """A refund of which no event came is in the books after a pass, or never."""

    def story(shop: Shop) -> str:
        tenant = shop.payer()
        tenant.fix("fix-1")
        charge = tenant.page("payments")[0]["stripe_id"]
        shop.simulator.official().v1.refunds.create({"charge": charge})
        shop.worker.reconciler.run()
        shop.work()
        state: str = tenant.page("payments")[-1]["state"]
        return state

    found = both("undelivered-event-is-never-looked-for", story)
    assert found == ("refunded", "succeeded")


def test_signed_nonsense_answers_500(both: Both) -> None:
    """A signed event without an object is refused, or breaks the service."""

    def story(shop: Shop) -> int:
        return shop.deliver({"id": "evt_x", "type": "x", "data": None}).status_code

    assert both("signed-nonsense-answers-500", story) == (400, 500)
