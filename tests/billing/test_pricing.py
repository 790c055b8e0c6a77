"""What is charged, on which plan, and what credits come and go with it; to the cent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulators.billing.idempotency import unkeyed_slot
from simulators.billing.operations import charging
from simulators.billing.operations.charging import Fix
from simulators.billing.problems import Problem
from simulators.billing.storage.database import locked_customer
from tests.billing.conftest import new_tenant
from tests.billing.running import running_service, running_simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.billing.conftest import Bench, Tenant
    from tests.billing.databases import Databases
    from tests.billing.running import Service, Simulator


@pytest.fixture(scope="module")
def own_time(tmp_path_factory: pytest.TempPathFactory, databases: Databases) -> Iterator[Service]:
    """Run a service and a Stripe whose clocks are moved, so that they are nobody else's."""
    folder = tmp_path_factory.mktemp("own-time")
    url = databases.fresh(folder)
    with (
        running_simulator(folder) as stripe,
        running_service(folder, stripe, database_url=url) as found,
    ):
        yield found


@pytest.fixture
def pro(own_time: Service) -> Iterator[Tenant]:
    """Make a customer with a card and a pro subscription."""
    with new_tenant(own_time) as found:
        found.add_card()
        assert found.subscribe().status_code == 201
        own_time.drain()
        yield found


@pytest.fixture(scope="module")
def in_euros(
    tmp_path_factory: pytest.TempPathFactory, simulator: Simulator, databases: Databases
) -> Iterator[Service]:
    """Run a service that sells at other prices, in another currency."""
    folder = tmp_path_factory.mktemp("euros")
    settings = {
        "currency": "eur",
        "payg_fix_price_minor": "777",
        "pro_price_minor": "12345",
        "pro_fix_price_minor": "333",
        "pro_included_credits": "2",
        "database_url": databases.fresh(folder),
    }
    with running_service(folder, simulator, processes=1, **settings) as found:
        yield found


def standing(tenant: Tenant) -> tuple[object, ...]:
    """Give plan, price of the next fix, price beyond the credits, and what a month brings."""
    usage = tenant.get("/usage")
    names = ("plan", "next_fix_price_minor", "overage_price_minor", "monthly_credits")
    return tuple(usage[name] for name in names)


def test_the_last_credit_is_free_and_the_next_fix_is_not(tenant: Tenant) -> None:
    """The price turns exactly where the balance does, and what is shown is what is charged."""
    tenant.add_card()
    for left in range(9, -1, -1):
        assert standing(tenant) == ("trial", 0, 2900, 0)
        told = tenant.fix(f"fix-{left}").json()
        assert (told["outcome"], told["charged_minor"], told["credit_balance"]) == (
            "credit",
            0,
            left,
        )
    assert standing(tenant) == ("trial", 2900, 2900, 0)
    assert tenant.fix("paid").json()["charged_minor"] == 2900
    assert standing(tenant) == ("payg", 2900, 2900, 0)
    assert tenant.service.simulator.taken_minor(tenant.stripe_id) == 2900


def test_asking_for_payg_changes_no_price_and_takes_no_credit(tenant: Tenant) -> None:
    """A trial customer may move early; the credits are used first all the same."""
    tenant.add_card()
    assert tenant.http.put(f"{tenant.path}/plan", json={"plan": "payg"}).status_code == 200
    assert standing(tenant) == ("payg", 0, 2900, 0)
    assert tenant.fix("fix-1").json()["outcome"] == "credit"
    assert tenant.page("payments") == []


def test_an_upgrade_in_mid_period_changes_what_comes_and_not_what_was(tenant: Tenant) -> None:
    """What payg was charged stays at payg's price; from then on credits, then pro's price."""
    tenant.add_card()
    tenant.use_up()
    tenant.fix("before")
    tenant.subscribe()
    tenant.service.drain()
    assert standing(tenant) == ("pro", 0, 1500, 60)
    tenant.use_up()
    assert standing(tenant) == ("pro", 1500, 1500, 60)
    tenant.fix("after")
    booked = {p["cause"]: (p["amount_minor"], p["plan"]) for p in tenant.page("payments")}
    assert (booked["before"], booked["after"]) == ((2900, "payg"), (1500, "pro"))
    assert sorted(amount for amount, _ in booked.values()) == [1500, 2900, 59900]
    tenant.assert_books_balance()


def test_after_cancelling_credits_go_first_and_then_payg_is_charged(tenant: Tenant) -> None:
    """The credits that pro brought stay worth a fix each; beyond them the price is payg's."""
    tenant.add_card()
    tenant.subscribe()
    tenant.service.drain()
    tenant.http.delete(f"{tenant.path}/subscription")
    assert standing(tenant) == ("payg", 0, 2900, 0)
    tenant.use_up()
    assert tenant.fix("after").json()["charged_minor"] == 2900
    tenant.assert_books_balance()


def test_subscribing_again_is_a_first_invoice_again(tenant: Tenant) -> None:
    """It costs the whole month, brings sixty, and lets nothing expire."""
    tenant.add_card()
    for balance in (70, 130):
        assert tenant.subscribe().status_code == 201
        tenant.service.drain()
        assert tenant.get()["credit_balance"] == balance
        tenant.http.delete(f"{tenant.path}/subscription")
    assert [p["amount_minor"] for p in tenant.page("payments")] == [59900, 59900]
    assert "rollover_expired" not in {e["source"] for e in tenant.page("transactions")}
    tenant.assert_books_balance()


def test_a_scheduled_end_that_was_taken_back_keeps_pros_price(tenant: Tenant) -> None:
    """Scheduled or resumed, while the subscription lives a fix costs what pro pays."""
    tenant.add_card()
    tenant.subscribe()
    tenant.service.drain()
    tenant.use_up()
    tenant.http.delete(f"{tenant.path}/subscription", params={"at_period_end": "true"})
    assert tenant.fix("scheduled").json()["charged_minor"] == 1500
    assert tenant.post(f"{tenant.path}/subscription/resume").json()["ends_at"] is None
    assert tenant.fix("resumed").json()["charged_minor"] == 1500


@pytest.mark.parametrize("quantity", [0, -1, 1001, 1.5, "2"])
def test_no_other_quantity_is_sold(tenant: Tenant, quantity: object) -> None:
    """Nothing is charged for a quantity that is not on sale."""
    tenant.add_card()
    refused = tenant.post(f"{tenant.path}/subscription", {"plan": "pro", "quantity": quantity})
    assert refused.status_code == 422
    assert refused.json()["code"] in {"validation_failed", "quantity_too_large"}
    assert tenant.service.simulator.taken_minor(tenant.stripe_id) == 0


def test_rollover_keeps_what_is_left_up_to_the_cap(own_time: Service) -> None:
    """Nine left become 69, ten 70, eleven 70 with one expired, none 60."""
    left = {0: (60, 0), 9: (69, 0), 10: (70, 0), 11: (70, 1)}
    tenants = {}
    for units in left:
        tenant = tenants[units] = new_tenant(own_time).__enter__()
        tenant.add_card()
        tenant.subscribe()
    own_time.drain()
    for units, tenant in tenants.items():
        with own_time.operator as operator:
            body = {"units": units - tenant.get()["credit_balance"], "reason": "to begin with"}
            url = f"/api/v1/operator/customers/{tenant.id}/adjustments"
            operator.post(url, json=body).raise_for_status()
    own_time.advance(tenants[0].get("/subscription")["current_period_end"] + 7200)
    for units, (after, expired) in left.items():
        tenant = tenants[units]
        assert tenant.get()["credit_balance"] == after
        lost = [e for e in tenant.page("transactions") if e["source"] == "rollover_expired"]
        assert sum(-e["amount"] for e in lost) == expired
        tenant.assert_books_balance()
        tenant.http.close()


def test_more_seats_in_mid_period_are_prorated_by_the_second(
    pro: Tenant, own_time: Service
) -> None:
    """The next invoice has the rest of the period for two more seats, and brings 180 credits."""
    begun = pro.get("/subscription")
    start, end = begun["current_period_start"], begun["current_period_end"]
    own_time.advance(start + (end - start) // 2)
    at = own_time.simulator.now()
    changed = pro.http.patch(f"{pro.path}/subscription", json={"quantity": 3})
    assert changed.json()["quantity"] == 3
    took_s = own_time.simulator.now() - at
    assert len(pro.page("payments")) == 1
    own_time.advance(end + 7200)
    renewal, first = pro.page("invoices")
    assert first["amount_paid_minor"] == 59900
    possible = set()
    for moment in range(at, at + took_s + 1):
        rest = (end - moment) / (end - start)
        possible.add(3 * 59900 + round(3 * 59900 * rest) - round(59900 * rest))
    assert renewal["amount_paid_minor"] in possible
    assert renewal["credits_granted"] == 180
    assert pro.get()["credit_balance"] == 10 + 180
    pro.assert_books_balance()


def test_fewer_seats_in_mid_period_lower_the_next_invoice(pro: Tenant, own_time: Service) -> None:
    """Nothing is paid back and no credit is lost; the unused time is taken off the renewal."""
    pro.http.patch(f"{pro.path}/subscription", json={"quantity": 2}).raise_for_status()
    own_time.drain()
    pro.http.patch(f"{pro.path}/subscription", json={"quantity": 1}).raise_for_status()
    own_time.drain()
    assert (standing(pro), pro.get()["credit_balance"]) == (("pro", 0, 1500, 60), 70)
    own_time.advance(pro.get("/subscription")["current_period_end"] + 7200)
    renewal = pro.page("invoices")[0]
    # A second or two between the changes cost a few cents at most.
    assert 59900 <= renewal["amount_paid_minor"] < 59910
    assert renewal["credits_granted"] == 60
    pro.assert_books_balance()


def test_past_due_still_pays_pros_price(pro: Tenant, own_time: Service) -> None:
    """Until the subscription ends, a fix beyond the credits costs what pro pays."""
    official = own_time.simulator.official().v1
    bad = official.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": pro.stripe_id})
    subscription = pro.get("/subscription")
    official.subscriptions.update(
        subscription["subscription_id"], {"default_payment_method": bad.id}
    )
    own_time.advance(subscription["current_period_end"] + 7200)
    assert pro.get()["status"] == "past_due"
    pro.use_up()
    assert pro.fix("overdue").json()["charged_minor"] == 1500


def test_currency_and_prices_are_the_settings(in_euros: Service) -> None:
    """Charges, invoices, payments and what is shown are in one currency, at the set prices."""
    with new_tenant(in_euros) as tenant:
        tenant.add_card()
        tenant.use_up()
        told = tenant.fix("fix-1").json()
        assert (told["charged_minor"], told["currency"]) == (777, "eur")
        tenant.subscribe(quantity=2)
        in_euros.drain()
        assert tenant.get()["credit_balance"] == 4
        assert standing(tenant) == ("pro", 0, 333, 4)
        booked = {(p["amount_minor"], p["currency"]) for p in tenant.page("payments")}
        assert booked == {(777, "eur"), (24690, "eur")}
        moved = in_euros.simulator.journal(tenant.stripe_id)
        assert {(e["amount_minor"], e["currency"]) for e in moved} == booked
        tenant.assert_books_balance()


def test_a_charge_in_doubt_keeps_the_price_it_was_begun_at(bench: Bench) -> None:
    """Who becomes pro while a charge is unsettled pays for that fix what was asked at first."""
    customer_id = bench.customer()
    core = bench.core
    bench.stripe.faults.append("lost_answer")
    slot = unkeyed_slot(core)
    begun = charging.begin(core, customer_id, Fix("fix-1", None), slot)
    assert isinstance(begun, charging.Charge)
    with pytest.raises(Problem, match="not known yet"):
        charging.carry_out(core, begun, slot)
    with core.database.write() as session:
        customer = locked_customer(session, customer_id)
        assert customer is not None
        customer.plan = "pro"
    bench.pass_time(60)
    charge = charging.reopen(core, customer_id, "fix-1")
    assert charge is not None
    charging.carry_out(core, charge, slot)
    (payment,) = bench.payments(customer_id)
    assert (payment.amount_minor, payment.plan, bench.stripe.taken_minor) == (2900, "payg", 2900)


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
