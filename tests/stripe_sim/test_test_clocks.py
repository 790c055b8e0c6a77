"""Test clocks: a time of their own for a few customers."""

from collections.abc import Callable
from typing import Any

import pytest
import stripe

from simulators.stripe.settings import Settings
from tests.stripe_sim.conftest import DAY_S, Account
from tests.stripe_sim.stories import fail_from_now_on, invoices, item_of, subscribe

JAN_31_2024 = 1_706_659_200


def clock(account: Account, frozen_time: int = JAN_31_2024) -> str:
    """Return a new test clock."""
    return account.stripe.test_helpers.test_clocks.create({"frozen_time": frozen_time}).id


def customer_of(account: Account, clock_id: str) -> str:
    """Return a new customer with a working card who lives by a clock."""
    customer = account.stripe.customers.create(
        {
            "test_clock": clock_id,
            "payment_method": "pm_card_visa",
            "invoice_settings": {"default_payment_method": "pm_card_visa"},
        }
    )
    return customer.id


def advance(account: Account, clock_id: str, to: int) -> None:
    """Advance a clock and wait until it has arrived."""
    begun = account.stripe.test_helpers.test_clocks.advance(clock_id, {"frozen_time": to})
    assert begun.status == "advancing"
    details: Any = begun.status_details
    assert details.advancing.target_frozen_time == to
    assert account.settle()["settled"]
    ready = account.stripe.test_helpers.test_clocks.retrieve(clock_id)
    assert (ready.status, ready.frozen_time) == ("ready", to)


def test_a_clocks_customers_live_in_its_time(account: Account) -> None:
    """Billing is dated and renewed by the clock; payments and the account keep their time."""
    clock_id, before = clock(account), account.now
    customer = customer_of(account, clock_id)
    made = subscribe(account, customer, account.price(1_000))
    assert (made.created, made.test_clock) == (JAN_31_2024, clock_id)
    assert item_of(made).current_period_end == JAN_31_2024 + 29 * DAY_S
    advance(account, clock_id, JAN_31_2024 + 40 * DAY_S)
    advance(account, clock_id, JAN_31_2024 + 60 * DAY_S + 3_600)
    billed = invoices(account, made.id)
    assert [invoice.created for invoice in billed] == [
        JAN_31_2024,
        JAN_31_2024 + 29 * DAY_S,  # 29 February
        JAN_31_2024 + 60 * DAY_S,  # 31 March
    ]
    assert {invoice.test_clock for invoice in billed} == {clock_id}
    assert account.now == before
    assert {entry["at"] for entry in account.journal(customer)["entries"]} == {before}
    assert account.journal(customer)["balances"] == {"usd": 3_000}


def test_the_accounts_time_leaves_a_clock_alone(account: Account) -> None:
    """Moving the account's clock by months renews nobody who lives by a test clock."""
    clock_id = clock(account)
    made = subscribe(account, customer_of(account, clock_id), account.price(1_000))
    other = subscribe(account, account.customer(), account.price(1_000))
    account.advance(account.now + 29 * DAY_S)
    account.advance(account.now + 3 * DAY_S)
    assert len(invoices(account, made.id)) == 1
    assert len(invoices(account, other.id)) == 2


def test_events_tell_of_a_clocks_way(account: Account) -> None:
    """An advance is told of first, then what falls due in order, then that it is there."""
    clock_id = clock(account)
    subscribe(account, customer_of(account, clock_id), account.price(1_000))
    before = len(account.event_types())
    advance(account, clock_id, JAN_31_2024 + 29 * DAY_S + 3_600)
    types = account.event_types(before)
    assert types[0] == "test_helpers.test_clock.advancing"
    assert types[-1] == "test_helpers.test_clock.ready"
    assert types.index("invoice.created") < types.index("invoice.paid")
    [created] = account.stripe.events.list({"type": "invoice.created", "limit": 1}).data
    assert created.created == JAN_31_2024 + 29 * DAY_S


def test_nothing_is_changed_while_a_clock_advances(account: Account) -> None:
    """Until it is ready, a change of what lives by it is a 429, and a look at it is not."""
    clock_id = clock(account)
    customer = customer_of(account, clock_id)
    stored = account.simulator.world.store.get("test_helpers.test_clock", clock_id)
    assert stored is not None
    stored |= {
        "status": "advancing",
        "status_details": {"advancing": {"target_frozen_time": JAN_31_2024}},
    }
    account.simulator._moving[clock_id] = None  # type: ignore[assignment]  # it never gets there
    with pytest.raises(stripe.RateLimitError, match="advancement underway"):
        account.stripe.customers.update(customer, {"name": "New"})
    assert account.stripe.customers.retrieve(customer).name is None
    del account.simulator._moving[clock_id]
    assert account.settle()["settled"]
    assert account.stripe.customers.update(customer, {"name": "New"}).name == "New"


def test_a_clock_goes_two_intervals_at_a_time(account: Account) -> None:
    """The shortest subscription sets the pace; a clock without any goes two years; never back."""
    clocks, clock_id = account.stripe.test_helpers.test_clocks, clock(account)
    with pytest.raises(stripe.InvalidRequestError, match="two years"):
        clocks.advance(clock_id, {"frozen_time": JAN_31_2024 + 732 * DAY_S})
    with pytest.raises(stripe.InvalidRequestError, match="must be after"):
        clocks.advance(clock_id, {"frozen_time": JAN_31_2024})
    customer = customer_of(account, clock_id)
    subscribe(account, customer, account.price(9_000, "year"))
    subscribe(account, customer, account.price(1_000, "week"))
    with pytest.raises(stripe.InvalidRequestError, match="two intervals"):
        clocks.advance(clock_id, {"frozen_time": JAN_31_2024 + 14 * DAY_S + 1})
    advance(account, clock_id, JAN_31_2024 + 14 * DAY_S)


def test_three_customers_live_by_a_clock(account: Account) -> None:
    """A fourth is refused, and only new customers can be given a clock."""
    clock_id = clock(account)
    made = [customer_of(account, clock_id) for _ in range(3)]
    with pytest.raises(stripe.InvalidRequestError, match="only attach 3"):
        customer_of(account, clock_id)
    unknown: Any = {"test_clock": clock_id}
    with pytest.raises(stripe.InvalidRequestError, match="unknown parameter"):
        account.stripe.customers.update(made[0], unknown)


def test_the_limits_can_be_taken_away(open_account: Callable[..., Account]) -> None:
    """Without limits a clock takes more customers and goes years at once, in order."""
    settings = Settings(seed=1, running=False, clock_customers_max=None, clock_intervals_max=None)
    account = open_account(settings)
    clock_id = clock(account)
    made = [customer_of(account, clock_id) for _ in range(5)]
    subscription = subscribe(account, made[4], account.price(1_000))
    advance(account, clock_id, JAN_31_2024 + 730 * DAY_S)
    assert len(invoices(account, subscription.id)) == 24


def test_dunning_runs_by_a_clock(account: Account) -> None:
    """A card that fails at renewal is tried again in the clock's time until it is given up."""
    clock_id = clock(account)
    customer = customer_of(account, clock_id)
    made = subscribe(account, customer, account.price(1_000))
    fail_from_now_on(account, customer)
    advance(account, clock_id, JAN_31_2024 + 30 * DAY_S)
    assert account.stripe.subscriptions.retrieve(made.id).status == "past_due"
    advance(account, clock_id, JAN_31_2024 + 60 * DAY_S)
    assert account.stripe.subscriptions.retrieve(made.id).status == "canceled"


def test_lists_leave_a_clocks_customers_out(account: Account) -> None:
    """Customers and subscriptions of a clock are listed with it, or by the customer."""
    clock_id = clock(account)
    customer = customer_of(account, clock_id)
    made = subscribe(account, customer, account.price(1_000))
    assert account.stripe.customers.list().data == []
    assert account.stripe.subscriptions.list().data == []
    [found] = account.stripe.customers.list({"test_clock": clock_id}).data
    [by_clock] = account.stripe.subscriptions.list({"test_clock": clock_id}).data
    [by_customer] = account.stripe.subscriptions.list({"customer": customer}).data
    assert (found.id, by_clock.id, by_customer.id) == (customer, made.id, made.id)


def test_deleting_a_clock_deletes_its_customers(account: Account) -> None:
    """Its customers go and their subscriptions end; a clock forgotten for a month goes too."""
    clocks = account.stripe.test_helpers.test_clocks
    clock_id, forgotten = clock(account), clock(account)
    customer = customer_of(account, clock_id)
    made = subscribe(account, customer, account.price(1_000))
    assert clocks.delete(clock_id).deleted
    assert account.stripe.customers.retrieve(customer).deleted
    assert account.stripe.subscriptions.retrieve(made.id).status == "canceled"
    assert [each.id for each in clocks.list().data] == [forgotten]
    account.advance(account.now + 30 * DAY_S)
    assert clocks.list().data == []
    with pytest.raises(stripe.InvalidRequestError) as caught:
        clocks.retrieve(clock_id)
    assert caught.value.http_status == 404
