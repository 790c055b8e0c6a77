"""The service over sockets, against the Stripe simulator: what customers do, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.billing.conftest import new_tenant
from tests.billing.running import running_service, running_simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.billing.conftest import Tenant
    from tests.billing.running import Service


@pytest.fixture(scope="module")
def own_time(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run a service and a Stripe whose clocks are moved, so that they are nobody else's."""
    folder = tmp_path_factory.mktemp("own-time")
    with running_simulator(folder) as stripe, running_service(folder, stripe) as found:
        yield found


@pytest.fixture
def pro(own_time: Service) -> Iterator[Tenant]:
    """Make a customer with a card and a pro subscription."""
    with new_tenant(own_time) as found:
        found.add_card()
        assert found.subscribe().status_code == 201
        own_time.drain()
        yield found


def test_a_trial_lives_on_its_credits_and_then_stops(tenant: Tenant) -> None:
    """Five fixes are free; the sixth is refused for want of a card, and changes nothing."""
    balances = [tenant.fix(f"fix-{n}").json()["credit_balance"] for n in range(5)]
    assert balances == [4, 3, 2, 1, 0]
    before = tenant.snapshot()
    refused = tenant.fix("fix-5")
    assert (refused.status_code, refused.json()["code"]) == (402, "no_billing_info")
    assert tenant.snapshot() == before
    assert tenant.get("/usage")["warning"] == "out_of_credits_no_billing"
    (newest, *_) = tenant.page("fix-attempts")
    assert (newest["outcome"], newest["reason"]) == ("refused", "no_billing_info")


def test_a_trial_with_a_card_is_charged_and_moves_to_payg(tenant: Tenant) -> None:
    """Ten credits in all, then 2900 for each fix, with one charge, purchase and use apiece."""
    assert tenant.add_card().json()["credits_granted"] == 5
    tenant.use_up()
    charged = tenant.fix("fix-paid").json()
    assert (charged["outcome"], charged["charged_minor"], charged["plan"]) == (
        "charged",
        2900,
        "payg",
    )
    (payment,) = tenant.page("payments")
    assert payment["id"] == charged["payment_id"]
    assert (payment["amount_minor"], payment["cause"], payment["plan"]) == (
        2900,
        "fix-paid",
        "payg",
    )
    tenant.assert_books_balance()


def test_a_fix_told_again_is_answered_again_and_not_charged(tenant: Tenant) -> None:
    """The first successful answer comes back, without any key, and with any."""
    tenant.add_card()
    tenant.use_up()
    first = tenant.fix("fix-1")
    for key in (None, "a-key", "another-key"):
        assert tenant.fix("fix-1", key).json() == first.json()
    assert len(tenant.page("payments")) == 1
    tenant.assert_books_balance()


def test_a_refused_fix_may_be_tried_again(tenant: Tenant) -> None:
    """After a card was added, a fix that was refused before is paid for."""
    tenant.use_up()
    assert tenant.fix("fix-1").status_code == 402
    tenant.add_card()
    assert tenant.fix("fix-1").json()["outcome"] == "credit"
    outcomes = [a["outcome"] for a in tenant.page("fix-attempts") if a["fix_id"] == "fix-1"]
    assert outcomes == ["credit", "refused"]


def test_a_declined_charge_changes_nothing(tenant: Tenant) -> None:
    """A decline is a 402 with Stripe's reason; no credit, no payment, no plan."""
    tenant.add_card("pm_card_chargeCustomerFail")
    tenant.use_up()
    before = tenant.snapshot()
    refused = tenant.fix("fix-1")
    assert (refused.status_code, refused.json()["code"]) == (402, "card_declined")
    assert tenant.snapshot() == before


def test_a_card_that_wants_its_holder_says_how(tenant: Tenant) -> None:
    """A card that needs authentication is refused with what completes the payment."""
    tenant.add_card("pm_card_authenticationRequired")
    tenant.use_up()
    refused = tenant.fix("fix-1")
    assert (refused.status_code, refused.json()["code"]) == (402, "authentication_required")
    assert refused.json()["client_secret"].startswith(refused.json()["payment_intent"])


def test_pro_charges_at_once_and_brings_sixty_credits(tenant: Tenant) -> None:
    """Trial credits stay, 60 come, and the first invoice is in both books."""
    tenant.add_card()
    assert tenant.subscribe().json()["status"] == "active"
    tenant.service.drain()
    usage = tenant.get("/usage")
    assert (usage["plan"], usage["credit_balance"], usage["monthly_credits"]) == ("pro", 70, 60)
    (invoice,) = tenant.page("invoices")
    assert (invoice["amount_paid_minor"], invoice["credits_granted"]) == (59900, 60)
    assert [p["amount_minor"] for p in tenant.page("payments")] == [59900]
    tenant.assert_books_balance()


def test_quantity_multiplies_price_and_credits(tenant: Tenant) -> None:
    """Two seats cost twice and bring twice."""
    tenant.add_card()
    tenant.subscribe(quantity=2)
    tenant.service.drain()
    assert tenant.get("/usage")["monthly_credits"] == 120
    assert tenant.get()["credit_balance"] == 130
    assert [p["amount_minor"] for p in tenant.page("payments")] == [119800]


def test_a_fix_beyond_the_credits_costs_a_pro_customer_less(tenant: Tenant) -> None:
    """Pro's own rate is charged once its credits are used."""
    tenant.add_card()
    tenant.subscribe()
    tenant.service.drain()
    tenant.use_up()
    assert tenant.fix("fix-over").json()["charged_minor"] == 1500
    tenant.assert_books_balance()


def test_a_declined_subscription_leaves_nothing(tenant: Tenant) -> None:
    """No subscription, no invoice, no plan; and another try is free."""
    tenant.add_card("pm_card_chargeCustomerFail")
    before = tenant.snapshot()
    refused = tenant.subscribe()
    assert (refused.status_code, refused.json()["code"]) == (402, "card_declined")
    tenant.service.drain()
    assert tenant.snapshot() == before
    tenant.add_card()
    assert tenant.subscribe().status_code == 201


def test_a_renewal_keeps_ten_and_adds_sixty(pro: Tenant, own_time: Service) -> None:
    """At the period's end what is left beyond ten expires with an entry of its own."""
    end = pro.get("/subscription")["current_period_end"]
    own_time.advance(end + 7200)
    assert pro.get()["credit_balance"] == 70
    (grant, expiry, *_) = pro.page("transactions")
    assert (grant["amount"], grant["source"]) == (60, "pro_subscription_payment")
    assert (expiry["amount"], expiry["source"]) == (-60, "rollover_expired")
    assert grant["cause"] == expiry["cause"]
    pro.assert_books_balance()


def test_a_scheduled_end_keeps_pro_until_it_comes(pro: Tenant, own_time: Service) -> None:
    """Cancelled for the period's end: pro prices until then, payg after, all credits kept."""
    told = pro.http.delete(f"{pro.path}/subscription", params={"at_period_end": "true"}).json()
    assert (told["status"], told["ends_at"]) == ("active", told["current_period_end"])
    assert pro.get("/usage")["overage_price_minor"] == 1500
    own_time.advance(told["ends_at"] + 60)
    assert (pro.get()["plan"], pro.get()["credit_balance"]) == ("payg", 70)
    assert pro.get("/subscription")["status"] == "canceled"
    assert len(pro.page("invoices")) == 1


def test_a_scheduled_end_can_be_taken_back(pro: Tenant, own_time: Service) -> None:
    """Resumed before the end, the subscription renews."""
    pro.http.delete(f"{pro.path}/subscription", params={"at_period_end": "true"})
    told = pro.post(f"{pro.path}/subscription/resume").json()
    assert (told["cancel_at_period_end"], told["ends_at"]) == (False, None)
    own_time.advance(told["current_period_end"] + 7200)
    assert pro.get("/subscription")["status"] == "active"
    assert len(pro.page("invoices")) == 2


def test_a_renewal_that_cannot_be_paid_grants_nothing(pro: Tenant, own_time: Service) -> None:
    """Past due keeps pro prices, brings no credits, and owes the customer one e-mail."""
    assert pro.add_card("pm_card_chargeCustomerFail").status_code == 201
    own_time.simulator.official().v1.subscriptions.update(
        pro.get("/subscription")["subscription_id"],
        {"default_payment_method": pro.page("payment-methods")[0]["payment_method_id"]},
    )
    own_time.advance(pro.get("/subscription")["current_period_end"] + 7200)
    customer = pro.get()
    assert (customer["status"], customer["plan"]) == ("past_due", "pro")
    assert customer["credit_balance"] == 70
    pro.assert_books_balance()


def test_cancelling_ends_pro_at_once_and_keeps_the_credits(tenant: Tenant) -> None:
    """The rate goes back to payg; a second cancellation is refused."""
    tenant.add_card()
    tenant.subscribe()
    tenant.service.drain()
    told = tenant.http.delete(f"{tenant.path}/subscription").json()
    assert told["status"] == "canceled"
    assert (tenant.get()["plan"], tenant.get()["credit_balance"]) == ("payg", 70)
    again = tenant.http.delete(f"{tenant.path}/subscription")
    assert (again.status_code, again.json()["code"]) == (409, "no_active_subscription")
    tenant.service.drain()
    assert tenant.get()["plan"] == "payg"
    assert tenant.subscribe().status_code == 201


def test_a_refund_takes_the_credit_back(tenant: Tenant) -> None:
    """A refund made at Stripe is in the payments, and the credit it bought is owed."""
    tenant.add_card()
    tenant.use_up()
    tenant.fix("fix-1")
    (payment,) = tenant.page("payments")
    official = tenant.service.simulator.official()
    official.v1.refunds.create({"charge": payment["stripe_id"]})
    tenant.service.drain()
    refund, charge = tenant.page("payments")
    assert (refund["kind"], refund["amount_minor"]) == ("refund", -2900)
    assert (refund["parent_id"], charge["state"]) == (charge["id"], "refunded")
    assert tenant.get("/usage")["owed_credits"] == 1
    tenant.assert_books_balance()


def test_closing_and_coming_back_earns_nothing_again(tenant: Tenant) -> None:
    """An e-mail earns its sign-up and its first-card credits once in its life."""
    tenant.add_card()
    assert tenant.http.delete(tenant.path).json()["status"] == "closed"
    assert tenant.http.get(tenant.path).status_code == 401
    with tenant.service.client() as anyone:
        back = anyone.post("/api/v1/customers/onboard", json={"email": tenant.email}).json()
    assert back["credit_balance"] == 0
    tenant.http.headers["X-API-Key"] = back["api_key"]
    tenant.id = back["customer_id"]
    assert tenant.add_card().json()["credits_granted"] == 0


def test_removing_and_adding_cards_earns_nothing_again(tenant: Tenant) -> None:
    """The first card's credits come once, whichever card it was."""
    first = tenant.add_card().json()
    removed = tenant.http.delete(f"{tenant.path}/payment-methods/{first['payment_method_id']}")
    assert removed.json()["removed"] is True
    assert tenant.get()["has_billing"] is False
    assert tenant.add_card("pm_card_mastercard").json()["credits_granted"] == 0


def test_the_last_card_stays_while_there_is_a_subscription(tenant: Tenant) -> None:
    """One of two cards may go; the other then is the default and stays."""
    first = tenant.add_card().json()["payment_method_id"]
    second = tenant.add_card("pm_card_mastercard").json()["payment_method_id"]
    tenant.subscribe()
    assert tenant.http.delete(f"{tenant.path}/payment-methods/{second}").status_code == 200
    (left,) = tenant.page("payment-methods")
    assert (left["payment_method_id"], left["is_default"]) == (first, True)
    refused = tenant.http.delete(f"{tenant.path}/payment-methods/{first}")
    assert (refused.status_code, refused.json()["code"]) == (409, "subscription_active")
    assert tenant.http.delete(tenant.path).json()["code"] == "subscription_active"


def test_a_purged_customer_is_gone(tenant: Tenant) -> None:
    """A purge leaves nothing, and the e-mail earns as if it were new."""
    tenant.add_card()
    tenant.use_up()
    tenant.fix("fix-1")
    with tenant.service.controls as controls:
        assert controls.delete(f"/test/customers/{tenant.id}").json() == {"purged": True}
    with tenant.service.operator as operator:
        assert operator.get(tenant.path).status_code == 404
    with tenant.service.client() as anyone:
        back = anyone.post("/api/v1/customers/onboard", json={"email": tenant.email})
    assert back.json()["credit_balance"] == 5
