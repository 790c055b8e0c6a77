"""A view of a subscription that was fetched earlier never overwrites a newer one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from simulators.billing.operations import subscriptions
from simulators.billing.storage.tables import Customer, Subscription
from simulators.billing.stripe_gateway.facts import ProPrice, SubscriptionFacts

if TYPE_CHECKING:
    from tests.billing.conftest import Bench


@pytest.fixture
def active(bench: Bench) -> SubscriptionFacts:
    """Give a subscription that was placed, and is applied as active."""
    bench.core.stripe.subscriptions._pro = ProPrice("price_1", "prod_1")
    start = subscriptions.begin(bench.core, bench.customer(), 1)
    assert isinstance(start, subscriptions.Start)
    found = SubscriptionFacts(
        id="sub_1",
        stripe_customer_id=start.order.stripe_customer_id,
        status="active",
        item_id="si_1",
        product="prod_1",
        quantity=1,
        current_period_start=1000,
        current_period_end=2000,
        cancel_at_period_end=False,
        ends_at=None,
        ended_at=None,
        created_at=1000,
        record_id=start.order.record_id,
    )
    assert subscriptions._apply_if_unchanged(bench.core, found, expected_revision=0)
    return found


def standing(bench: Bench) -> tuple[str, str]:
    """Give the status of the subscription, and its customer's plan."""
    with bench.core.database.read() as session:
        record = session.scalars(select(Subscription)).one()
        return record.status, session.get_one(Customer, record.customer_id).plan


def test_a_view_from_before_the_last_change_is_fetched_again(
    bench: Bench, active: SubscriptionFacts
) -> None:
    """Of two views fetched at the same revision, only the one that is applied first counts."""
    newer = replace(active, status="past_due")
    assert subscriptions._apply_if_unchanged(bench.core, newer, expected_revision=1)
    assert not subscriptions._apply_if_unchanged(bench.core, active, expected_revision=1)
    assert standing(bench) == ("past_due", "pro")


def test_what_has_ended_is_never_brought_back(bench: Bench, active: SubscriptionFacts) -> None:
    """A late view of an active subscription does not revive one that Stripe has ended."""
    over = replace(active, status="canceled", ended_at=1500)
    assert subscriptions._apply_if_unchanged(bench.core, over, expected_revision=1)
    assert subscriptions._apply_if_unchanged(bench.core, active, expected_revision=2)
    assert standing(bench) == ("canceled", "payg")


def test_another_product_is_not_pro(bench: Bench, active: SubscriptionFacts) -> None:
    """A plan that was changed at Stripe to something else loses pro's prices."""
    other = replace(active, product="prod_other")
    assert subscriptions._apply_if_unchanged(bench.core, other, expected_revision=1)
    assert standing(bench) == ("active", "payg")
