"""Lists are paged newest first, within times, and a page costs what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.stripe.lists import page
from simulators.stripe.routes import Call
from simulators.stripe.store import Store

if TYPE_CHECKING:
    from simulators.webhooks.events import Obj
    from tests.stripe_sim.conftest import Account


def test_lists_page_in_both_directions(account: Account) -> None:
    """Newest first, ten unless told, from an id onwards or backwards."""
    ids = [account.stripe.customers.create().id for _ in range(13)][::-1]
    customers = account.stripe.customers
    first = customers.list()
    assert [c.id for c in first.data] == ids[:10]
    assert (first.has_more, first.url) == (True, "/v1/customers")
    rest = customers.list({"starting_after": ids[9]})
    assert ([c.id for c in rest.data], rest.has_more) == (ids[10:], False)
    before = customers.list({"ending_before": ids[9], "limit": 3})
    assert ([c.id for c in before.data], before.has_more) == (ids[6:9], True)
    assert [c.id for c in customers.list({"limit": 4}).auto_paging_iter()] == ids


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "starting_after=cus_none",
        "starting_after=a&ending_before=b",
        "created[after]=5",
        "created=x",
    ],
)
def test_bad_paging_is_refused(account: Account, query: str) -> None:
    """Limits outside 1 to 100, unknown cursors and unknown bounds are errors."""
    assert account.raw.get(f"/v1/customers?{query}").status_code == 400


def test_lists_filter_by_time(account: Account) -> None:
    """``created`` takes a time or bounds."""
    early = account.stripe.customers.create()
    account.advance(account.now + 100)
    late = account.stripe.customers.create()
    customers = account.stripe.customers
    assert [c.id for c in customers.list({"created": {"gt": early.created}}).data] == [late.id]
    assert [c.id for c in customers.list({"created": early.created}).data] == [early.id]


def listed(objects: list[Obj], **params: Any) -> tuple[list[str], bool]:
    """Give the ids of a page, and whether there is more; `odd` filters by the field's value."""
    told = page(Call({}, params, "/v1/things"), objects, equal=("odd",))
    return [each["id"] for each in told["data"]], told["has_more"]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=40),
    st.data(),
)
def test_a_page_is_cut_from_what_passes_the_filters(
    things: list[tuple[int, bool]], data: st.DataObject
) -> None:
    """Whatever the order of times, a page is the part of the filtered list beside its cursor."""
    objects: list[Obj] = [
        {"id": f"t_{number}", "created": created, "odd": odd}
        for number, (created, odd) in enumerate(things)
    ]
    limit, since = data.draw(st.integers(1, 12)), data.draw(st.integers(0, 9))
    cursor = data.draw(st.integers(0, len(objects) - 1))
    asked = {"limit": limit, "odd": True, "created": {"gte": since}}
    fit = [n for n, (created, odd) in enumerate(things) if odd and created >= since]
    older = [f"t_{n}" for n in reversed(fit) if n < cursor]
    newer = [f"t_{n}" for n in reversed(fit) if n > cursor]
    every = [f"t_{n}" for n in reversed(fit)]
    assert listed(objects, **asked) == (every[:limit], len(every) > limit)
    after = listed(objects, **asked, starting_after=f"t_{cursor}")
    assert after == (older[:limit], len(older) > limit)
    before = listed(objects, **asked, ending_before=f"t_{cursor}")
    assert before == (newer[-limit:], len(newer) > limit)


def test_a_page_filters_what_it_shows_and_one_more() -> None:
    """Who reads everything page by page does not have each page filter everything."""
    objects: list[Obj] = [{"id": f"t_{n}", "created": n} for n in range(1000)]
    met: list[str] = []

    def keep(obj: Obj) -> bool:
        met.append(obj["id"])
        return True

    call = Call({}, {"limit": 10, "starting_after": "t_500"}, "/v1/things")
    told = page(call, objects, where=[keep])
    assert [each["id"] for each in told["data"]] == [f"t_{n}" for n in range(499, 489, -1)]
    assert met == [f"t_{n}" for n in range(499, 488, -1)]


def test_an_owners_objects_come_in_the_order_in_which_they_were_made() -> None:
    """Who is found by an index stands where he would stand among all, whenever he was entered."""
    store = Store()
    late = store.insert({"object": "charge", "id": "ch_1", "customer": None})
    store.insert({"object": "charge", "id": "ch_2", "customer": "cus_1"})
    store.insert({"object": "charge", "id": "ch_3", "customer": "cus_2"})
    store.set(late, customer="cus_1")
    told = store.listed("charge", {"limit": 3, "customer": "cus_1"})
    assert [charge["id"] for charge in told] == ["ch_1", "ch_2"]
    assert len(store.listed("charge", {"limit": 3, "created": {"gt": 5}})) == 3
