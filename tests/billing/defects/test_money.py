"""Defects of money, each beside the service without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.billing.defects.conftest import Both
    from tests.billing.defects.shop import Shop


def test_canary(both: Both) -> None:
    """Stripe takes 2901 where the books say 2900."""

    def story(shop: Shop) -> tuple[list[int], int]:
        tenant = shop.payer()
        tenant.fix("fix-1")
        return shop.taken(tenant), tenant.page("payments")[0]["amount_minor"]

    assert both("canary", story) == (([2900], 2900), ([2901], 2900))


def test_refund_through_floats(both: Both) -> None:
    """A refund of 19.99 gives back 19.98."""

    def story(shop: Shop) -> list[int]:
        tenant = shop.payer()
        tenant.fix("fix-1")
        assert shop.refund(tenant.page("payments")[0]["id"], 1999).status_code == 201
        return shop.taken(tenant)

    assert both("refund-through-floats", story) == ([2900, -1999], [2900, -1998])


def test_invoice_from_rounded_unit_price(both: Both) -> None:
    """The invoice shows 598.80 where 599.00 was paid."""

    def story(shop: Shop) -> tuple[int, int]:
        tenant = shop.subscriber()
        (invoice,), (payment,) = tenant.page("invoices"), tenant.page("payments")
        return invoice["amount_paid_minor"], payment["amount_minor"]

    assert both("invoice-from-rounded-unit-price", story) == ((59900, 59900), (59880, 59900))


def test_quantity_not_in_grant(both: Both) -> None:
    """Three seats bring 60 units rather than 180."""
    found = both("quantity-not-in-grant", lambda shop: shop.subscriber(3).get()["credit_balance"])
    assert found == (190, 70)


def test_quantity_change_not_prorated(both: Both) -> None:
    """Two more seats in mid-period leave nothing to pay at Stripe."""

    def story(shop: Shop) -> bool:
        tenant = shop.subscriber()
        tenant.http.patch(f"{tenant.path}/subscription", json={"quantity": 3}).raise_for_status()
        v1 = shop.simulator.official().v1
        return bool(v1.invoice_items.list({"customer": tenant.stripe_id}).data)

    assert both("quantity-change-not-prorated", story) == (True, False)


def test_zero_refund_gives_all_back(both: Both) -> None:
    """A refund of zero is refused, or moves the whole charge."""

    def story(shop: Shop) -> tuple[int, list[int]]:
        tenant = shop.payer()
        tenant.fix("fix-1")
        reply = shop.refund(tenant.page("payments")[0]["id"], 0)
        return reply.status_code, shop.taken(tenant)

    assert both("zero-refund-gives-all-back", story) == ((422, [2900]), (201, [2900, -2900]))


def test_trial_with_card_charged_nothing(both: Both) -> None:
    """A trial with a card and no credits is charged 29.00, or nothing for ever."""

    def story(shop: Shop) -> tuple[list[int], int]:
        tenant = shop.payer()
        statuses = {tenant.fix(f"fix-{number}").status_code for number in range(2)}
        assert statuses == {200}
        return shop.taken(tenant), tenant.get()["credit_balance"]

    assert both("trial-with-card-charged-nothing", story) == (([2900, 2900], 0), ([], 0))


def test_declined_charge_counts_as_paid(both: Both) -> None:
    """A declined card is refused, or gets its fix for nothing."""

    def story(shop: Shop) -> tuple[int, int, list[int]]:
        tenant = shop.tenant("pm_card_chargeCustomerFail")
        shop.adjust(tenant, -10)
        reply = tenant.fix("fix-1")
        return reply.status_code, len(tenant.page("payments")), shop.taken(tenant)

    assert both("declined-charge-counts-as-paid", story) == ((402, 0, []), (200, 1, []))


def test_renewal_grants_without_payment(both: Both) -> None:
    """A renewal whose charge fails brings nothing, or 60 units."""

    def story(shop: Shop) -> list[str]:
        tenant = shop.subscriber()
        shop.let_card_fail(tenant)
        shop.renew(tenant)
        return [e["source"] for e in tenant.page("transactions") if "pro_" in e["source"]]

    grant = "pro_subscription_payment"
    assert both("renewal-grants-without-payment", story) == ([grant], [grant] * 2)


def test_rollover_cap_ignored(both: Both) -> None:
    """Of 70 units, 10 are kept at the renewal, or all."""

    def story(shop: Shop) -> int:
        tenant = shop.subscriber()
        shop.renew(tenant)
        balance: int = tenant.get()["credit_balance"]
        return balance

    assert both("rollover-cap-ignored", story) == (70, 130)


def test_overage_at_the_wrong_plans_rate(both: Both) -> None:
    """A subscriber beyond the units pays 15.00, or 29.00."""

    def story(shop: Shop) -> int:
        tenant = shop.subscriber()
        shop.adjust(tenant, -70)
        tenant.fix("fix-1")
        return shop.taken(tenant)[-1]

    assert both("overage-at-the-wrong-plans-rate", story) == (1500, 2900)
