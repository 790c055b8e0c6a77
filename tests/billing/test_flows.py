"""The service over sockets, against the Stripe simulator: what customers do, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.billing.conftest import Tenant


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


def test_a_dispute_takes_the_credit_and_gives_it_again_once_it_is_won(tenant: Tenant) -> None:
    """What was disputed is lost, and its credit owed, until the dispute is won."""
    tenant.add_card("pm_card_createDispute")
    tenant.use_up()
    tenant.fix("fix-1")
    tenant.service.drain()
    lost, charge = tenant.page("payments")
    assert (lost["kind"], lost["amount_minor"], charge["state"]) == ("dispute", -2900, "disputed")
    assert tenant.get("/usage")["owed_credits"] == 1
    won = tenant.service.simulator.official().v1.disputes.update(
        lost["stripe_id"], {"evidence": {"uncategorized_text": "winning_evidence"}}
    )
    tenant.service.drain()
    again, _, charge = tenant.page("payments")
    assert (again["amount_minor"], charge["state"]) == (2900, "succeeded")
    assert again["stripe_id"] == won.balance_transactions[-1].id
    assert (tenant.get("/usage")["owed_credits"], tenant.get()["credit_balance"]) == (0, 0)


def test_an_inquiry_takes_nothing(tenant: Tenant) -> None:
    """A bank that only asks has moved no money: the charge stands."""
    tenant.add_card("pm_card_createDisputeInquiry")
    tenant.use_up()
    tenant.fix("fix-1")
    tenant.service.drain()
    (charge,) = tenant.page("payments")
    assert charge["state"] == "succeeded"
    tenant.assert_books_balance()


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
