"""Cursor pages and usage, as a customer reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulators.billing.operations.reports import month_of

if TYPE_CHECKING:
    from tests.billing.conftest import Tenant


def test_pages_are_stable_while_rows_are_added(tenant: Tenant) -> None:
    """What is written between two pages neither repeats nor hides a row."""
    tenant.fix("fix-1")
    tenant.fix("fix-2")
    first = tenant.get("/transactions?limit=2")
    tenant.fix("fix-3")
    second = tenant.get(f"/transactions?limit=2&cursor={first['next_cursor']}")
    sequences = [row["sequence"] for row in first["data"] + second["data"]]
    assert sequences == [3, 2, 1]
    assert (first["has_more"], second["has_more"], second["next_cursor"]) == (True, False, None)


def test_a_listing_can_be_sorted_and_filtered(tenant: Tenant) -> None:
    """Oldest first, or one source only."""
    tenant.fix("fix-1")
    assert [r["sequence"] for r in tenant.get("/transactions?sort=created_at")["data"]] == [1, 2]
    (found,) = tenant.get("/transactions?filter=source:consumed")["data"]
    assert found["cause"] == "fix-1"
    (attempt,) = tenant.get("/fix-attempts?filter=fix_id:fix-1")["data"]
    assert attempt["outcome"] == "credit"


@pytest.mark.parametrize(
    "query",
    [
        "sort=amount",
        "sort=created_at;DROP TABLE customers",
        "filter=amount:5",
        "filter=source",
        "filter=customer_id:x",
        "cursor=nonsense",
        "cursor=%F0%9F%92%B3",
        "cursor=LWNyZWF0ZWRfYXR8LTE",
        "cursor=LWNyZWF0ZWRfYXR8OTk5OTk5OTk5OTk5OTk5OTk5OTk5",
    ],
)
def test_an_odd_query_is_refused(tenant: Tenant, query: str) -> None:
    """Sort, filter and cursor take what is documented and nothing else."""
    reply = tenant.http.get(f"{tenant.path}/transactions?{query}")
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_query")


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "limit=-1"])
def test_a_page_has_one_to_a_hundred_rows(tenant: Tenant, query: str) -> None:
    """A limit out of bounds is refused."""
    reply = tenant.http.get(f"{tenant.path}/payments?{query}")
    assert (reply.status_code, reply.json()["code"]) == (422, "validation_failed")


def test_a_filters_value_is_only_ever_a_value(tenant: Tenant) -> None:
    """SQL in a filter finds nothing and breaks nothing."""
    assert tenant.get("/transactions?filter=source:' OR '1'='1")["data"] == []
    assert len(tenant.page("transactions")) == 1


def test_usage_tells_what_the_next_fix_costs(tenant: Tenant) -> None:
    """Nothing while there is a credit; refused without a card; then the plan's price."""
    assert tenant.get("/usage")["next_fix_price_minor"] == 0
    tenant.use_up()
    assert tenant.get("/usage")["next_fix_price_minor"] is None
    tenant.add_card()
    tenant.use_up()
    usage = tenant.get("/usage")
    assert (usage["next_fix_price_minor"], usage["period"]["fixes"]) == (2900, 10)
    assert len(usage["latest_transactions"]) == 10


@pytest.mark.parametrize(
    ("now", "bounds"),
    [
        (1798761599, (1796083200, 1798761600)),  # the last second of December 2026
        (1798761600, (1798761600, 1801440000)),  # the first of January 2027
        (1709208000, (1706745600, 1709251200)),  # a leap day
    ],
)
def test_a_month_is_a_calendar_month_in_utc(now: int, bounds: tuple[int, int]) -> None:
    """The last second of a month still belongs to it."""
    assert month_of(now) == bounds
